"""JSON values to YAML text that every YAML 1.2 reader takes the same way, and every older one too.

One style: blocks, two spaces, text without quotes where nobody can mistake it.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from stepwell.programs.flow.comments import Comments
from stepwell.programs.flow.expressions.templates import escape

# Must not begin with what YAML gives a meaning, nor with a digit: numbers, dates and times of old readers.
_PLAIN = re.compile(r"[A-Za-z_$/(\\<^;+].*|\.(?:[A-Za-z_\[\"|( ].*)?")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", ".inf", ".nan", "=", "<<"}
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa1-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SIGNED = re.compile(r"[+-]?\.?[0-9]")

Order = Callable[[str, dict[str, Any]], list[str]]
"""The keys of an object at a pointer, in the order to write them."""


class YamlWriter:
    """Writes one document. Comments go with what they are about."""

    def __init__(self, order: Order, comments: Comments) -> None:
        self._order = order
        self._comments = comments

    def text(self, value: Any) -> str:
        lines = list(self._block(value, "", ""))
        return "\n".join([*lines, *self._comments.last]) + "\n"

    def _block(self, value: Any, at: str, indent: str) -> Iterator[str]:
        """The lines of a list or an object that is not empty, or of a scalar that is the whole document."""
        if isinstance(value, dict) and value:
            for key in self._order(at, value):
                yield from self._entry(f"{_key(key)}:", value[key], f"{at}/{escape(key)}", indent)
        elif isinstance(value, list) and value:
            for position, item in enumerate(value):
                yield from self._item(item, f"{at}/{position}", indent)
        else:
            yield indent + "\n".join(_scalar(value, indent))

    def _entry(self, head: str, value: Any, at: str, indent: str) -> Iterator[str]:
        yield from (f"{indent}{line}" for line in self._comments.before.get(at, ()))
        behind = f"  {self._comments.behind[at]}" if at in self._comments.behind else ""
        if isinstance(value, dict | list) and value:
            yield f"{indent}{head}{behind}"
            yield from self._block(value, at, indent + "  ")
            return
        first, *more = _scalar(value, indent)
        yield f"{indent}{head} {first}{behind}"
        yield from more

    def _item(self, value: Any, at: str, indent: str) -> Iterator[str]:
        """The first line of what is in an item stands behind its dash, comments on that line before it."""
        if not isinstance(value, dict | list) or not value:
            yield from self._entry("-", value, at, indent)
            return
        yield from (f"{indent}{line}" for line in self._comments.before.get(at, ()))
        lines = self._block(value, at, indent + "  ")
        for line in lines:
            if not line.lstrip().startswith("#"):
                yield f"{indent}- {line[len(indent) + 2 :]}"
                break
            yield indent + line.lstrip()
        yield from lines


def _scalar(value: Any, indent: str) -> list[str]:
    """The lines of a scalar or of something empty; those after the first with their indent."""
    match value:
        case str():
            return _text(value, indent)
        case None | bool():
            return [{None: "null", True: "true", False: "false"}[value]]
        case int() | float():
            return [repr(value)]
    return ["[]" if isinstance(value, list) else "{}"]


def _key(key: str) -> str:
    return key if _is_plain(key) else _quoted(key)


def _text(text: str, indent: str) -> list[str]:
    if _is_plain(text):
        return [text]
    if _is_block(text):
        return _block_text(text, indent)
    return [_quoted(text)]


def _is_plain(text: str) -> bool:
    return (
        len(text) < 1000
        and _PLAIN.fullmatch(text) is not None
        and text.lower() not in _WORDS
        and _UNPRINTABLE.search(text) is None
        and ": " not in text
        and " #" not in text
        and not text.endswith((":", " "))
        and not text.startswith("<<")
        and _SIGNED.match(text) is None
    )


def _quoted(text: str) -> str:
    if _UNPRINTABLE.search(text) is None:
        return "'" + text.replace("'", "''") + "'"
    # JSON's escapes are YAML's too, but for what is beyond 16 bits, which YAML writes as one.
    escaped = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", escaped)


def _is_block(text: str) -> bool:
    """Several lines that read better as they are."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and bool(lines[0].strip())
        and not lines[0].startswith((" ", "\t"))
        and all(line == line.rstrip() and _UNPRINTABLE.search(line) is None for line in lines)
    )


def _block_text(text: str, indent: str) -> list[str]:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    head = "|-" if ends == 0 else "|" if ends == 1 else "|+"
    lines = [*body.split("\n"), *([""] * (ends - 1))]
    return [head, *(f"{indent}  {line}" if line else "" for line in lines)]

"""The comments of a YAML text, and the place in the document that each of them is about.

A comment on a line of its own is about what comes next, one behind something is about that. One in the first line of
a block of text (`|  # like this`) is not found.
"""

import re
from typing import Any

import msgspec
from ruamel.yaml import YAML

from stepwell.programs.flow.expressions.templates import unescape
from stepwell.programs.flow.source import Source

_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[^\n]*", re.MULTILINE)


class Comments(msgspec.Struct, frozen=True):
    """By JSON pointer: the lines before something, and the one behind it. `last` are those at the end."""

    before: dict[str, list[str]]
    behind: dict[str, str]
    last: list[str]


def comments_in(text: str, source: Source) -> Comments:
    """Of a text that `read` took."""
    found = Comments({}, {}, [])
    starts = sorted((line, pointer.count("/"), pointer) for pointer, line in source.lines.items() if pointer)
    scalars = _scalars_in(text)
    for match in _COMMENT.finditer(text):
        if any(start <= match.start() < end for start, end in scalars):
            continue
        line = text.count("\n", 0, match.start()) + 1
        is_alone = not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
        here = next(
            (
                pointer
                for start, _, pointer in starts
                if start == line and not (is_alone or _is_item(source.value, pointer))
            ),
            None,
        )
        if here is not None and here not in found.behind:
            found.behind[here] = match.group().rstrip()
            continue
        following = next((pointer for start, _, pointer in starts if start > line), None)
        place = found.last if following is None else found.before.setdefault(following, [])
        place.append(match.group().rstrip())
    return found


def _is_item(document: Any, pointer: str) -> bool:
    """Whether this is an item of a list with something in it: what is behind its dash is about that."""
    held, value = None, document
    for segment in pointer.split("/")[1:]:
        held, value = value, value[int(segment)] if isinstance(value, list) else value[unescape(segment)]
    return isinstance(held, list) and isinstance(value, dict | list) and bool(value)


def _scalars_in(text: str) -> list[tuple[int, int]]:
    """Where text in quotes and blocks of text stand: a `#` in them is none of ours."""
    events = YAML(typ="safe", pure=True).parse(text.lstrip("\ufeff"))
    shift = len(text) - len(text.lstrip("\ufeff"))
    return [
        (event.start_mark.index + shift, event.end_mark.index + shift)
        for event in events
        if type(event).__name__ == "ScalarEvent"
    ]

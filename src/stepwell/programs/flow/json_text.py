"""JSON text (RFC 8259) to values with lines: what the standard library reads, but it does not say where.

The reader stands on one token, which one regular expression finds, and decides by it alone. A line can end only in
the space before a token, so lines are counted there.
"""

import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from math import isfinite
from typing import Any, Final, NoReturn

from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.source import Places, Source

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]*)(?:
        "(?P<plain>[^"\\\x00-\x1f]*)"
      | (?P<mark>[][{},:"])  # a quote: of a text that is not plain, or no text
      | (?P<word>true|false|null)
      | (?P<fraction>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+))
      | (?P<whole>-?(?:0|[1-9][0-9]*))
    )?""",
    re.VERBOSE,
).match
_WORDS: Final = {"true": True, "false": False, "null": None}


def read_json(text: str) -> Source:
    """Raises `InvalidDefinitionError` with the line of what is wrong."""
    places = Places()
    reader = _Reader(text.removeprefix("\ufeff"), places)
    value = reader.document()
    return places.finish(value)


class _Reader:
    def __init__(self, text: str, places: Places) -> None:
        self._text = text
        self._places = places
        self._line = 1
        self._token = self._go_on(0)

    def document(self) -> Any:
        self._places.lines[""] = self._line
        value = self._value("", 1)
        if self._token.end("space") < len(self._text):
            self._refuse("", "nothing after the document")
        return value

    # --- tokens -----------------------------------------------------------------------------------------------------

    def _go_on(self, position: int) -> re.Match[str]:
        """Stand on the token from `position` on; what is none has no group but its space."""
        token = _TOKEN(self._text, position)
        assert token is not None, "all of it is optional"
        if space := token[1]:
            self._line += space.count("\n")
        self._token = token
        return token

    def _take(self, mark: str) -> bool:
        token = self._token
        if token["mark"] != mark:
            return False
        self._go_on(token.end())
        return True

    def _refuse(self, at: str, expected: str) -> NoReturn:
        start = self._token.end("space")
        found = repr(self._text[start : start + 20]) if start < len(self._text) else "the end"
        self._places.stop(at, self._line, f"expected {expected}, found {found}")

    # --- values -----------------------------------------------------------------------------------------------------

    def _value(self, at: str, depth: int) -> Any:
        self._places.count(at, self._line)
        self._places.check_nesting(at, self._line, depth)
        token = self._token
        match token.lastgroup:
            case "mark" if token["mark"] == "{":
                return self._object(at, depth)
            case "mark" if token["mark"] == "[":
                return self._array(at, depth)
            case "word":
                value: Any = _WORDS[token["word"]]
            case "whole":
                value = self._number(int, token["whole"], at)
            case "fraction":
                value = self._number(float, token["fraction"], at)
            case _:
                return self._string(at, "a JSON value")
        self._go_on(token.end())
        return value

    def _object(self, at: str, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        self._take("{")
        while not (not entries and self._take("}")):
            self._entry(entries, at, depth)
            if self._take("}"):
                break
            if not self._take(","):
                self._refuse(at, "',' or '}'")
        return entries

    def _entry(self, entries: dict[str, Any], at: str, depth: int) -> None:
        line = self._line
        key = self._string(at, "a name in quotes")
        inside = f"{at}/{escape(key)}"
        if key in entries:
            self._places.fault(inside, line, f"expected each name once, found {key!r} again")
        self._places.lines[inside] = line
        if not self._take(":"):
            self._refuse(inside, "':'")
        entries[key] = self._value(inside, depth + 1)

    def _array(self, at: str, depth: int) -> list[Any]:
        items: list[Any] = []
        self._take("[")
        while not (not items and self._take("]")):
            inside = f"{at}/{len(items)}"
            self._places.lines[inside] = self._line
            items.append(self._value(inside, depth + 1))
            if self._take("]"):
                break
            if not self._take(","):
                self._refuse(at, "',' or ']'")
        return items

    def _string(self, at: str, expected: str) -> str:
        token, line = self._token, self._line
        text, end = token["plain"], token.end()
        if token["mark"] == '"':
            try:
                text, end = scanstring(self._text, end, True)
            except ValueError as error:
                self._places.stop(at, line, f"expected a JSON string, found {error}")
        elif text is None:
            self._refuse(at, expected)
        self._places.check_text(at, line, text)
        self._go_on(end)
        return str(text)

    def _number(self, kind: type[int] | type[float], text: str, at: str) -> int | float:
        try:
            number = kind(text)
        except ValueError:
            self._places.stop(at, self._line, f"expected a number, found one of {len(text)} digits")
        if isinstance(number, float) and not isfinite(number):
            self._places.stop(at, self._line, f"expected a number that JSON can hold, found {text}")
        return number

"""JSON text (RFC 8259) to values with lines: what the standard library reads, but it does not say where."""

import re
from bisect import bisect_right
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from math import isfinite
from typing import Any, NoReturn

from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.source import Places, Source

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}


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
        self._position = 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]

    def document(self) -> Any:
        value = self._value("", 1)
        if self._peek():
            self._refuse("", "nothing after the document")
        return value

    def _line(self) -> int:
        return bisect_right(self._newlines, self._position - 1) + 1

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        if found := _SPACE.match(self._text, self._position):
            self._position = found.end()
        return self._text[self._position : self._position + 1]

    def _take(self, wanted: str) -> bool:
        if self._peek() != wanted:
            return False
        self._position += 1
        return True

    def _refuse(self, at: str, expected: str) -> NoReturn:
        found = repr(self._text[self._position : self._position + 20]) if self._peek() else "the end"
        self._places.stop(at, self._line(), f"expected {expected}, found {found}")

    def _value(self, at: str, depth: int) -> Any:
        first = self._peek()
        self._places.lines.setdefault(at, self._line())
        self._places.count(at, self._line())
        self._places.check_nesting(at, self._line(), depth)
        match first:
            case "{":
                return self._object(at, depth)
            case "[":
                return self._array(at, depth)
            case '"':
                return self._string(at)
        return self._number_or_word(at)

    def _object(self, at: str, depth: int) -> dict[str, Any]:
        self._position += 1
        entries: dict[str, Any] = {}
        while not (not entries and self._take("}")):
            self._entry(entries, at, depth)
            if self._take("}"):
                break
            if not self._take(","):
                self._refuse(at, "',' or '}'")
        return entries

    def _entry(self, entries: dict[str, Any], at: str, depth: int) -> None:
        if self._peek() != '"':
            self._refuse(at, "a name in quotes")
        line = self._line()
        key = self._string(at)
        inside = f"{at}/{escape(key)}"
        if key in entries:
            self._places.fault(inside, line, f"expected each name once, found {key!r} again")
        self._places.lines[inside] = line
        if not self._take(":"):
            self._refuse(inside, "':'")
        entries[key] = self._value(inside, depth + 1)

    def _array(self, at: str, depth: int) -> list[Any]:
        self._position += 1
        items: list[Any] = []
        while not (not items and self._take("]")):
            items.append(self._value(f"{at}/{len(items)}", depth + 1))
            if self._take("]"):
                break
            if not self._take(","):
                self._refuse(at, "',' or ']'")
        return items

    def _string(self, at: str) -> str:
        line = self._line()
        try:
            text, self._position = scanstring(self._text, self._position + 1, True)
        except ValueError as error:
            self._places.stop(at, line, f"expected a JSON string, found {error}")
        self._places.check_text(at, line, text)
        return str(text)

    def _number_or_word(self, at: str) -> Any:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._position):
                self._position += len(word)
                return value
        found = _NUMBER.match(self._text, self._position)
        if found is None:
            self._refuse(at, "a JSON value")
        number = self._number(found, at)
        self._position = found.end()
        return number

    def _number(self, found: re.Match[str], at: str) -> int | float:
        text = found.group()
        try:
            number = float(text) if found.group(1) or found.group(2) else int(text)
        except ValueError:
            self._places.stop(at, self._line(), f"expected a number, found one of {len(text)} digits")
        if isinstance(number, float) and not isfinite(number):
            self._places.stop(at, self._line(), f"expected a number that JSON can hold, found {text}")
        return number

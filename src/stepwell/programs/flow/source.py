"""A definition as JSON values that know their lines, and what its readers note and refuse on the way.

Refused: values that JSON cannot hold, duplicate keys, keys that are not text, and whatever is beyond the limits.
"""

import re
from typing import Any, NoReturn

import msgspec

from stepwell.core.definitions import Fault, InvalidDefinitionError

MAX_CHARACTERS = 1_000_000
MAX_NESTING = 64
MAX_NODES = 200_000
"""Counted as written out: an alias counts as many as its anchor, so an anchor bomb is refused."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class Source(msgspec.Struct, frozen=True):
    """A document's value, and the line (from 1) of every pointer in it."""

    value: Any
    lines: dict[str, int]

    def line_of(self, pointer: str) -> int:
        """The line of a place, or of the nearest place around it that is in the text."""
        while pointer not in self.lines:
            if not pointer:
                return 1
            pointer = pointer.rpartition("/")[0]
        return self.lines[pointer]


class Places:
    """What both readers note while they build a value: lines, faults, and how much there is already."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self._nodes = 0

    def fault(self, pointer: str, line: int, message: str) -> None:
        self.faults.append(Fault(pointer=pointer, line=line, message=message))

    def stop(self, pointer: str, line: int, message: str) -> NoReturn:
        """Give up: what follows could not be read for sure."""
        self.fault(pointer, line, message)
        raise InvalidDefinitionError(self.faults)

    def count(self, pointer: str, line: int, nodes: int = 1) -> int:
        """Add nodes to the total and return it."""
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self.stop(pointer, line, f"expected at most {MAX_NODES} values, anchors written out; found more")
        return self._nodes

    def check_nesting(self, pointer: str, line: int, depth: int) -> None:
        if depth > MAX_NESTING:
            self.stop(pointer, line, f"expected at most {MAX_NESTING} levels inside each other, found more")

    def check_text(self, pointer: str, line: int, text: str) -> None:
        if not text.isascii() and _SURROGATE.search(text):
            self.fault(pointer, line, "expected Unicode text, found half of a surrogate pair")

    def finish(self, value: Any) -> Source:
        if self.faults:
            raise InvalidDefinitionError(self.faults)
        return Source(value, self.lines)

"""Credentials and secrets out of what is kept: errors, outputs, the headers of answers."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

MASK = "***"
MIN_CHARACTERS = 3
"""Shorter secrets protect nothing, and hiding them would tear messages apart."""
MIN_CHARACTERS_IN_DATA = 8
"""In data (what a server answers) only what is no accident is taken for the secret."""


class Hidden:
    """What must not be seen; in text of ours, and in the bytes that a server answered."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {form for value in values if len(value) >= MIN_CHARACTERS for form in _forms(value)}
        self._values = sorted(found, key=lambda value: (-len(value), value))  # a part of another one comes later

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def data(self, content: bytes) -> bytes:
        for value in self._values:
            if len(value) >= MIN_CHARACTERS_IN_DATA:
                content = content.replace(value.encode(), MASK.encode())
        return content

    def with_more(self, values: Iterable[str]) -> "Hidden":
        return Hidden([*self._values, *values])


NOTHING = Hidden()


def hidden_in(secrets: Any) -> Hidden:
    """Every text in a secret, or in an object of secrets."""
    return Hidden(_texts(secrets)) if secrets else NOTHING


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict() | list():
            for item in value.values() if isinstance(value, dict) else value:
                yield from _texts(item)


def _forms(value: str) -> set[str]:
    """As it is, and as it stands in JSON."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}

"""All parts of a model, from the outside in."""

from collections.abc import Iterator
from typing import Any

from stepwell.programs.flow.binding import Part


def parts_in(value: Any) -> Iterator[Part]:
    """A part, or what a value holds of them, and all parts inside."""
    match value:
        case Part():
            yield value
            for name in value.__struct_fields__:
                yield from parts_in(getattr(value, name))
        case tuple():
            for item in value:
                yield from parts_in(item)
        case dict():
            for item in value.values():
                yield from parts_in(item)

"""JSON values to typed ones, with every fault at once where msgspec tells only the first."""

import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from stepwell.doors.kit.faults import MAX_FAULTS, Fault, InvalidRequestError

T = TypeVar("T")

_PLACE: Final = re.compile(r" - at `(?:key in )?`?\$.*$")
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "null": "null",
    "object": "an object",
    "array": "an array",
    "datetime": "an instant",
    "uuid": "a UUID",
}
_UUID: Final = "matching regex '^[0-9a-fA-F]{8}-"
"""How msgspec's message about a UUID goes on: a pattern, which says little to people."""
_TYPES: Final = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")


def read_value(value: Any, wanted: type[T], *, strict: bool = True) -> T:
    """The value as `wanted`; not `strict`: numbers and booleans may be texts. Raises `InvalidRequestError`."""
    try:
        return msgspec.convert(value, wanted, strict=strict)
    except msgspec.ValidationError:
        found: list[Fault] = []
        for fault in _faults(value, wanted, (), strict):
            found.append(fault)
            if len(found) == MAX_FAULTS:
                break
        raise InvalidRequestError(found) from None


def _faults(value: Any, wanted: Any, path: tuple[str | int, ...], strict: bool) -> Iterator[Fault]:
    """Every fault inside; nothing when the value is as wanted."""
    try:
        msgspec.convert(value, wanted, strict=strict)
    except msgspec.ValidationError as fault:
        inside = list(_inside(value, bare(wanted), path, strict))
        yield from inside or [Fault(path=path, message=_worded(str(fault), value, choices(wanted)))]


def _inside(value: Any, wanted: Any, path: tuple[str | int, ...], strict: bool) -> Iterator[Fault]:
    arguments = get_args(wanted)
    match value, get_origin(wanted) or wanted:
        case dict(), type() as kind if issubclass(kind, msgspec.Struct):
            yield from _of_struct(value, kind, path, strict)
        case dict(), type() as kind if kind is dict and len(arguments) == 2:
            for name, item in value.items():
                yield from _faults(item, arguments[1], (*path, name), strict)
        case list(), type() as kind if kind in (list, tuple, set, frozenset) and arguments:
            for index, item in enumerate(value):
                yield from _faults(item, arguments[0], (*path, index), strict)


def _of_struct(
    value: dict[str, Any], kind: type[msgspec.Struct], path: tuple[str | int, ...], strict: bool
) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in fields.items():
        if name in value:
            yield from _faults(value[name], field.type, (*path, name), strict)
        elif field.required:
            yield Fault(path=(*path, name), message="is required")
    if kind.__struct_config__.forbid_unknown_fields:
        for name in value:
            if name not in fields and name != kind.__struct_config__.tag_field:
                yield Fault(path=(*path, name), message=f"is not known (there are: {', '.join(fields)})")


def bare(wanted: Any) -> Any:
    """Without annotations, and without None where that is the only other choice."""
    while get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    if get_origin(wanted) in (Union, UnionType):
        others = [choice for choice in get_args(wanted) if choice not in (type(None), msgspec.UnsetType)]
        if len(others) == 1:
            return bare(others[0])
    return wanted


def _worded(message: str, value: Any, options: Sequence[Any]) -> str:
    """msgspec's message in our words: what was expected, what was found."""
    if options:
        return f"expected one of {', '.join(map(str, options))}, found {_shown(value)}"
    text = _PLACE.sub("", message)
    if _UUID in text:
        return f"expected a UUID, found {_shown(value)}"
    text = _TYPES.sub(lambda types: " or ".join(_WORDS.get(word, word) for word in types[1].split(" | ")), text)
    expected, got, _ = text.partition(", got ")
    expected = expected[:1].lower() + expected[1:]
    return f"{expected}, found {_shown(value)}" if got or expected.startswith("expected") else expected


def choices(wanted: Any) -> tuple[Any, ...]:
    """The values of a `Literal` or an enum; empty for other types."""
    wanted = bare(wanted)
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    return tuple(member.value for member in wanted) if hasattr(wanted, "__members__") else ()


def _shown(value: Any) -> str:
    """A value in a message: short, and structures by their kind only."""
    match value:
        case dict():
            return "an object"
        case list():
            return f"an array of {len(value)}"
        case str():
            return repr(value) if len(value) <= 60 else f"{value[:60]!r}... ({len(value)} characters)"
        case None | bool() | int() | float():
            text = msgspec.json.encode(value).decode()
            return text if len(text) <= 60 else f"a number of {len(text)} digits"
    return f"a value of type {type(value).__name__}"

"""From JSON values to the typed model: readers made from the model's own annotations, one per type.

A reader takes (value, pointer, check), notes every fault below it and returns the typed value or `BROKEN`.
The model is the schema: a `Part`'s fields are the properties that exist; what has no default is required.
An annotation may bring its own reader: `Annotated[T, reader]`.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from stepwell.programs.flow.check import BROKEN, Check, describe, hint, one_of
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.expressions.templates import escape

Reader = Callable[[Any, str, Check], Any]

Names = Mapping[str, tuple[str, ...] | None]
"""By property: variables that expressions inside may read beside those known around; None means any."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a document. `at` is its JSON pointer."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ()
    """Of these properties exactly one must be there."""
    OPEN: ClassVar[bool] = False
    """Whether properties beyond the fields may be there; they are left out."""
    at: str = msgspec.field(name="<at>")  # apart from the property `at` that some parts have

    @classmethod
    def local_names(cls, _value: Mapping[str, Any]) -> Names:
        return {}


class Unsupported:
    """Marks a property that is well formed but refused: `Annotated[T, Unsupported("the words")]`."""

    def __init__(self, what: str) -> None:
        self.what = what


def text(regex: str, expected: str) -> Reader:
    """A reader of text that matches as a whole."""
    pattern = re.compile(regex)

    def read(value: Any, at: str, check: Check) -> Any:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        return check.fault(at, f"expected {expected}, found {describe(value)}")

    return read


@cache
def reader_of(kind: Any) -> Reader:
    """The reader of an annotation."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _union(tuple(argument for argument in arguments if argument is not NoneType))
    if origin is Literal:
        return _literal(arguments)
    if origin is tuple:
        return _list(reader_of(arguments[0]))
    if origin is not None:
        return _mapping(reader_of(arguments[1]))
    return _SCALARS[kind] if kind in _SCALARS else _part(kind)


def _annotated(kind: Any, marks: tuple[Any, ...]) -> Reader:
    own = next((mark for mark in marks if not isinstance(mark, Unsupported)), None)
    reader: Reader = own or reader_of(kind)
    refused = next((mark for mark in marks if isinstance(mark, Unsupported)), None)
    if refused is None:
        return reader

    def read(value: Any, at: str, check: Check) -> Any:
        result = reader(value, at, check)
        check.unsupported(at, refused.what)
        return result

    return read


def _scalar(types: tuple[type, ...], expected: str) -> Reader:
    def read(value: Any, at: str, check: Check) -> Any:
        if type(value) in types:
            return value
        return check.fault(at, f"expected {expected}, found {describe(value)}")

    return read


def _integer(value: Any, at: str, check: Check) -> Any:
    """As in JSON Schema: 2.0 is an integer too."""
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    return check.fault(at, f"expected a whole number, found {describe(value)}")


_SCALARS: dict[Any, Reader] = {
    Any: lambda value, _at, _check: value,
    str: _scalar((str,), "text"),
    bool: _scalar((bool,), "true or false"),
    int: _integer,
    float: _scalar((int, float), "a number"),
}
_WORDS: dict[Any, tuple[type, str]] = {
    str: (str, "text"),
    bool: (bool, "true or false"),
    int: (int, "a number"),
    tuple: (list, "a list"),
    Expression: (str, "an expression"),
}


def _union(kinds: tuple[Any, ...]) -> Reader:
    """One reader out of several, by the JSON type of the value."""
    if len(kinds) == 1:
        return reader_of(kinds[0])
    choices = {found: (words, reader_of(kind)) for kind in kinds for found, words in [_json_type(kind)]}
    expected = " or ".join(words for words, _ in choices.values())

    def read(value: Any, at: str, check: Check) -> Any:
        if (choice := choices.get(type(value))) is not None:
            return choice[1](value, at, check)
        return check.fault(at, f"expected {expected}, found {describe(value)}")

    return read


def _json_type(kind: Any) -> tuple[type, str]:
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return _WORDS.get(get_origin(bare) or bare, (dict, "an object"))


def _literal(choices: tuple[str, ...]) -> Reader:
    def read(value: Any, at: str, check: Check) -> Any:
        if isinstance(value, str) and value in choices:
            return value
        near = hint(value, choices) if isinstance(value, str) else ""
        return check.fault(at, f"expected {one_of(choices)}, found {describe(value)}{near}")

    return read


def _list(reader: Reader) -> Reader:
    def read(value: Any, at: str, check: Check) -> Any:
        if not isinstance(value, list):
            return check.fault(at, f"expected a list, found {describe(value)}")
        items = tuple(reader(item, f"{at}/{position}", check) for position, item in enumerate(value))
        return BROKEN if BROKEN in items else items

    return read


def _mapping(reader: Reader) -> Reader:
    def read(value: Any, at: str, check: Check) -> Any:
        if not isinstance(value, dict):
            return check.fault(at, f"expected an object, found {describe(value)}")
        entries = {name: reader(item, f"{at}/{escape(name)}", check) for name, item in value.items()}
        return BROKEN if any(item is BROKEN for item in entries.values()) else entries

    return read


class _Field(msgspec.Struct, frozen=True):
    name: str
    property: str
    reader: Reader
    required: bool


@cache
def _fields_of(kind: type[Part]) -> dict[str, _Field]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: _Field(field.name, field.encode_name, reader_of(hints[field.name]), field.required)
        for field in msgspec.structs.fields(kind)
        if field.name != "at"
    }


def _part(kind: type[Part]) -> Reader:
    def read(value: Any, at: str, check: Check) -> Any:
        if not isinstance(value, dict):
            return check.fault(at, f"expected an object, found {describe(value)}")
        fields = _fields_of(kind)  # only now: a part may hold parts of its own kind
        whole = _check_properties(kind, fields, value, at, check)
        found = _read_fields(kind, fields, value, at, check)
        return kind(at=at, **found) if whole and BROKEN not in found.values() else BROKEN

    return read


def _check_properties(
    kind: type[Part], fields: Mapping[str, _Field], value: dict[str, Any], at: str, check: Check
) -> bool:
    """Whether no property is missing, unknown, or there beside one that excludes it."""
    unknown = [] if kind.OPEN else [name for name in value if name not in fields]
    for name in unknown:
        expected = one_of(fields) if len(fields) <= 8 else "a known property"
        check.fault(f"{at}/{escape(name)}", f"expected {expected}, found {describe(name)}{hint(name, fields)}")
    missing = [name for name, field in fields.items() if field.required and name not in value]
    for name in missing:
        check.fault(f"{at}/{name}", f"expected the property {name!r}, found {_listed(value)}")
    return not unknown and not missing and _check_exactly_one(kind, value, at, check)


def _check_exactly_one(kind: type[Part], value: dict[str, Any], at: str, check: Check) -> bool:
    found = [name for name in kind.EXACTLY_ONE if name in value]
    if not kind.EXACTLY_ONE or len(found) == 1:
        return True
    place = f"{at}/{found[1]}" if found else at
    words = " and ".join(repr(name) for name in found) if found else _listed(value)
    check.fault(place, f"expected exactly one of {one_of(kind.EXACTLY_ONE)}, found {words}")
    return False


def _read_fields(
    kind: type[Part], fields: Mapping[str, _Field], value: dict[str, Any], at: str, check: Check
) -> dict[str, Any]:
    local_names = kind.local_names(value)
    found = {}
    for field in fields.values():
        if field.property in value:
            with check.reading_names(local_names.get(field.property, ())):
                found[field.name] = field.reader(value[field.property], f"{at}/{field.property}", check)
    return found


def _listed(value: dict[str, Any]) -> str:
    return "only " + " and ".join(describe(name) for name in list(value)[:5]) if value else "an empty object"

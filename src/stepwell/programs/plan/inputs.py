"""The inputs of a plan: checked against its declared variables, completed by their defaults, and as JSON Schema."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from stepwell.programs.flow.check import describe, hint
from stepwell.programs.flow.regexes import is_plain
from stepwell.programs.plan.model import ENV_INPUT, Plan, Variable

Faults = dict[str, list[str]]
"""Variable to what is wrong with its value."""
Kind = tuple[Callable[[Any], bool], str]


def check_input(plan: Plan, input: Any) -> Faults:
    """Every fault of a run's input, by variable ("" is the input as a whole); empty when it can be taken.

    Patterns that could take for ever are left to the run, which has them tried in a worker.
    """
    if input is not None and not isinstance(input, Mapping):
        return {"": [f"expected an object, found {describe(input)}"]}
    given = input or {}
    found = {variable.name: list(_faults(variable, given.get(variable.name))) for variable in plan.variables}
    found |= {name: [_undeclared(plan, name)] for name in given if not _is_known(plan, name)}
    return {name: faults for name, faults in found.items() if faults}


def complete_input(plan: Plan, input: Any) -> dict[str, Any]:
    """The input as the steps see it: every declared variable is there, with its default or null."""
    given = input if isinstance(input, Mapping) else {}
    declared = {
        variable.name: None if variable.default is msgspec.UNSET else variable.default for variable in plan.variables
    }
    own = {name: value for name, value in given.items() if name != ENV_INPUT}
    return {**declared, **{name: value for name, value in own.items() if value is not None or name not in declared}}


def risky_patterns(plan: Plan, input: Any) -> Iterator[tuple[Variable, str]]:
    """The variables with a pattern that `check_input` leaves out, and their texts."""
    given = input if isinstance(input, Mapping) else {}
    for variable in plan.variables:
        text = given.get(variable.name)
        if variable.pattern is not None and not is_plain(variable.pattern) and isinstance(text, str):
            yield variable, text


def unmatched(variable: Variable, text: str) -> str:
    """The words for a text that does not match its variable's pattern."""
    found = "another text" if variable.secret else describe(text)
    return f"expected a text that matches {variable.pattern!r}, found {found}"


def value_faults(variable: Variable, value: Any) -> Iterator[str]:
    """What is wrong with a value that is there."""
    is_kind, words = _KINDS[variable.type]
    found = "another value" if variable.secret else describe(value)
    if not is_kind(value):
        yield f"expected {words}, found {found}"
    elif variable.enum is not None and not any(_same(value, choice) for choice in variable.enum):
        yield f"expected one of {', '.join(map(_short, variable.enum))}, found {found}"
    elif isinstance(value, str) and not _matches(variable.pattern, value):
        yield unmatched(variable, value)


def input_schema(plan: Plan) -> dict[str, Any]:
    """JSON Schema (2020-12) of the input, for who fills it in."""
    return {
        "type": "object",
        "properties": {variable.name: _schema(variable) for variable in plan.variables},
        "required": [variable.name for variable in plan.variables if _is_required(variable)],
        "additionalProperties": plan.additional_variables,
    }


def _faults(variable: Variable, value: Any) -> Iterator[str]:
    if value is not None:
        yield from value_faults(variable, value)
    elif _is_required(variable):
        yield "expected a value, found none"


def _is_required(variable: Variable) -> bool:
    return variable.required and variable.default is msgspec.UNSET


def _is_known(plan: Plan, name: str) -> bool:
    return plan.variable(name) is not None or (plan.additional_variables and not name.startswith("$"))


def _undeclared(plan: Plan, name: str) -> str:
    known = [variable.name for variable in plan.variables]
    return f"is not a declared variable{hint(name, known)}"


def _matches(pattern: str | None, text: str) -> bool:
    return pattern is None or not is_plain(pattern) or re.search(pattern, text) is not None


def _same(value: Any, choice: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_instant(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_uri(value: Any) -> bool:
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        return bool(urlsplit(value).scheme)
    except ValueError:
        return False


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) or _is_uri(value)


_TEXT: Final[Kind] = (lambda value: isinstance(value, str), "text")
_KINDS: Final[Mapping[str, Kind]] = {
    "string": _TEXT,
    "secret": _TEXT,
    "integer": (_is_integer, "a whole number"),
    "number": (_is_number, "a number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "array": (lambda value: isinstance(value, list), "a list"),
    "object": (lambda value: isinstance(value, dict), "an object"),
    "date-time": (_is_instant, "a time with its offset like 2026-04-07T12:00:00Z"),
    "uri": (_is_uri, "a URI"),
    "file": (_is_file, "a file"),
    "file[]": (lambda value: isinstance(value, list) and all(map(_is_file, value)), "a list of files"),
}
_SCHEMAS: Final[Mapping[str, dict[str, Any]]] = {
    "secret": {"type": "string", "writeOnly": True},
    "date-time": {"type": "string", "format": "date-time"},
    "uri": {"type": "string", "format": "uri"},
    "file": {"type": ["object", "string"]},
    "file[]": {"type": "array", "items": {"type": ["object", "string"]}},
}


def _schema(variable: Variable) -> dict[str, Any]:
    extras = {
        "title": variable.label or None,
        "description": variable.description or None,
        "enum": None if variable.enum is None else list(variable.enum),
        "pattern": variable.pattern,
    }
    schema = {**_SCHEMAS.get(variable.type, {"type": variable.type})}
    schema |= {name: value for name, value in extras.items() if value is not None}
    if variable.default is not msgspec.UNSET and not variable.secret:
        schema["default"] = variable.default
    return schema

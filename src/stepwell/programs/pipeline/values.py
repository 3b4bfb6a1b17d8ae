"""Value forms: what may stand on the right of an assignment, compiled.

A scalar is itself. `{"$fn"}`, `{"$ref"}`, `{"$path"}` and `{"when", "value", "default"}` are looked up or computed;
any other object and every array is a template whose members are value forms.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from stepwell.programs.pipeline import strings
from stepwell.programs.pipeline.conditions import compile_condition
from stepwell.programs.pipeline.execution import Execution, found, put
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.functions import compile_function
from stepwell.programs.pipeline.operands import compile_operand, constant
from stepwell.programs.pipeline.paths import Value, absolute, payload_reader, reader, with_fallback

Assign = Callable[[Execution], None]


class Untouched:
    """What a conditional value without `default` is when its condition fails: the field keeps what it has."""


UNTOUCHED: Final = Untouched()


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """The assignment that a value belongs to: its field and step for errors, and the root it is written under."""

    field: str
    step: str
    root: str = "currentEvent"


def compile_value(given: Any, where: Where) -> Value:
    """A whole value: references fall back to the state, a conditional may give `UNTOUCHED`. Raises `RuleError`."""
    if type(given) is dict and set(given) == {"$ref"}:
        return _reference(given["$ref"], with_fallback)
    if type(given) is dict and "when" in given and "value" in given:
        return _conditional(given, where, UNTOUCHED)
    return _member(given, where)


def _member(given: Any, where: Where) -> Value:
    """A value inside a template, or a whole one of the forms that are the same in both places."""
    if type(given) is list:
        return _array(given, where)
    if type(given) is not dict:
        return constant(given)
    names = set(given)
    if names == {"$fn"}:
        return compile_function(function_text(given["$fn"]), where.step, compile_operand)
    if names == {"$ref"}:
        return _reference(given["$ref"], payload_reader)
    if names == {"$path"}:
        return reader(tuple(_path_text(given["$path"], "$path").split(".")))
    if "when" in names and "value" in names:
        return _conditional(given, where, None)
    members = {name: _member(value, where) for name, value in given.items()}
    return lambda execution: {name: value(execution) for name, value in members.items()}


def _array(given: list[Any], where: Where) -> Value:
    items = [_member(item, where) for item in given]
    return lambda execution: [item(execution) for item in items]


def function_text(given: Any) -> str:
    """What stands under `$fn`; anything but text is written out. Raises `RuleError`."""
    if given is None:
        raise RuleError("function name must not be blank")
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


def _reference(given: Any, relative: Callable[[str], Value]) -> Value:
    text = _path_text(given, "$ref")
    path = absolute(text)
    return reader(path) if path is not None else relative(text)


def _path_text(given: Any, form: str) -> str:
    if not isinstance(given, str) or not given.strip() or not all(given.strip().split(".")):
        raise RuleError(f"{form} must be a path (got {strings.shown(given)})")
    return given.strip()


def _conditional(given: dict[str, Any], where: Where, otherwise: Any) -> Value:
    when = given["when"]
    if not isinstance(when, dict):
        raise RuleError(f"when must be an object for set field: {where.field}")
    if set(when) != {"$fn"}:
        raise RuleError(f"when must use '$fn' for set field: {where.field}")
    holds = compile_condition(function_text(when["$fn"]), "when", where.step)
    value = _member(given["value"], where)
    default = _member(given["default"], where) if "default" in given else constant(otherwise)
    return lambda execution: value(execution) if holds(execution) else default(execution)


# --- assignments --------------------------------------------------------------------------------------------------


def compile_assignment(field: str, given: Any, where: Where, target: Callable[[Execution], dict[str, Any]]) -> Assign:
    """Writes a value under a dotted path of `target`. Raises `RuleError`."""
    path = tuple(field.split("."))
    if not all(path):
        raise RuleError(f"{where.root} field must be a path without empty names (got {field!r})")
    if type(given) is dict and _is_template(given):
        return _template(path, given, where, target)
    value = compile_value(given, where)
    if type(given) is not dict and type(given) is not list:
        return _literal(path, given, where, target)
    if len(path) == 1 and not (type(given) is dict and "when" in given):
        return _member_of(path[0], value, where, target)

    def assign(execution: Execution) -> None:
        result = value(execution)
        if result is not UNTOUCHED:
            put(target(execution), path, result, clash=where.root)

    return assign


def _member_of(name: str, value: Value, where: Where, target: Callable[[Execution], dict[str, Any]]) -> Assign:
    """The commonest assignments have ways of their own: they are made for every message."""

    def assign(execution: Execution) -> None:
        target(execution)[name] = value(execution)

    def assign_to_payload(execution: Execution) -> None:
        execution.payload[name] = value(execution)

    return assign_to_payload if where.root == "currentEvent" else assign


def _literal(
    path: tuple[str, ...], given: Any, where: Where, target: Callable[[Execution], dict[str, Any]]
) -> Assign:
    if len(path) > 1:
        return lambda execution: put(target(execution), path, given, clash=where.root)
    name = path[0]

    def assign(execution: Execution) -> None:
        target(execution)[name] = given

    return assign


def _is_template(given: dict[str, Any]) -> bool:
    names = set(given)
    return names not in ({"$fn"}, {"$ref"}, {"$path"}) and not ("when" in names and "value" in names)


def _template(
    path: tuple[str, ...], given: dict[str, Any], where: Where, target: Callable[[Execution], dict[str, Any]]
) -> Assign:
    """An object whose members see those before them under their full path.

    While it is being made it stands in its place over what was there before; then it replaces that.
    """
    members = _filling(given, where)

    def assign(execution: Execution) -> None:
        tree = target(execution)
        try:
            before = found(tree, path)
        except KeyError:
            before = None
        visible = dict(before) if isinstance(before, dict) else {}
        put(tree, path, visible, clash=where.root)
        put(tree, path, members(execution, visible), clash=where.root)

    return assign


def _filling(given: dict[str, Any], where: Where) -> Callable[[Execution, dict[str, Any]], dict[str, Any]]:
    """Makes an object member by member, and shows each in `visible` as soon as it is made."""
    plain: dict[str, Value] = {}
    inner: dict[str, Callable[[Execution, dict[str, Any]], dict[str, Any]]] = {}
    for name, value in given.items():
        if type(value) is dict and _is_template(value):
            inner[name] = _filling(value, where)
        else:
            plain[name] = _member(value, where)

    def fill(execution: Execution, visible: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name in given:
            if name in plain:
                made[name] = visible[name] = plain[name](execution)
            else:
                below = visible.get(name)
                visible[name] = below = dict(below) if isinstance(below, dict) else {}
                made[name] = visible[name] = inner[name](execution, below)
        return made

    return fill

"""Conditions: comparisons of two values, and (an extension) `and`, `or` and `not` of conditions.

`eq` and `neq` compare kind and value: 1 is neither 1.0 nor "1" nor true. The others order two numbers of any kind,
two texts by code unit, or two booleans.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.operands import compile_operand
from stepwell.programs.pipeline.paths import Value
from stepwell.programs.pipeline.text import Call, read_call

Condition = Callable[[Execution], bool]
Ordering = Callable[[Any, Any], bool]

_ORDERINGS: Final[dict[str, Ordering]] = {
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
}


def compile_condition(text: str, where: str, step: str) -> Condition:
    """The text of a `$fn` that is a condition; `where` names it in errors. Raises `RuleError`."""
    if not text.strip():
        raise RuleError("function name must not be blank")
    call = read_call(text, step)
    if call is None:
        raise _unsupported(text.strip(), where, step)
    arguments = call.arguments(step)
    if call.name in ("and", "or", "not"):
        return _combined(call, arguments, where, step)
    if call.name not in _ORDERINGS and call.name not in ("eq", "neq"):
        raise _unsupported(call.name, where, step)
    if len(arguments) != 2:
        raise RuleError(f"{where} function must have exactly 2 arguments for step: {step}")
    left, right = (compile_operand(argument, step) for argument in arguments)
    if call.name in _ORDERINGS:
        return _ordering(_ORDERINGS[call.name], left, right, f"{where} comparison", step)
    wanted = call.name == "eq"
    return lambda execution: same(left(execution), right(execution)) is wanted


def _unsupported(name: str, where: str, step: str) -> RuleError:
    return RuleError(f"Unsupported {where} function '{name}' for step: {step}")


def _combined(call: Call, arguments: list[str], where: str, step: str) -> Condition:
    if not arguments or (call.name == "not" and len(arguments) != 1):
        wanted = "exactly 1 condition" if call.name == "not" else "at least 1 condition"
        raise RuleError(f"{call.name} requires {wanted} for step: {step}")
    conditions = [compile_condition(argument, where, step) for argument in arguments]
    match call.name:
        case "and":
            return lambda execution: all(condition(execution) for condition in conditions)
        case "or":
            return lambda execution: any(condition(execution) for condition in conditions)
        case _:
            negated = conditions[0]
            return lambda execution: not negated(execution)


def _ordering(ordering: Ordering, left: Value, right: Value, where: str, step: str) -> Condition:
    def holds(execution: Execution) -> bool:
        one, other = left(execution), right(execution)
        if one is None or other is None:
            raise RuleError(f"{where} operands must not be null for step: {step}")
        if not _comparable(one, other):
            raise RuleError(f"{where} requires matching comparable values for step: {step}")
        return ordering(_by_code_unit(one), _by_code_unit(other))

    return holds


def _by_code_unit(value: Any) -> Any:
    """Texts are ordered by their UTF-16 code units, which differ from code points above U+FFFF."""
    return value.encode("utf-16-be", "surrogatepass") if isinstance(value, str) else value


def _comparable(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    return isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal)


def same(one: Any, other: Any) -> bool:
    """Equality of kind and value, through objects and arrays."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return _kind(one) is _kind(other) and bool(one == other)


def _kind(value: Any) -> type:
    return float if isinstance(value, Decimal) else type(value)

"""jq's rules for values: truth, order, equality and indexing, over JSON values as Python holds them.

Source: the jq 1.7 manual, "Basic filters" and "Sort". Not here: anything with more than one output.
Booleans are never numbers here, although Python says `True == 1`.
"""

from collections.abc import Callable
from math import floor
from typing import Any

Compare = Callable[[Any, Any], bool]


class ExpressionError(Exception):
    """An expression that failed on its value, with jq's own words."""


def is_true(value: Any) -> bool:
    """jq's truth: everything but `null` and `false`."""
    return value is not None and value is not False


def kind_of(value: Any) -> str:
    """jq's name of a value's type."""
    if value is None:
        return "null"
    return _KINDS.get(type(value), "object")


_KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_ORDER = {"null": 0, "boolean": 1, "number": 3, "string": 4, "array": 5, "object": 6}


def equal(left: Any, right: Any) -> bool:
    """jq's `==`, with integers of any size compared exactly."""
    if type(left) is str or type(right) is str:  # the common case, and cheap
        return bool(left == right)
    return order(left, right) == 0


def order(left: Any, right: Any) -> int:
    """Negative, zero or positive as `left` sorts before, with or after `right`:
    null, false, true, numbers, strings, arrays, objects."""
    kind, other = kind_of(left), kind_of(right)
    if kind != other:
        return _ORDER[kind] - _ORDER[other]
    if kind == "array":
        return _order_of_lists(left, right)
    if kind == "object":
        return _order_of_objects(left, right)
    return 0 if kind == "null" else int(left > right) - int(left < right)


def _order_of_lists(left: list[Any], right: list[Any]) -> int:
    for one, other in zip(left, right, strict=False):
        if difference := order(one, other):
            return difference
    return len(left) - len(right)


def _order_of_objects(left: dict[str, Any], right: dict[str, Any]) -> int:
    """Key sets first, as sorted arrays; then value by value in key order."""
    keys = sorted(left)
    if difference := _order_of_lists(keys, sorted(right)):
        return difference
    return next((found for key in keys if (found := order(left[key], right[key]))), 0)


COMPARISONS: dict[str, Compare] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": lambda left, right: order(left, right) < 0,
    "<=": lambda left, right: order(left, right) <= 0,
    ">": lambda left, right: order(left, right) > 0,
    ">=": lambda left, right: order(left, right) >= 0,
}


def index(value: Any, key: Any) -> Any:
    """jq's `value[key]`: null for what is missing, `ExpressionError` for a type that cannot be indexed so."""
    match (kind_of(value), kind_of(key)):
        case ("object", "string"):
            return value.get(key)
        case ("array", "number"):
            return _item(value, floor(key))
        case ("array", "array"):
            return _positions(value, key)
        case ("null", "string" | "number" | "object"):
            return None
        case (kind, "string"):
            raise ExpressionError(f'Cannot index {kind} with "{key}"')
        case (kind, other):
            raise ExpressionError(f"Cannot index {kind} with {other}")


def _item(items: list[Any], position: int) -> Any:
    position += len(items) if position < 0 else 0
    return items[position] if 0 <= position < len(items) else None


def _positions(items: list[Any], wanted: list[Any]) -> list[int]:
    """Where the array `wanted` occurs in `items`; jq's `indices`."""
    if not wanted:
        return []
    last = len(items) - len(wanted) + 1
    return [at for at in range(last) if _order_of_lists(items[at : at + len(wanted)], wanted) == 0]

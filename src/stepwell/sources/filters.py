"""Filters over rows, in the form that MongoDB made common: fields to values or to operators."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.sources.port import SourceError

_ORDERINGS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": lambda one, other: one > other,
    "$gte": lambda one, other: one >= other,
    "$lt": lambda one, other: one < other,
    "$lte": lambda one, other: one <= other,
}


def fits(row: Mapping[str, Any], find: Any) -> bool:
    """Whether a row is what a filter describes. Raises `SourceError` for one that it cannot read."""
    if not isinstance(find, Mapping):
        raise SourceError("find must be an object")
    return all(_fits(row, name, wanted) for name, wanted in find.items())


def _fits(row: Mapping[str, Any], name: str, wanted: Any) -> bool:
    match name:
        case "$and":
            return all(fits(row, part) for part in wanted)
        case "$or":
            return any(fits(row, part) for part in wanted)
        case "$nor":
            return not any(fits(row, part) for part in wanted)
    if name.startswith("$"):
        raise SourceError(f"find has no operator {name} here (it has $and, $or, $nor)")
    found = row.get(name)
    if isinstance(wanted, Mapping) and any(key.startswith("$") for key in wanted):
        return all(_holds(operator, found, argument, present=name in row) for operator, argument in wanted.items())
    return _equal(found, wanted)


def _holds(operator: str, found: Any, argument: Any, *, present: bool) -> bool:
    match operator:
        case "$eq":
            return _equal(found, argument)
        case "$ne":
            return not _equal(found, argument)
        case "$in":
            return any(_equal(found, item) for item in argument)
        case "$nin":
            return not any(_equal(found, item) for item in argument)
        case "$exists":
            return present is bool(argument)
    if operator not in _ORDERINGS:
        raise SourceError(f"find has no operator {operator} here")
    one, other = _aligned(found, argument)
    try:
        return found is not None and _ORDERINGS[operator](one, other)
    except TypeError:
        return False


def _equal(found: Any, wanted: Any) -> bool:
    one, other = _aligned(found, wanted)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _aligned(found: Any, wanted: Any) -> tuple[Any, Any]:
    """Files of text have no numbers: what stands in them is compared as a number with a number."""
    if isinstance(found, str) and isinstance(wanted, int | float) and not isinstance(wanted, bool):
        try:
            return float(found), wanted
        except ValueError:
            return found, wanted
    return found, wanted

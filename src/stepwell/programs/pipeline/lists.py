"""Functions on lists, and on several numbers at once. All of them take the execution first."""

from typing import Any, Final

from stepwell.programs.pipeline import numbers, strings
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError

MAX_ITEMS: Final = 10_000


def length(_execution: Execution, value: str | list[Any]) -> int:
    return len(value)


def make(_execution: Execution, *values: Any) -> list[Any]:
    return list(values)


def item(_execution: Execution, values: list[Any], index: int) -> Any:
    """Counted from 0; negative from the end."""
    try:
        return values[index]
    except IndexError:
        raise RuleError(f"item index must be within the list of {len(values)} (got {index})") from None


def pick(execution: Execution, values: list[Any]) -> Any:
    """One item, all with the same chance."""
    if not values:
        raise RuleError("pick requires a list that is not empty")
    return values[execution.chance.below(len(values))]


def shuffle(execution: Execution, values: list[Any]) -> list[Any]:
    return execution.chance.shuffled(values)


def append(_execution: Execution, values: list[Any], value: Any) -> list[Any]:
    if len(values) >= MAX_ITEMS:
        raise RuleError(f"Expected a list of at most {MAX_ITEMS} items")
    return [*values, value]


def join(execution: Execution, values: list[Any], separator: str) -> str:
    texts = [strings.text(execution, value) for value in values]
    if sum(map(len, texts)) + len(separator) * len(texts) > strings.MAX_TEXT:
        raise RuleError(f"Expected a text of at most {strings.MAX_TEXT} characters")
    return separator.join(texts)


def numbers_between(_execution: Execution, first: int, last: int) -> list[int]:
    """All integers from `first` to `last`, both included."""
    if last - first >= MAX_ITEMS:
        raise RuleError(f"Expected a list of at most {MAX_ITEMS} items")
    return list(range(first, last + 1))


def between(execution: Execution, low: Any, high: Any) -> float:
    """A random decimal from `low` up to `high`."""
    if low > high:
        raise RuleError("minInclusive must be <= maxInclusive")
    one, other = float(numbers.exact(low)), float(numbers.exact(high))
    return one + (other - one) * execution.chance.fraction()


def least(_execution: Execution, *values: Any) -> Any:
    return min(values, key=numbers.exact)


def most(_execution: Execution, *values: Any) -> Any:
    return max(values, key=numbers.exact)


def small(value: int, name: str, low: int, high: int) -> int:
    """An argument that has bounds."""
    if not low <= value <= high:
        raise RuleError(f"{name} must be {low} to {high} (got {value})")
    return value

"""The closures that expressions are made of. Each takes (value, variables) and returns one JSON value."""

from typing import Any

from stepwell.programs.flow.expressions.expression import Run, Variables, constant
from stepwell.programs.flow.expressions.values import Compare, ExpressionError, index, is_true

__all__ = [
    "alternative",
    "both",
    "compare",
    "constant",
    "dynamic_index",
    "either",
    "literal",
    "negation",
    "path",
    "pipe",
    "variable",
]


def identity(value: Any, _variables: Variables) -> Any:
    return value


def negation(value: Any, _variables: Variables) -> bool:
    return not is_true(value)


def literal(value: Any) -> Run:
    run: Run = constant(value).run
    return run


def variable(name: str) -> Run:
    def run(_value: Any, variables: Variables) -> Any:
        try:
            return variables[name]
        except KeyError:
            raise ExpressionError(f"${name} is not defined") from None

    return run


def path(base: Run | None, keys: tuple[Any, ...]) -> Run:
    """`base` (or the value itself) indexed by constant keys, one after the other."""
    if not keys:
        return base or identity
    walk = _walk_names(keys) if all(type(key) is str for key in keys) else _walk(keys)
    return pipe(base, walk) if base else walk


def _walk_names(keys: tuple[str, ...]) -> Run:
    """The hot path: names only, objects nearly always."""

    def run(value: Any, _variables: Variables) -> Any:
        for key in keys:
            value = value.get(key) if type(value) is dict else index(value, key)
        return value

    return run


def _walk(keys: tuple[Any, ...]) -> Run:
    def run(value: Any, _variables: Variables) -> Any:
        for key in keys:
            value = index(value, key)
        return value

    return run


def dynamic_index(base: Run, key: Run) -> Run:
    """`base[key]`: jq evaluates the key on the same value as the base."""
    return lambda value, variables: index(base(value, variables), key(value, variables))


def pipe(left: Run, right: Run) -> Run:
    return lambda value, variables: right(left(value, variables), variables)


def both(left: Run, right: Run) -> Run:
    return lambda value, variables: is_true(left(value, variables)) and is_true(right(value, variables))


def either(left: Run, right: Run) -> Run:
    return lambda value, variables: is_true(left(value, variables)) or is_true(right(value, variables))


def compare(test: Compare, left: Run, right: Run) -> Run:
    return lambda value, variables: test(left(value, variables), right(value, variables))


def alternative(left: Run, right: Run) -> Run:
    """jq's `left // right`: the right side for null and false on the left; an error stays an error."""

    def run(value: Any, variables: Variables) -> Any:
        found = left(value, variables)
        return found if is_true(found) else right(value, variables)

    return run

"""What a value must be like, as an expression that says yes or no: the filters of events.

A literal fits what equals it; an object what has its properties, and perhaps others; a list what has as many items,
each fitting. `${ ... }` stands for the value at its place, which is `.` in it: `true` fits, `false` and `null` do
not, any other result fits what equals it. An expression that fails on a value does not fit it: whoever sends events
must not be able to fail those that look at them.
"""

from typing import Any

from stepwell.programs.flow.expressions.expression import Expression, Variables, constant, evaluate, names_of
from stepwell.programs.flow.expressions.filter_faults import FILTER_FAULTS
from stepwell.programs.flow.expressions.templates import Compile, escape, expression_text
from stepwell.programs.flow.expressions.values import ExpressionError, equal


def pattern(value: Any, at: str, compile_text: Compile) -> Expression:
    """One expression that is true for the values that fit; `at` is its pointer."""
    match value:
        case str() if (inside := expression_text(value)) is not None:
            return _asked(compile_text(inside, at), at)
        case dict():
            named = {name: pattern(item, f"{at}/{escape(name)}", compile_text) for name, item in value.items()}
            return _all_fit(list(named), list(named.values()), dict)
        case list():
            items = [pattern(item, f"{at}/{position}", compile_text) for position, item in enumerate(value)]
            return _all_fit(list(range(len(items))), items, list)
    return Expression(text="", run=lambda found, _variables: equal(value, found))


def _asked(expression: Expression, at: str) -> Expression:
    if expression.constant:  # what stands for an expression at fault
        return constant(False)

    async def run_remote(found: Any, variables: Variables) -> bool:
        try:
            return _answers(await expression.run(found, variables), found)
        except ExpressionError as error:
            FILTER_FAULTS.note(at, expression.text, error)
            return False

    def run(found: Any, variables: Variables) -> bool:
        try:
            return _answers(expression.run(found, variables), found)
        except ExpressionError as error:
            FILTER_FAULTS.note(at, expression.text, error)
            return False

    return Expression(
        text=expression.text,
        run=run_remote if expression.remote else run,
        names=expression.names,
        remote=expression.remote,
    )


def _answers(result: Any, found: Any) -> bool:
    return result if isinstance(result, bool) else result is not None and equal(result, found)


def _all_fit(keys: list[Any], parts: list[Expression], kind: type[dict[Any, Any]] | type[list[Any]]) -> Expression:
    """Whether all parts of a value fit: properties of an object, or the items of a list of the same length."""

    def inside(found: Any) -> list[Any] | None:
        """What the parts are to fit; None for a value of another shape."""
        if not isinstance(found, kind):
            return None
        if isinstance(found, dict):
            return [found[key] for key in keys] if all(key in found for key in keys) else None
        return found if len(found) == len(keys) else None

    def run(found: Any, variables: Variables) -> bool:
        items = inside(found)
        return items is not None and all(part.run(item, variables) for part, item in zip(parts, items, strict=True))

    async def run_remote(found: Any, variables: Variables) -> bool:
        items = inside(found)
        for part, item in zip(parts, items or (), strict=items is not None):
            if not await evaluate(part, item, variables):
                return False
        return items is not None

    remote = any(part.remote for part in parts)
    return Expression(text="", run=run_remote if remote else run, names=names_of(parts), remote=remote)

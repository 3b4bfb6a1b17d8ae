"""How text of a definition is read where it may be an expression: the annotations of the model.

`Condition`, `Transform`: the language expects an expression there, so `${ }` may be left out.
`Value`, `Fields`, `Text`: plain JSON in which `${ ... }` strings are expressions.
"""

from typing import Annotated, Any

from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.binding import text
from stepwell.programs.flow.check import BROKEN, RESERVED_NAMES, Check, describe, one_of
from stepwell.programs.flow.expressions import Expression


def read_condition(value: Any, at: str, check: Check) -> Any:
    """Text that is an expression, with or without `${ }`."""
    if not isinstance(value, str) or not value.strip():
        return check.fault(at, f"expected an expression, found {describe(value)}")
    inside = jq.expression_text(value)
    return check.expression(value.strip() if inside is None else inside, at)


def read_transform(value: Any, at: str, check: Check) -> Any:
    """An expression, or an object with `${ }` strings in it."""
    if isinstance(value, str):
        return read_condition(value, at, check)
    return read_fields(value, at, check)


def read_value(value: Any, at: str, check: Check) -> Any:
    """Any JSON value with `${ }` strings in it."""
    broken: list[Any] = []

    def compile_text(inside: str, place: str) -> Expression:
        expression = check.expression(inside, place)
        if expression is not BROKEN:
            return expression  # type: ignore[no-any-return]  # `BROKEN` makes it Any
        broken.append(expression)
        return jq.constant(None)

    built = jq.build(value, at, compile_text)
    return BROKEN if broken else built


def read_fields(value: Any, at: str, check: Check) -> Any:
    """An object with `${ }` strings in it, or one `${ }` that gives an object."""
    if isinstance(value, dict) or (isinstance(value, str) and jq.expression_text(value) is not None):
        return read_value(value, at, check)
    return check.fault(at, f"expected an object or an expression in ${{ }}, found {describe(value)}")


def read_data(value: Any, at: str, check: Check) -> Any:
    """What `set` sets: an object with something in it, or an expression."""
    if value == {} and isinstance(value, dict):
        return check.fault(at, "expected an object with at least one property, found an empty object")
    return read_transform(value, at, check)


def read_text(value: Any, at: str, check: Check) -> Any:
    """Text, or an expression in `${ }`."""
    if not isinstance(value, str):
        return check.fault(at, f"expected text, found {describe(value)}")
    return read_value(value, at, check)


def read_variable(value: Any, at: str, check: Check) -> Any:
    """The name of a variable of its own: of `for`, `catch` or `foreach`."""
    if isinstance(value, str) and value in RESERVED_NAMES:
        return check.fault(at, f"expected a name other than {one_of(sorted(RESERVED_NAMES))}, found {value!r}")
    return _IDENTIFIER(value, at, check)


_IDENTIFIER = text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable (letters, digits, _)")

Condition = Annotated[Expression, read_condition]
Transform = Annotated[Expression, read_transform]
Value = Annotated[Expression, read_value]
Fields = Annotated[Expression, read_fields]
Data = Annotated[Expression, read_data]
Text = Annotated[Expression, read_text]
Variable = Annotated[str, read_variable]

"""Arithmetic of the language: integers of any size, exact decimals where one was written, floats from data.

An exact decimal is what a decimal literal and `percent` give; a decimal that came as data is a float. Exact wins over
float, float over integer.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import Any, Final

from stepwell.programs.pipeline.faults import RuleError

Number = int | float | Decimal

PRECISION: Final = 60
MAX_BITS: Final = 13_000
"""Of an integer: nearly 4,000 digits, which every reader of JSON text in Python takes."""
MAX_EXPONENT: Final = 300
"""Of an exact decimal: beyond it readers see infinity."""
_FOUR_PLACES: Final = Decimal("0.0001")
_EXACT: Final = Context(prec=PRECISION)


def number(value: Any, step: str) -> Number:
    """A number, which a boolean is not. Raises `RuleError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise RuleError(f"Numeric function requires numeric arguments for step: {step}")
    return value


def aligned(left: Number, right: Number) -> tuple[Any, Any]:
    """Both as the type that their result has."""
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return exact(left), exact(right)
    if isinstance(left, float) or isinstance(right, float):
        return _float(left), _float(right)
    return left, right


def exact(value: Number) -> Decimal:
    """A float as the shortest decimal that reads back as it."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _float(value: Number) -> float:
    try:
        return float(value)
    except OverflowError:
        raise RuleError(
            f"Expected a number within the range of decimals, found one of {len(str(value))} digits"
        ) from None


def add(left: Number, right: Number) -> Number:
    one, other = aligned(left, right)
    return _finite(_exactly(_EXACT.add, one, other) if isinstance(one, Decimal) else one + other)


def sub(left: Number, right: Number) -> Number:
    one, other = aligned(left, right)
    return _finite(_exactly(_EXACT.subtract, one, other) if isinstance(one, Decimal) else one - other)


def mul(left: Number, right: Number) -> Number:
    one, other = aligned(left, right)
    return _finite(_exactly(_EXACT.multiply, one, other) if isinstance(one, Decimal) else one * other)


def div(left: Number, right: Number) -> Number:
    """An integer where both are and it comes out even; else exact, or a float as of its operands."""
    one, other = aligned(left, right)
    if not other:
        raise RuleError("div divisor must not be 0")
    if isinstance(one, int):
        quotient, rest = divmod(one, other)
        if not rest:
            return int(quotient)
        one, other = Decimal(one), Decimal(other)
    return _finite(_exactly(_EXACT.divide, one, other) if isinstance(one, Decimal) else one / other)


def mod(left: Number, right: Number) -> Number:
    """The remainder with the sign of the divisor."""
    one, other = aligned(left, right)
    if not other:
        raise RuleError("mod divisor must not be 0")
    if not isinstance(one, Decimal):
        return _finite(one % other)
    rest = _exactly(_EXACT.remainder, one, other)
    return rest + other if rest and (rest < 0) != (other < 0) else rest


def percent(value: Number, total: Number) -> Decimal:
    """How many hundredths of `total`, to four places, half up."""
    if not total:
        raise RuleError("percent divisor must not be 0")
    hundredfold = _exactly(_EXACT.multiply, exact(value), Decimal(100))
    return _rounded(_exactly(_EXACT.divide, hundredfold, exact(total)), _FOUR_PLACES)


def round_to(value: Number, places: int) -> Number:
    """Half up; to no places an integer."""
    result = _rounded(exact(value), Decimal(1).scaleb(-places))
    return int(result) if places == 0 else result


def _rounded(value: Decimal, step: Decimal) -> Decimal:
    return _exactly(lambda one, other: one.quantize(other, rounding=ROUND_HALF_UP, context=_EXACT), value, step)


def _exactly(operation: Callable[[Decimal, Decimal], Decimal], one: Decimal, other: Decimal) -> Decimal:
    try:
        return operation(one, other)
    except DecimalException:
        raise RuleError(f"Expected a result of at most {PRECISION} digits, found none") from None


def _finite(value: Any) -> Number:
    """A number that JSON readers read as what it is. Raises `RuleError`."""
    if isinstance(value, int):
        if value.bit_length() <= MAX_BITS:
            return value
    elif isinstance(value, Decimal):
        if abs(value.adjusted()) <= MAX_EXPONENT:
            return value
    elif value - value == 0:
        return float(value)
    raise RuleError("Expected a result that JSON readers can hold, found a larger one")

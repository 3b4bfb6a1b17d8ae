"""Durations: ISO 8601 text, an object of units, or an expression that gives one of these."""

import re
from typing import Annotated, Any

import msgspec

from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.check import BROKEN, Check, describe, hint, one_of
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.expressions.templates import escape

MAX_S = 100 * 365 * 86_400
"""A hundred years: longer is a mistake, and beyond what instants can hold."""

UNITS_MS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000, "milliseconds": 1}

_NUMBER = r"(\d+(?:\.\d+)?)"
_ISO = re.compile(
    rf"P(?!$)(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII,
)
# A year counts 365 days and a month 30: a duration here has no calendar to lean on.
_ISO_UNITS_S = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)

EXPECTED = "a duration (ISO 8601 text like 'PT30S', or an object of days, hours, minutes, seconds, milliseconds)"


class Duration(msgspec.Struct, frozen=True, kw_only=True):
    """A length of time: `seconds`, or an `expression` that gives a duration when the run comes to it."""

    at: str
    seconds: float = 0.0
    expression: Expression | None = None


def seconds_of(value: Any) -> float | None:
    """The seconds of a duration written as text or object; None when it is none."""
    if isinstance(value, str):
        return _seconds_of_text(value)
    if not isinstance(value, dict) or not value or any(name not in UNITS_MS for name in value):
        return None
    if any(not _is_whole(number) or number < 0 for number in value.values()):
        return None
    milliseconds = sum(int(number) * UNITS_MS[name] for name, number in value.items())
    return milliseconds / 1000 if milliseconds <= MAX_S * 1000 else None


def _seconds_of_text(value: str) -> float | None:
    found = _ISO.fullmatch(value)
    if found is None or len(value) > 100:
        return None
    total = sum(float(number) * unit for number, unit in zip(found.groups(), _ISO_UNITS_S, strict=True) if number)
    return total if total <= MAX_S else None


def _is_whole(number: Any) -> bool:
    return type(number) is int or (type(number) is float and number.is_integer())


def read_duration(value: Any, at: str, check: Check) -> Any:
    if isinstance(value, str) and (inside := jq.expression_text(value)) is not None:
        expression = check.expression(inside, at)
        return BROKEN if expression is BROKEN else Duration(at=at, expression=expression)
    if (seconds := seconds_of(value)) is not None:
        return Duration(at=at, seconds=seconds)
    if isinstance(value, dict) and value:
        return _fault_of_units(value, at, check)
    return check.fault(at, f"expected {EXPECTED}, found {describe(value)}")


def _fault_of_units(value: dict[str, Any], at: str, check: Check) -> Any:
    """Names the units at fault; the duration as a whole when each is right in itself."""
    faults = 0
    for name, number in value.items():
        if name not in UNITS_MS:
            found = f"{describe(name)}{hint(name, UNITS_MS)}"
            check.fault(f"{at}/{escape(name)}", f"expected {one_of(UNITS_MS)}, found {found}")
        elif not _is_whole(number) or number < 0:
            check.fault(f"{at}/{name}", f"expected a whole number of {name}, 0 or more, found {describe(number)}")
        else:
            continue
        faults += 1
    return BROKEN if faults else check.fault(at, "expected a duration of at most 100 years, found a longer one")


TimeSpan = Annotated[Duration, read_duration]

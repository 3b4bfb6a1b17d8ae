"""Functions on instants, which are ISO 8601 text (RFC 3339) as `now()` gives it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stepwell.programs.pipeline.execution import Execution, iso
from stepwell.programs.pipeline.faults import RuleError

_SHIFT: Final = re.compile(r"([+-]?[0-9]{1,12})(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def shifted(_execution: Execution, instant: str, by: str) -> str:
    """An instant later (or, with a minus, earlier) by `90s`, `5m`, `-1d`: units ms, s, m, h and d."""
    matched = _SHIFT.fullmatch(by.strip())
    if matched is None:
        raise RuleError(f"dateAdd requires a length like 90s, 5m or -1d (got {by[:40]!r})")
    try:
        return _text(read(instant) + timedelta(seconds=int(matched[1]) * _SECONDS[matched[2]]))
    except OverflowError:
        raise RuleError(f"dateAdd leads out of the years 1 to 9999 (got {instant[:40]} and {by[:40]})") from None


def seconds_between(_execution: Execution, one: str, other: str) -> float:
    """Seconds from the second instant to the first."""
    return (read(one) - read(other)).total_seconds()


def formatted(_execution: Execution, instant: str, pattern: str) -> str:
    """An instant in UTC by a pattern of `strftime` (`%Y-%m-%d`)."""
    if len(pattern) > 200:
        raise RuleError("dateFormat takes a pattern of at most 200 characters")
    try:
        return read(instant).strftime(pattern)
    except (ValueError, UnicodeError):
        raise RuleError(f"dateFormat cannot use the pattern {pattern!r}") from None


def of_seconds(_execution: Execution, seconds: Any) -> str:
    """An instant from seconds since the epoch."""
    try:
        return iso(float(seconds))
    except (OverflowError, ValueError):
        raise RuleError("date requires seconds within the years 1 to 9999") from None


def read(text: str) -> datetime:
    """An instant in UTC. Raises `RuleError`."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RuleError(f"Expected a date or an instant like 2026-01-31T12:00:00Z (got {text[:40]!r})") from None


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")

"""The `wait` of a stage: a whole number and a unit, `250ms`, `10s` or `5m`."""

import re

from stepwell.programs.pipeline.faults import RuleError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SHAPE = re.compile(r"(.*?)(ms|s|m)", re.IGNORECASE | re.DOTALL)
_LONGEST_S = 366 * 86_400


def seconds_of(text: str) -> float:
    """Raises `RuleError`."""
    matched = _SHAPE.fullmatch(text.strip())
    if matched is None:
        raise RuleError(f"Unsupported wait duration: {text}")
    number, unit = matched[1].strip(), matched[2].lower()
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", number):
        raise RuleError(f'For input string: "{number}" (wait must be a whole number of ms, s or m)')
    seconds = int(number) * _UNITS[unit]
    if seconds < 0:
        raise RuleError("wait millis must be >= 0")
    if seconds > _LONGEST_S:
        raise RuleError(f"wait must be at most a year (got {text.strip()})")
    return seconds

"""Expressions of event filters that failed on an event. Such an event does not pass: whoever sends events must not be
able to fail those that look at them. That it happened is not lost: each place is logged once, all are counted.
"""

from typing import Final

import structlog

log = structlog.get_logger()
PLACES: Final = 1_000
"""Places that are known to have been logged; beyond that, they are only counted."""


class FilterFaults:
    """Of this process. A run that is taken up again looks at its events again, and counts again."""

    def __init__(self) -> None:
        self.count = 0
        self._logged: set[tuple[str, str]] = set()

    def note(self, at: str, expression: str, error: Exception) -> None:
        """`at` is the pointer of the expression in its definition."""
        self.count += 1
        place = at, expression
        if place not in self._logged and len(self._logged) < PLACES:
            self._logged.add(place)
            log.warning("filter.failed", at=at, expression=expression, error=str(error))


FILTER_FAULTS: Final = FilterFaults()

"""When a workflow starts by itself: at times, or with events."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from cronsim import CronSim, CronSimError

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.check import Check, describe
from stepwell.programs.flow.model.durations import Duration, read_duration
from stepwell.programs.flow.model.events import EventStrategy, read_strategy

SHORTEST_S: Final = 0.001
"""Two firings within a millisecond have the same start key."""
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def read_cron(value: Any, at: str, check: Check) -> Any:
    """Five fields: minute, hour, day of the month, month, weekday; in UTC."""
    if not isinstance(value, str):
        return check.fault(at, f"expected a cron expression, found {describe(value)}")
    try:
        next(CronSim(value, _SOME_DAY))
    except CronSimError as error:
        return check.fault(
            at, f"expected a cron expression (minute, hour, day, month, weekday), found {describe(value)}: {error}"
        )
    except StopIteration:
        return check.fault(at, f"expected a cron expression of a time that comes, found {describe(value)}")
    return value


def read_constant(value: Any, at: str, check: Check) -> Any:
    """A duration that is known before any run."""
    found = read_duration(value, at, check)
    if isinstance(found, Duration) and found.expression is not None:
        return check.fault(at, f"expected a duration that is no expression, found {describe(value)}")
    return found


def read_interval(value: Any, at: str, check: Check) -> Any:
    found = read_constant(value, at, check)
    if isinstance(found, Duration) and found.seconds < SHORTEST_S:
        return check.fault(at, f"expected a duration of at least a millisecond, found {describe(value)}")
    return found


def read_trigger(value: Any, at: str, check: Check) -> Any:
    """Events that start runs. There is no run yet that could wait until something, or remember a correlation."""
    strategy = read_strategy(value, at, check)
    if not isinstance(strategy, EventStrategy):
        return strategy
    if strategy.until is not None:
        check.unsupported(f"{at}/until", "'until' in a schedule")
    if strategy.all == ():
        return check.fault(f"{at}/all", "expected at least one filter, found an empty list")
    for each in strategy.all or ():
        for correlation in each.correlate.values():
            if correlation.expect is None:
                check.unsupported(correlation.at, "a correlation without 'expect' in a schedule")
    return strategy


class Schedule(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("every", "cron", "after", "on")

    every: Annotated[Duration, read_interval] | None = None
    cron: Annotated[str, read_cron] | None = None
    after: Annotated[Duration, read_constant] | None = None
    on: Annotated[EventStrategy, read_trigger] | None = None

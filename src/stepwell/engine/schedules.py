"""Schedules: rules that start runs at times. A schedule is a small record; each firing starts a run under its own
key, so that firing twice starts one run.
"""

import math
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from stepwell.core.errors import InvalidInputError
from stepwell.core.program import Timing
from stepwell.store.model import Record

KIND = "schedule"
SHORTEST_S: Final = 0.001
"""The start key of a firing has milliseconds: two firings within one would be one run."""
LONGEST_S: Final = 100 * 365 * 86_400
LAST_AT: Final = 253_402_214_400.0
"""The last day of the year 9999: a later instant is no date in any time zone."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When to start runs of a workflow: exactly one of `cron` (with `timezone`), `every_s`, `after_s` and `at`.

    `after_s` counts from the end of the run before; the first run starts at once.

    Instants in seconds since the epoch, UTC. `next_at` is None when it will not fire again.
    """

    id: str
    workflow: str
    input: Any = None
    version: str = ""
    owner: str = ""
    cron: str | None = None
    timezone: str = "UTC"
    every_s: float | None = None
    after_s: float | None = None
    at: float | None = None
    labels: dict[str, str] = {}
    paused: bool = False
    created_at: float = 0.0
    next_at: float | None = None
    last_at: float | None = None
    last_run_id: str | None = None
    last_error: str | None = None


def check(schedule: Schedule) -> None:
    """Raises `InvalidInputError` that names what is wrong."""
    given = [name for name in ("cron", "every_s", "after_s", "at") if getattr(schedule, name) is not None]
    if len(given) != 1:
        raise InvalidInputError(
            f"expected exactly one of cron, every_s, after_s and at; found {', '.join(given) or 'none'}"
        )
    _check_length("every_s", schedule.every_s, at_least=SHORTEST_S)
    _check_length("after_s", schedule.after_s, at_least=0)  # right after the last run; looked at once a second
    if schedule.at is not None and not (_is_number(schedule.at) and 0 <= schedule.at <= LAST_AT):
        raise InvalidInputError(
            f"at: expected a time up to the year 9999, in seconds since 1970 (UTC), found {_found(schedule.at)}"
        )
    try:
        ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        raise InvalidInputError(f"timezone: expected an IANA name, found {schedule.timezone!r}") from None
    if schedule.cron is not None:
        _check_cron(schedule.cron)


def _check_length(name: str, seconds: Any, *, at_least: float) -> None:
    if seconds is not None and not (_is_number(seconds) and at_least <= seconds <= LONGEST_S):
        raise InvalidInputError(
            f"{name}: expected a number of seconds from {at_least:g} up to 100 years, found {_found(seconds)}"
        )


def _check_cron(cron: Any) -> None:
    if not isinstance(cron, str):
        raise InvalidInputError(f"cron: expected five fields in a text, found {_found(cron)}")
    try:
        CronSim(cron, datetime.now(UTC))
    except CronSimError as fault:
        raise InvalidInputError(f"cron: {fault} in {cron!r}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _found(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def next_after(schedule: Schedule, now: float) -> float | None:
    """The first firing after `now`. Local times that a clock change skips or repeats follow Debian's cron."""
    if schedule.cron is not None:
        local = datetime.fromtimestamp(now, ZoneInfo(schedule.timezone))
        try:
            return next(CronSim(schedule.cron, local)).timestamp()
        except StopIteration:
            return None  # such a day never comes again
    if schedule.every_s is not None:
        start = schedule.created_at
        return start + (int((now - start) // schedule.every_s) + 1) * schedule.every_s
    if schedule.after_s is not None:
        return now  # until its last run has ended the duty puts it off
    return schedule.at if schedule.at is not None and schedule.at > now else None


def has_timing(schedule: Schedule, timing: Timing) -> bool:
    """Whether a schedule already says what a definition asks for."""
    return (schedule.cron, schedule.every_s, schedule.after_s) == (timing.cron, timing.every_s, timing.after_s)


def to_record(schedule: Schedule, version: int) -> Record:
    """A schedule as the store keeps it."""
    return Record(
        kind=KIND,
        id=schedule.id,
        owner=schedule.owner,
        version=version,
        due_at=None if schedule.paused else schedule.next_at,
        data=msgspec.to_builtins(schedule),
    )


def from_record(record: Record) -> Schedule:
    return msgspec.convert(record.data, Schedule)

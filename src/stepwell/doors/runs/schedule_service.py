"""The schedule of a definition: at most one, kept by the engine, which starts a run of the default version each time.

What a schedule starts is fixed when it is set, so it is set again when the default, the name or the envs change.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from stepwell.core.errors import InvalidInputError
from stepwell.doors.kit import Fault, InvalidRequestError, MissingError, instant
from stepwell.doors.runs.definition_service import Kept, published
from stepwell.doors.runs.definition_wire import ScheduleRequest, ScheduleShown
from stepwell.doors.runs.inputs import run_input
from stepwell.engine import Engine
from stepwell.engine import schedules as rules
from stepwell.engine.schedules import Schedule
from stepwell.programs.plan.hiding import shown_input
from stepwell.programs.plan.model import ENV_INPUT, Plan
from stepwell.store.model import NAME_LABEL

_EXACT_FIELDS: Final = ("cron", "at", "timezone")


class Schedules:
    """The schedules of definitions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def find(self, id: str) -> Schedule | None:
        """The schedule of a definition."""
        found = await self._engine.store.get_records(rules.KIND, id=schedule_id(id))
        return rules.from_record(found[0]) if found else None

    async def get(self, id: str) -> Schedule:
        """Raises `MissingError`."""
        found = await self.find(id)
        if found is None:
            raise MissingError("schedule of workflow", id)
        return found

    async def statuses(self) -> dict[str, bool]:
        """Whether it is paused, by the id of the definition."""
        return {schedule.workflow: schedule.paused for schedule in await self._engine.list_schedules()}

    async def set(self, kept: Kept, plan: Plan, asked: ScheduleRequest) -> Schedule:
        """Start runs by this rule from now on. Raises `InvalidRequestError`, `ConflictError`."""
        self.check(plan, asked, env=kept.env)
        rule = _rule_of(asked)
        await self._put(kept, plan, asked.inputs or {}, rule)
        return await self._paused(kept.id, asked.paused is True)

    def check(self, plan: Plan, asked: ScheduleRequest, *, env: Mapping[str, str]) -> None:
        """That a rule can be set. Raises `InvalidRequestError`."""
        run_input(plan, asked.inputs or {}, saved_env=env)
        rule = Schedule(id="", workflow="", **_rule_of(asked))
        try:
            rules.check(rule)
        except InvalidInputError as fault:
            name, _, message = str(fault).partition(": ")
            path, text = ((name,), message) if name in _EXACT_FIELDS else ((), str(fault))
            raise InvalidRequestError([Fault(path=path, message=text)]) from None
        now = self._engine.clock.now()
        if rules.next_after(msgspec.structs.replace(rule, created_at=now), now) is None:
            field = "cron" if rule.cron is not None else "at"
            raise InvalidRequestError([Fault(path=(field,), message="expected a time to come, found none")])

    async def pause(self, id: str, *, paused: bool) -> Schedule:
        """Stop firing, or go on. Raises `MissingError`."""
        await self.get(id)
        return await self._paused(id, paused)

    async def renew(self, kept: Kept, plan: Plan) -> None:
        """Set the schedule again, should there be one: the default version, the name or the envs are others now."""
        old = await self.find(kept.id)
        if old is None:
            return
        await self._put(kept, plan, _inputs_of(old), {"cron": old.cron, "at": old.at, "timezone": old.timezone})
        await self._paused(kept.id, old.paused)

    async def remove(self, id: str) -> None:
        """Raises `MissingError`."""
        await self.get(id)
        await self._engine.unschedule(schedule_id(id))

    def upcoming(self, schedule: Schedule, limit: int) -> list[float]:
        """The next firings; none while it is paused."""
        found: list[float] = []
        at = None if schedule.paused else schedule.next_at
        while at is not None and len(found) < limit:
            found.append(at)
            at = rules.next_after(schedule, at)
        return found

    async def _put(self, kept: Kept, plan: Plan, inputs: Mapping[str, Any], rule: Mapping[str, Any]) -> None:
        await self._engine.schedule(
            kept.id,
            run_input(plan, inputs, saved_env=kept.env),
            id=schedule_id(kept.id),
            version=str(published(kept)),
            owner=kept.owner,
            labels={NAME_LABEL: kept.name},
            **rule,
        )

    async def _paused(self, id: str, paused: bool) -> Schedule:
        return await self._engine.pause_schedule(schedule_id(id), paused=paused)


def schedule_id(id: str) -> str:
    """The engine's id of a definition's schedule."""
    return f"definition:{id}"


def shown(schedule: Schedule, plan: Plan) -> ScheduleShown:
    """A schedule as clients see it."""
    return ScheduleShown(
        type="recurring" if schedule.cron is not None else "once",
        cron=schedule.cron,
        at=instant(schedule.at),
        timezone=schedule.timezone,
        paused=schedule.paused,
        inputs=shown_input(plan, _inputs_of(schedule)),
        next_run_at=None if schedule.paused else instant(schedule.next_at),
        last_run_at=instant(schedule.last_at),
        last_run_id=schedule.last_run_id,
    )


def _inputs_of(schedule: Schedule) -> dict[str, Any]:
    return {name: value for name, value in (schedule.input or {}).items() if name != ENV_INPUT}


def _rule_of(asked: ScheduleRequest) -> dict[str, Any]:
    """The rule as the engine takes it. Raises `InvalidRequestError`."""
    wanted = {"recurring": "cron", "once": "at"}
    faults = [
        Fault(path=(name,), message=f"is not part of a schedule of type {asked.type}")
        for type, name in wanted.items()
        if asked.type not in (None, type) and getattr(asked, name) is not None
    ]
    if asked.type is not None and getattr(asked, wanted[asked.type]) is None:
        faults.append(Fault(path=(wanted[asked.type],), message="is required"))
    if not faults and (asked.cron is None) == (asked.at is None):
        found = "neither" if asked.cron is None else "both"
        faults.append(Fault(path=("cron",), message=f"expected exactly one of cron and at, found {found}"))
    if faults:
        raise InvalidRequestError(faults)
    at = None if asked.at is None else _instant(asked.at, asked.timezone)
    return {"cron": asked.cron, "at": at, "timezone": asked.timezone}


def _instant(text: str, timezone: str) -> float:
    """ISO 8601; without an offset it is a local time of the time zone. Raises `InvalidRequestError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"expected a time like 2026-04-07T12:00:00Z, found {text[:40]!r}"
        raise InvalidRequestError([Fault(path=("at",), message=message)]) from None
    if found.tzinfo is None:
        try:
            found = found.replace(tzinfo=ZoneInfo(timezone))
        except (KeyError, ValueError, OSError):
            found = found.replace(tzinfo=UTC)  # the name of the time zone is refused by `check`
    return found.timestamp()

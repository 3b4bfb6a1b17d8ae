"""Fires schedules that are due. Firings missed while nobody ran are made up for by one."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from stepwell.core.errors import StepwellError, StorageError
from stepwell.engine.schedules import KIND, Schedule, from_record, next_after, to_record
from stepwell.store.port import Documents

log = structlog.get_logger()
LOOK_EVERY_S: Final = 1.0


class FireSchedules:
    """`start` starts a run of a schedule for the firing at an instant, once; `ended_at` says when a run ended."""

    name = "schedules"

    def __init__(
        self,
        store: Documents,
        *,
        start: Callable[[Schedule, float], Awaitable[str]],
        ended_at: Callable[[str], Awaitable[float | None]],
    ) -> None:
        self._store = store
        self._start = start
        self._ended_at = ended_at

    async def run_once(self, now: float) -> float:
        for record in await self._store.get_records(KIND, due_by=now):
            schedule = from_record(record)
            changed = await self._put_off(schedule, now) or await self._fire(schedule, record.due_at or now, now)
            # Another node may have been first: then this write is not taken, and its next_at stands.
            await self._store.put_record(to_record(changed, record.version + 1), expect_version=record.version)
        return LOOK_EVERY_S

    async def _put_off(self, schedule: Schedule, now: float) -> Schedule | None:
        """A schedule that counts from the end of its last run, when that is not long enough ago."""
        if schedule.after_s is None or schedule.last_run_id is None:
            return None
        ended_at = await self._ended_at(schedule.last_run_id)
        due_at = now + LOOK_EVERY_S if ended_at is None else ended_at + schedule.after_s
        return msgspec.structs.replace(schedule, next_at=due_at) if due_at > now else None

    async def _fire(self, schedule: Schedule, due_at: float, now: float) -> Schedule:
        fired = msgspec.structs.replace(schedule, last_at=due_at, next_at=next_after(schedule, now))
        try:
            run_id = await self._start(schedule, due_at)
        except StorageError:
            raise
        except StepwellError as fault:
            log.warning("schedule.failed", schedule=schedule.id, workflow=schedule.workflow, error=str(fault))
            return msgspec.structs.replace(fired, last_error=str(fault))
        return msgspec.structs.replace(fired, last_run_id=run_id, last_error=None)

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
    """`start` starts a run of a schedule for the firing at an instant, once; the run's id."""

    name = "schedules"

    def __init__(self, store: Documents, start: Callable[[Schedule, float], Awaitable[str]]) -> None:
        self._store = store
        self._start = start

    async def run_once(self, now: float) -> float:
        for record in await self._store.get_records(KIND, due_by=now):
            schedule = from_record(record)
            due_at = record.due_at if record.due_at is not None else now
            fired = msgspec.structs.replace(schedule, last_at=due_at, next_at=next_after(schedule, now))
            try:
                run_id = await self._start(schedule, due_at)
                fired = msgspec.structs.replace(fired, last_run_id=run_id, last_error=None)
            except StorageError:
                raise
            except StepwellError as fault:
                log.warning("schedule.failed", schedule=schedule.id, workflow=schedule.workflow, error=str(fault))
                fired = msgspec.structs.replace(fired, last_error=str(fault))
            # Another node may have been first: then this write is not taken, and its next_at stands.
            await self._store.put_record(to_record(fired, record.version + 1), expect_version=record.version)
        return LOOK_EVERY_S

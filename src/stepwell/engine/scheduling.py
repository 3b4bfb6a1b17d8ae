"""Schedules kept in the store: added, paused, removed, and fired."""

from typing import TYPE_CHECKING, Any

import msgspec

from stepwell.core.errors import InvalidInputError, ProgramError, RefusedError, RunNotFoundError
from stepwell.core.program import Timing
from stepwell.engine import schedules
from stepwell.engine.attempts import recorded
from stepwell.engine.ids import new_id
from stepwell.engine.schedules import Schedule
from stepwell.store.model import Record

if TYPE_CHECKING:
    from stepwell.engine.engine import Engine


class Scheduling:
    """The rules that start runs at times, those of definitions among them."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def add(
        self,
        workflow: str,
        input: Any = None,
        *,
        cron: str | None = None,
        timezone: str = "UTC",
        every_s: float | None = None,
        after_s: float | None = None,
        at: float | None = None,
        id: str | None = None,
        version: str = "",
        owner: str = "",
        labels: dict[str, str] | None = None,
    ) -> Schedule:
        """Start runs at times: by `cron` in a time zone, every so many seconds, so long after the end of the
        last run, or once `at` an instant.

        The same `id` again replaces the schedule. Raises `InvalidInputError`, `WorkflowNotFoundError`.
        """
        await self._engine.workflows.find(workflow, version)
        now = self._engine.clock.now()
        try:
            _, value = recorded(input)
        except ProgramError as fault:
            raise InvalidInputError(f"input: {fault}") from None
        rule = Schedule(
            id=id or new_id(now),
            workflow=workflow,
            input=value,
            version=version,
            owner=owner,
            cron=cron,
            timezone=timezone,
            every_s=every_s,
            after_s=after_s,
            at=at,
            labels=labels or {},
            created_at=now,
        )
        schedules.check(rule)
        rule = msgspec.structs.replace(rule, next_at=schedules.next_after(rule, now))
        await self._engine.store.put_record(schedules.to_record(rule, version=1))
        return rule

    async def pause(self, id: str, *, paused: bool = True) -> Schedule:
        """Stop firing, or (`paused=False`) fire again from now on."""
        record, rule = await self._find(id)
        rule = msgspec.structs.replace(
            rule, paused=paused, next_at=schedules.next_after(rule, self._engine.clock.now())
        )
        await self._engine.store.put_record(schedules.to_record(rule, record.version + 1))
        return rule

    async def remove(self, id: str) -> None:
        await self._find(id)
        await self._engine.store.drop_record(schedules.KIND, id)

    async def list(self) -> list[Schedule]:
        return [schedules.from_record(record) for record in await self._engine.store.get_records(schedules.KIND)]

    async def _find(self, id: str) -> tuple[Record, Schedule]:
        found = await self._engine.store.get_records(schedules.KIND, id=id)
        if not found:
            raise RefusedError("not_found", f"there is no schedule {id}")
        return found[0], schedules.from_record(found[0])

    async def fire(self, rule: Schedule, due_at: float) -> str:
        started = await self._engine.start(
            rule.workflow,
            rule.input,
            version=rule.version,
            owner=rule.owner,
            start_key=f"schedule/{rule.id}/{due_at:.3f}",
            door="schedule",
            labels={**rule.labels, "schedule": rule.id},
        )
        return started.run_id

    async def ended_at(self, run_id: str) -> float | None:
        try:
            return (await self._engine.state(run_id)).ended_at
        except RunNotFoundError:
            return 0.0  # pruned: it ended long ago

    async def set_timing(self, workflow: str, timing: Timing | None) -> None:
        """Keep one schedule for what a definition says about starting by itself; none if it says nothing."""
        id = f"workflow:{workflow}"
        old = await self._engine.store.get_records(schedules.KIND, id=id)
        if timing is None:
            if old:
                await self._engine.store.drop_record(schedules.KIND, id)
        elif not old or not schedules.has_timing(schedules.from_record(old[0]), timing):
            await self.add(workflow, id=id, cron=timing.cron, every_s=timing.every_s, after_s=timing.after_s)

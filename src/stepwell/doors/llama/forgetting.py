"""A duty: records of handlers go with the runs that they stand for.

A record is due from when it was written; it is looked at when the retention time has passed since, for no run of its
is pruned earlier.
"""

from typing import Final

import msgspec

from stepwell.core.errors import RunNotFoundError
from stepwell.core.state import State
from stepwell.core.status import TERMINAL
from stepwell.doors.llama.handlers import GONE, HANDLER, STARTING_S
from stepwell.engine import Engine
from stepwell.store.port import Record

EVERY_S: Final = 60.0
_PRUNED_BY_S: Final = 120.0
"""By when a run is pruned whose time has come."""
_PAGE: Final = 500


class ForgetHandlers:
    """Drops the records whose runs were pruned. Without a retention time there are none."""

    name = "forget-handlers"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    async def run_once(self, now: float) -> float:
        keep_s = self._engine.options.keep_ended_s
        if keep_s is None:
            return EVERY_S
        most = 0
        for kind in (HANDLER, GONE):
            found = await self._store.get_records(kind, due_by=now - keep_s - STARTING_S, limit=_PAGE)
            for record in found:
                await self._look(record, now, keep_s)
            most = max(most, len(found))
        return 0.1 if most == _PAGE else EVERY_S

    async def _look(self, record: Record, now: float, keep_s: float) -> None:
        names = [record.id] if record.kind == GONE else [record.data["run_id"], record.data["before"]]
        runs = [run for name in names if name and (run := await self._run(name)) is not None]
        if not runs:
            await self._store.drop_record(record.kind, record.id)
            return
        over = all(run.status in TERMINAL for run in runs)
        due_at = now - keep_s + _PRUNED_BY_S if over else now
        again = msgspec.structs.replace(record, version=record.version + 1, due_at=due_at)
        await self._store.put_record(again, expect_version=record.version)

    async def _run(self, run_id: str) -> State | None:
        try:
            return await self._engine.state(run_id)
        except RunNotFoundError:
            return None

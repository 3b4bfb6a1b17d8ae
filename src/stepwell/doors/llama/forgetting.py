"""A duty: records of handlers go with the runs that they stand for.

A record is due from when it was written; it is looked at when the retention time has passed since, for no run of its
is pruned earlier.
"""

from typing import Final

import msgspec

from stepwell.doors.llama.handlers import GONE, HANDLER, STARTING_S
from stepwell.engine import Engine
from stepwell.engine.watching import LAST
from stepwell.store.model import Ends, Record

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
            names = [name for record in found for name in _runs_of(record)]
            ends = await self._engine.ends(names) if names else {}
            for record in found:
                await self._look(record, [ends[name] for name in _runs_of(record) if name in ends], now, keep_s)
            most = max(most, len(found))
        return 0.1 if most == _PAGE else EVERY_S

    async def _look(self, record: Record, runs: list[Ends], now: float, keep_s: float) -> None:
        if not runs:
            await self._store.drop_record(record.kind, record.id)
            return
        over = all(isinstance(run.last, LAST) for run in runs)
        due_at = now - keep_s + _PRUNED_BY_S if over else now
        again = msgspec.structs.replace(record, version=record.version + 1, due_at=due_at)
        await self._store.put_record(again, expect_version=record.version)


def _runs_of(record: Record) -> list[str]:
    """The ids of the runs that a record stands for."""
    names = [record.id] if record.kind == GONE else [record.data["run_id"], record.data["before"]]
    return [name for name in names if name]

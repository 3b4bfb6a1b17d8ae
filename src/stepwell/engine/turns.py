"""When runs of a workflow with limits are driven: how many begin in a time, and how many are driven at once.

Beginnings are spaced evenly. A run that would begin too early is given the next free instant, its turn, which is a
record of the store: all nodes take from the same, and it outlives them. A turn that went by while nobody drove is
void, so that after a stop what has waited does not begin all together. A run that has begun never waits for a turn.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from stepwell.core.errors import StorageError
from stepwell.dispatch.limits import Limit
from stepwell.engine.clock import Clock
from stepwell.store.model import Record
from stepwell.store.port import Documents

PACE: Final = "pace"
"""Kind of the record of a workflow that says when its next run may begin."""
TURN: Final = "turn"
"""Kind of the record of a run that waits for its turn."""
LATE_S: Final = 10.0
"""A turn is good for so long: queues look every half second, and machines are busy."""


class Turns:
    """Turns of all workflows with a limit of their rate."""

    def __init__(self, documents: Documents, clock: Clock, limits: Mapping[str, Limit]) -> None:
        self._documents = documents
        self._clock = clock
        self._paces = {
            name: Pace(documents, clock, name, limit.every_s) for name, limit in limits.items() if limit.every_s
        }

    async def wait_s(self, run_id: str, workflow: str) -> float:
        """How long until a run that has not begun may do so; 0: it may now. Raises `StorageError`."""
        pace = self._paces.get(workflow)
        if pace is None:
            return 0.0
        for kept in await self._documents.get_records(TURN, id=run_id):
            late_s = self._clock.now() - kept.data["at"]
            if late_s < 0:
                return -float(late_s)
            await self._documents.drop_record(TURN, run_id)
            if late_s < LATE_S:
                return 0.0
        at = await pace.next()
        wait_s = max(0.0, at - self._clock.now())
        if wait_s:
            await self._documents.put_record(Record(kind=TURN, id=run_id, data={"at": at}, due_at=at))
        return wait_s


class Pace:
    """Gives out the turns of one workflow: all that are asked for while a record is on its way go with the next."""

    def __init__(self, documents: Documents, clock: Clock, workflow: str, every_s: float) -> None:
        self._documents = documents
        self._clock = clock
        self._workflow = workflow
        self._every_s = every_s
        self._asked: list[asyncio.Future[float]] = []
        self._task: asyncio.Task[None] | None = None

    async def next(self) -> float:
        """The instant of the next turn, now at the earliest. Raises `StorageError`."""
        turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._asked.append(turn)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._give(), name="stepwell-turns")
        return await turn

    async def _give(self) -> None:
        while self._asked:
            asked, self._asked = [turn for turn in self._asked if not turn.done()], []
            try:
                first = await self._reserve(len(asked))
                await self._sweep(len(asked))
            except StorageError as fault:
                for turn in asked:
                    if not turn.done():
                        turn.set_exception(fault)
                continue
            for number, turn in enumerate(asked):
                if not turn.done():
                    turn.set_result(first + number * self._every_s)

    async def _reserve(self, number: int) -> float:
        """The first of `number` turns that are nobody else's."""
        while True:
            found = await self._documents.get_records(PACE, id=self._workflow)
            version, free_at = (found[0].version, found[0].data["free_at"]) if found else (0, 0.0)
            first = max(self._clock.now(), free_at)
            data = {"free_at": first + number * self._every_s}
            record = Record(kind=PACE, id=self._workflow, version=version + 1, data=data)
            if await self._documents.put_record(record, expect_version=version):
                return float(first)

    async def _sweep(self, number: int) -> None:
        """Drop turns that are void, of runs that never took them: no faster than new ones are made, and a bit."""
        for void in await self._documents.get_records(TURN, due_by=self._clock.now() - LATE_S, limit=number + 1):
            await self._documents.drop_record(TURN, void.id)


class Places:
    """How many runs of a workflow this process drives at once; others wait until one is let go."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._most = {name: limit.at_once for name, limit in limits.items() if limit.at_once is not None}
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, dict[str, None]] = {name: {} for name in self._most}

    def take(self, run_id: str, workflow: str) -> bool:
        """Whether the run is driven now; else `free` names it later."""
        most = self._most.get(workflow)
        if most is not None:
            if self._taken[workflow] >= most:
                self._waiting[workflow][run_id] = None
                return False
            self._waiting[workflow].pop(run_id, None)
            self._taken[workflow] += 1
        return True

    def leave(self, workflow: str) -> None:
        """A run that was driven was let go."""
        if workflow in self._most:
            self._taken[workflow] -= 1

    def free(self, workflow: str) -> Iterator[str]:
        """The runs that may be driven now, those that have waited longest; asked after each that was looked at."""
        waiting = self._waiting.get(workflow, {})
        for run_id in list(waiting)[: self._most.get(workflow, 0) - self._taken[workflow]]:
            del waiting[run_id]
            yield run_id

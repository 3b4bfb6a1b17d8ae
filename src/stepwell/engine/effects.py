"""What the outbox asks for, done: children are started and cancelled, parents are told how they ended."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.errors import Problem, RefusedError, RunNotFoundError, WorkflowNotFoundError, problem
from stepwell.core.state import State
from stepwell.engine.compensating import start_compensation
from stepwell.engine.duties.outbox import Deliver
from stepwell.engine.ownership import check_child
from stepwell.engine.projections import CANCEL_CHILD, CHILD_ENDED, COMPENSATE, SEND_EVENT, START_CHILD
from stepwell.store.model import OutboxItem

if TYPE_CHECKING:
    from stepwell.engine.engine import Engine


class Effects:
    """Every handler may be called twice for one item."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    @property
    def handlers(self) -> Mapping[str, Deliver]:
        return {
            START_CHILD: self.start_child,
            CANCEL_CHILD: self.cancel_child,
            CHILD_ENDED: self.child_ended,
            SEND_EVENT: self.send_event,
            COMPENSATE: self.compensate,
        }

    async def start_child(self, item: OutboxItem) -> None:
        data = item.data
        parent = h.Parent(run_id=data["parent"], key=data["key"])
        if not await self._is_wanted(item, parent) or await self._engine.store.load([item.run_id]):
            return
        try:
            await check_child(self._engine, parent.run_id, data["workflow"], data["version"])
            await self._engine.start(
                data["workflow"],
                data["input"],
                version=data["version"],
                run_id=item.run_id,
                owner=data["owner"],
                door=data["door"],
                parent=parent,
                lineage=tuple(data["lineage"]),
                trace=data.get("trace", ""),  # rows of an older version have none
            )
        except WorkflowNotFoundError as fault:
            error = problem("configuration", str(fault), status=400, retryable=False)
            await self._tell_parent(parent, item.run_id, error=error)

    async def _is_wanted(self, item: OutboxItem, parent: h.Parent) -> bool:
        """Whether anybody still waits for the child that is to be started.

        A start that was put off may come after its own cancellation, which then found nothing to cancel. One that was
        not comes before it, so what is in memory will do; else only the disk tells.
        """
        if not parent.key:
            return True  # it outlives its parent
        at_hand = self._engine.drivers.desk.at_hand(parent.run_id)
        if at_hand is not None and not item.tries and _waits(at_hand.state, parent.key, item.run_id):
            return True
        loaded = await self._engine.store.load([parent.run_id])
        if not loaded:
            return False  # pruned: it had ended
        on_disk = self._engine.drivers.new_journal()
        on_disk.adopt(loaded[0])
        return _waits(on_disk.state, parent.key, item.run_id)

    async def cancel_child(self, item: OutboxItem) -> None:
        with suppress(RefusedError, RunNotFoundError):  # it has ended by itself, or was never started
            await self._engine.cancel(item.run_id, reason="its parent run ended")

    async def child_ended(self, item: OutboxItem) -> None:
        data = item.data
        error = msgspec.convert(data["error"], Problem) if data["error"] else None
        parent = h.Parent(run_id=item.run_id, key=data["key"])
        await self._tell_parent(parent, data["child"], error=error, output=Raw(msgspec.json.encode(data["output"])))

    async def compensate(self, item: OutboxItem) -> None:
        await start_compensation(self._engine, item)

    async def send_event(self, item: OutboxItem) -> None:
        data = item.data
        await self._engine.events.deliver(data["event"], owner=data["owner"], lineage=tuple(data["lineage"]))

    async def _tell_parent(
        self, parent: h.Parent, child_id: str, *, error: Problem | None = None, output: Raw = h.NULL
    ) -> None:
        command = c.EndChild(key=parent.key, child_id=child_id, error=error, output=output)
        with suppress(RunNotFoundError):  # the parent was pruned
            await self._engine.tell(parent.run_id, command)


def _waits(state: State, key: str, child_id: str) -> bool:
    step = state.find(key)
    return step is not None and not step.closed and step.child_id == child_id

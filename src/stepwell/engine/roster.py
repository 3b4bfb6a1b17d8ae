"""Which duties an engine has: who drives runs has all of them, who only commands them looks for changes outside."""

from typing import TYPE_CHECKING

from stepwell.engine.duties.files import SweepFiles
from stepwell.engine.duties.firing import FireSchedules
from stepwell.engine.duties.loop import Duty, DutyLoop
from stepwell.engine.duties.outbox import DeliverOutbox
from stepwell.engine.duties.outside import SeeOutsideChanges
from stepwell.engine.duties.retention import PruneEnded
from stepwell.engine.duties.timers import WakeRuns
from stepwell.engine.effects import Effects

if TYPE_CHECKING:
    from stepwell.dispatch.port import Dispatch
    from stepwell.engine.engine import Engine


class Roster:
    """The duty loops of one engine."""

    def __init__(self, engine: "Engine", dispatch: "Dispatch") -> None:
        self._engine = engine
        self._dispatch = dispatch
        self._loops: list[DutyLoop] = []
        self._delivering: list[DutyLoop] = []
        self.written_outside = 0
        """How often another process was seen to have written."""

    def add_seeing(self) -> None:
        """What every process does."""
        engine = self._engine
        seeing = SeeOutsideChanges(engine.store, changed=engine.drivers.changed_outside, written=self._written)
        engine.store.on_told(self._add(seeing).nudge)

    def add_driving(self) -> None:
        """What only processes that drive runs do."""
        engine, webhooks = self._engine, self._engine.webhooks
        self._delivering.append(self._add(DeliverOutbox(engine.store, Effects(engine).handlers)))
        if webhooks is not None:
            sending = self._add(webhooks.duty)
            webhooks.duty.nudge = sending.nudge
            self._delivering.append(sending)
        engine.committer.on_outbox = self.nudge_delivery
        self._add(WakeRuns(engine.store, self._dispatch))
        self._add(FireSchedules(engine.store, start=engine.schedules.fire, ended_at=engine.schedules.ended_at))
        if engine.options.keep_ended_s is not None:
            self._add(PruneEnded(self._prune, engine.options.keep_ended_s))
        if engine.files is not None:
            self._add(SweepFiles(engine.store, engine.files))

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        for loop in self._loops:
            await loop.stop()

    def nudge_delivery(self) -> None:
        """There may be something to deliver; nothing to do for a process that does not drive."""
        for loop in self._delivering:
            loop.nudge()

    def _add(self, duty: Duty) -> DutyLoop:
        loop = DutyLoop(duty, self._engine.clock)
        self._loops.append(loop)
        return loop

    async def _written(self) -> None:
        """Another process wrote: perhaps an endpoint, perhaps something to deliver."""
        self.written_outside += 1
        if self._engine.webhooks is not None:
            await self._engine.webhooks.refresh()
        self.nudge_delivery()

    async def _prune(self, ended_before: float) -> int:
        return await self._engine.prune(ended_before=ended_before)

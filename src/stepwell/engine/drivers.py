"""The runs in hand: which are driven in this process, their journals, and who waits for their end."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.chain import Chain
from stepwell.core.decide import Refusal, decide
from stepwell.core.errors import NewerHistoryError, NotRecordableError, RunNotFoundError, StepwellError, StorageError
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.dispatch.limits import Limit
from stepwell.dispatch.port import Dispatch
from stepwell.engine.clock import Clock
from stepwell.engine.commits import Committer
from stepwell.engine.crowd import Crowd
from stepwell.engine.desk import Desk
from stepwell.engine.driver import Release, RunDriver
from stepwell.engine.journal import Journal, Office, encode_state
from stepwell.engine.meters import Meters
from stepwell.engine.notices import NOBODY, Notices
from stepwell.engine.tracing import Tracing
from stepwell.engine.turns import Places, Turns
from stepwell.engine.watching import Watchers
from stepwell.engine.workflows import Workflows
from stepwell.store.model import ANY_RUN, Loaded, StreamItem
from stepwell.store.port import Store

log = structlog.get_logger()

_PAUSED: Final = Status.PAUSED  # as in `core.run`
_NOT_BEGUN: Final = (Status.PENDING, Status.SCHEDULED)
SNAPSHOT_ABOVE: Final = 1_000
"""A parked run with a longer history keeps its folded state."""
RETRY_AFTER_FAULT_S: Final = 1.0
SAY_AGAIN_S: Final = 60.0
"""How long the same reason why runs are not driven is not logged again."""


class Drivers:
    """Drives the runs that dispatch gives to this process; tells watchers and waiters what is on disk."""

    def __init__(
        self,
        *,
        store: Store,
        committer: Committer,
        clock: Clock,
        dispatch: Dispatch,
        workflows: Workflows,
        watchers: Watchers,
        idle_s: float,
        meters: Meters,
        notices: Notices = NOBODY,
        chain: Chain | None = None,
        tracing: Tracing | None = None,
        limits: Mapping[str, Limit] | None = None,
    ) -> None:
        self.desk = Desk(store, self.new_journal)
        self.active: dict[str, RunDriver] = {}
        self.driving = False
        self._store = store
        self._committer = committer
        self._clock = clock
        self._dispatch = dispatch
        self._workflows = workflows
        self._watchers = watchers
        self._idle_s = idle_s
        self._tracing = tracing
        self._turns = Turns(store, clock, limits or {})
        self._places = Places({} if store.shared else limits or {})  # of many nodes, their queue sees to that
        self._office = Office(
            store=store,
            committer=committer,
            clock=clock,
            count=meters.committed,
            observe=self._committed,
            watched=watchers.channels,
            notices=notices,
            chain=chain,
            tracing=tracing,
        )
        self._results: dict[str, Crowd] = {}
        self._said: dict[str, float] = {}
        self._kept: set[str] = set()
        """Runs that are created here and will be driven here: of a shared store, not to be taken over."""
        self._notes: set[asyncio.Task[None]] = set()

    def take_up(self, journal: Journal) -> None:
        """Have the run driven, if it needs to be and nobody does. A shared store does so with the commit, unless the
        run is new and driven here.
        """
        state = journal.state
        if not self.driving or state.run_id in self.active or state.at_rest:
            return
        if not self._store.shared:
            self._dispatch.submit(state.run_id)
        elif journal.unclaimed and (node := self._dispatch.start(state.run_id, state.workflow)):
            self._kept.add(state.run_id)
            journal.keep(node)

    def give_way(self) -> None:
        """Begin nothing new and end the steps in flight: the next process goes on from there."""
        self.driving = False
        for driver in list(self.active.values()):
            driver.give_way()

    async def ended(self, run_id: str) -> State:
        """Wait for the end of a run, and for that to be on disk."""
        while True:  # a journal whose store failed is worth nothing: look at the one that took its place
            async with self.desk.borrow(run_id) as journal:
                while not journal.void:
                    if journal.state.ended_seq and journal.settled_down:
                        return journal.state
                    if not journal.run:  # being started, perhaps a second time: then the one on disk counts
                        with suppress(StepwellError):
                            await journal.durable()
                        continue
                    await self._end_of(run_id)

    async def _end_of(self, run_id: str) -> None:
        waiting = self._results.setdefault(run_id, Crowd())
        try:
            await waiting.wait()
        except asyncio.CancelledError:
            waiting.forget_cancelled()  # a client that asks again and again leaves nothing behind
            raise

    def new_journal(self) -> Journal:
        return Journal(self._office)

    async def drive(self, run_id: str) -> bool:
        """Drive a run until it ends or is parked; False when this node cannot (`dispatch.port.Drive`)."""
        able = await self._drive(run_id)
        if not able:  # it may be so new that its creation is still on its way
            with suppress(StepwellError):
                async with self.desk.borrow(run_id) as journal:
                    await journal.durable()
        return able

    async def _drive(self, run_id: str) -> bool:
        take_over = self._store.shared and run_id not in self._kept
        self._kept.discard(run_id)
        try:
            taken = await self._take_over(run_id) if take_over else None
            if take_over and taken is None:
                return True  # it needs no driver any more
            async with self.desk.borrow(run_id, taken) as journal:
                if taken is not None and not await journal.hold(taken):
                    return True  # another node has taken it over since
                try:
                    why = await self._drive_journal(run_id, journal)
                finally:
                    for other in self._places.free(journal.state.workflow):
                        self._dispatch.submit(other)
        except NotRecordableError as fault:
            log.error("run.not_driven", run_id=run_id, error=str(fault))
            return False
        except NewerHistoryError as fault:
            self._say_once(run_id, str(fault))
            return False
        except StorageError as fault:
            log.warning("run.store_failed", run_id=run_id, error=str(fault))
            why = Release.FAULT
        except StepwellError as fault:
            self._say_once(run_id, str(fault))
            return False
        except Exception:  # a history that cannot be read, or a bug of ours: the others go on
            log.exception("run.not_driven", run_id=run_id)
            return False
        if why is Release.OVERTAKEN:
            self._dispatch.submit(run_id)
        elif why is Release.FAULT:
            self._dispatch.submit(run_id, delay_s=RETRY_AFTER_FAULT_S)
        return True

    def _say_once(self, run_id: str, fault: str) -> None:
        """Log why a run is not driven; the other runs of a workflow that is not there have the same reason."""
        now = self._clock.now()
        if now - self._said.get(fault, 0.0) > SAY_AGAIN_S:
            log.error("run.not_driven", run_id=run_id, error=fault)
            self._said = {said: at for said, at in self._said.items() if now - at <= SAY_AGAIN_S} | {fault: now}

    async def _take_over(self, run_id: str) -> Loaded | None:
        """Fence off who drove the run before."""
        taken = await self._store.take_over([run_id])
        if not taken:
            return None
        if taken[0].driven_before:
            log.info("run.taken_over", run_id=run_id, epoch=taken[0].epoch, seq=taken[0].seq)
        return taken[0]

    async def _drive_journal(self, run_id: str, journal: Journal) -> Release:
        state = journal.state
        if state.ended_seq or state.phase is _PAUSED:
            for key in list(state.timers):  # people's deadlines go on while a run is paused
                journal.perform(c.FireTimer(key=key))
            await journal.durable()
            if journal.live:
                journal.park()
            return Release.PARKED
        if state.phase in _NOT_BEGUN and (wait_s := await self._turns.wait_s(run_id, state.workflow)):
            self._dispatch.submit(run_id, wait_s)
            return Release.PARKED
        if not self._places.take(run_id, state.workflow):
            return Release.PARKED
        try:
            return await self._drive_program(run_id, journal)
        finally:
            self._places.leave(state.workflow)

    async def _drive_program(self, run_id: str, journal: Journal) -> Release:
        compiled = await self._workflows.compiled(journal.state.definition)
        driver = self.active[run_id] = RunDriver(
            journal,
            clock=self._clock,
            idle_s=self._idle_s,
            report_late=self.report_late,
            tracing=self._tracing,
        )
        try:
            why = await driver.drive(compiled.program)
        finally:
            del self.active[run_id]
        if isinstance(driver.fault, NotRecordableError):
            raise driver.fault
        if why is Release.PARKED and journal.state.seq > SNAPSHOT_ABOVE:
            await self._store.snapshot(journal.run, journal.state.seq, encode_state(journal.state))
        return why

    def report_late(self, run_id: str, command: c.CompleteStep | c.FailAttempt) -> None:
        """An attempt reports after its run was let go: it goes on record soon, unless this process is ending."""
        if self.driving:
            task = asyncio.ensure_future(self._note(run_id, command))
            self._notes.add(task)
            task.add_done_callback(self._notes.discard)

    async def _note(self, run_id: str, command: c.CompleteStep | c.FailAttempt) -> None:
        with suppress(RunNotFoundError, StorageError):  # pruned in the meantime, or not to be written now
            async with self.desk.borrow(run_id) as journal:
                if isinstance(decide(journal.state, command, self._clock.now()), Refusal):
                    journal.perform(command)
                    await journal.durable()

    def _committed(self, journal: Journal, events: list[h.AnyEvent], items: list[StreamItem]) -> None:
        self._watchers.committed(journal, events, items)
        if journal.state.ended_seq:
            waiting = self._results.pop(journal.state.run_id, None)
            if waiting is not None:
                waiting.let_go()

    async def changed_outside(self, run_id: str) -> None:
        """Another process appended to the run: whoever holds it looks, and it is driven if it needs to be."""
        if run_id == ANY_RUN:
            for each in {*self._watchers.channels, *self.desk.run_ids()}:
                await self.changed_outside(each)
            return
        self._watchers.changed(run_id)
        if self._store.shared and not self.desk.holds(run_id):
            return
        try:
            async with self.desk.borrow(run_id) as journal:
                await journal.refresh()
                self._committed(journal, [], [])
                self.take_up(journal)
        except RunNotFoundError:
            pass  # pruned in the meantime

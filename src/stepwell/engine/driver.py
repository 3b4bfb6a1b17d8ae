"""The driver owns a run while it is active: it runs the program from its start, starts what the program asks for once
that is on disk, fires timers, and lets go when the run ends or nothing but waiting is left.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import cached_property
from typing import Any, Final

from stepwell.core import commands as c
from stepwell.core.decide import Decision, Hold, Refusal
from stepwell.core.errors import ProgramError, StorageError, Suspended, problem
from stepwell.core.place import PLACE, Place
from stepwell.core.program import Program, RunInfo
from stepwell.core.run import START_TIMER
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.engine.attempts import decode, problem_of, recorded
from stepwell.engine.cancelling import being_cancelled, uncancel
from stepwell.engine.clock import Clock
from stepwell.engine.context import BranchContext
from stepwell.engine.crowd import Crowd
from stepwell.engine.journal import Journal
from stepwell.engine.tracing import Tracing
from stepwell.store.model import StreamItem

Future = asyncio.Future
_RUNNING: Final = Status.RUNNING  # as in `core.run`: a look-up less on the path of every run
REPORTS = (c.CompleteStep, c.FailAttempt)
"""What is still taken on record when the run is to be driven anew: attempts in flight are not repeated."""
ReportLate = Callable[[str, c.CompleteStep | c.FailAttempt], None]
"""Takes what an attempt of a run came to after its driver let go."""


class Release(Enum):
    """Why a driver let go."""

    ENDED = "ended"
    PARKED = "parked"
    OVERTAKEN = "overtaken"
    FAULT = "fault"
    FENCED = "fenced"
    """Another node drives the run now."""


class RunDriver:
    """One run, while it is in memory (`journal.Listener`)."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        idle_s: float,
        report_late: ReportLate,
        tracing: Tracing | None = None,
    ) -> None:
        self.journal = journal
        self._report_late = report_late
        self.clock = clock
        self.tracing = tracing
        self.run_id = journal.state.run_id
        self.place = Place(self.run_id)
        """Between steps."""
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.blocked = 0
        """Branches that wait for something durable, are held, or wait for branches of their own."""
        self.branches = 1
        self.fired: set[str] = set()
        """Keys of timers that fired on this pass: a retry may begin before the program has come to its step."""
        self._generation = journal.state.generation
        self._idle_s = idle_s
        self._released: Future[Release] = self.loop.create_future()
        self._running = Crowd()
        self._program: asyncio.Task[None] | None = None
        self._waiters: dict[str, Crowd] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._let_go = False
        self._overtaken = False
        self._unwinding = False
        """Whether it is us who cancelled the program."""
        self.fault: StorageError | None = None
        journal.listener = self

    @property
    def state(self) -> State:
        return self.journal.state

    @cached_property
    def info(self) -> RunInfo:
        """What the program may read of its run."""
        state = self.journal.state
        return RunInfo(
            id=state.run_id,
            workflow=state.workflow,
            version=state.version,
            created_at=state.created_at,
            labels=state.labels,
            parent_id=state.parent.run_id if state.parent else None,
        )

    async def drive(self, program: Program) -> Release:
        """Run the program until the run ends or is parked; why it was let go."""
        journal, timers = self.journal, self.journal.state.timers
        if START_TIMER in timers:
            journal.perform(c.FireTimer(key=START_TIMER))
        journal.perform(c.PickUp())
        if timers:
            self._arm(list(timers))
        if self._let_go:
            pass
        elif journal.state.at_rest:
            self._let_go_when_saved()
        else:
            self._program = self.loop.create_task(self._run(program))
        try:
            return await self._released
        finally:
            self._drop()

    async def _run(self, program: Program) -> None:
        """The program from its start to the end of the run."""
        PLACE.set(self.place)
        state = self.journal.state
        context = BranchContext(self, now=state.created_at)
        try:
            try:
                output, _ = recorded(await program(context, decode(state.input)))
            except ProgramError as fault:
                await self.issue(c.FailRun(error=fault.problem, forget=fault.forget))
            except (Exception, asyncio.CancelledError) as fault:  # whatever a program raises is a record
                if isinstance(fault, asyncio.CancelledError) and self._unwinding:
                    raise
                if not self._unwinding:
                    uncancel()
                await self.issue(c.FailRun(error=problem_of(fault)))
            else:
                await self.issue(c.CompleteRun(output=output))
        except Suspended:
            if not self.state.terminal:
                landing = self.journal.landing()
                if landing is not None:
                    await landing
                self._release(Release.OVERTAKEN)

    # --- what the verbs need ----------------------------------------------------------------------------------------

    async def issue(self, command: c.ProgramCommand) -> None:
        """Have a verb's command accepted: waits while the run stands still. Raises `ProgramError`, `Suspended`."""
        hindrance = self.accept(command)
        if hindrance is not None:
            await hindrance

    def accept(self, command: c.ProgramCommand) -> Awaitable[None] | None:
        """As `issue`. A command that is accepted at once, as nearly all are, has been on return; else there is
        something to wait for.
        """
        if self._let_go or (self._overtaken and not isinstance(command, REPORTS)):
            self.late(command)
            return self._void()
        decision = self.journal.perform(command)
        return None if type(decision) is list else self._insist(command, decision)

    async def _insist(self, command: c.ProgramCommand, decision: Decision) -> None:
        """What is done about a decision that is no acceptance."""
        if isinstance(decision, Refusal):
            if self.state.terminal or decision.code == "late_result":
                raise Suspended
            raise ProgramError(problem("runtime", decision.message, title="Refused", retryable=False))
        assert isinstance(decision, Hold)
        await self._until_running()
        await self.issue(command)

    def late(self, command: c.ProgramCommand) -> None:
        """An attempt reports although nobody waits for it any more: that goes on record."""
        if isinstance(command, REPORTS):
            self._report_late(self.run_id, command)

    async def ready(self) -> None:
        """Wait until a verb would be accepted."""
        while self._overtaken or self.state.phase is not Status.RUNNING:
            if self._overtaken or self.state.terminal:
                await self._void()
            await self._until_running()

    def _void(self) -> Awaitable[None]:
        """What a verb waits for that comes too late: to be cancelled."""
        if being_cancelled():  # shrugged off until now; nobody comes again for what would wait here for ever
            raise asyncio.CancelledError
        return self.block(self.loop.create_future())

    async def block(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for something that may take long: a run of which every branch does so is let go."""
        self.blocked += 1
        self._look_idle()
        try:
            return await awaitable
        finally:
            self.blocked -= 1
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None

    async def changed_key(self, key: str) -> None:
        """Wait until the wait or timer under `key` changes."""
        await self.block(self._waiters.setdefault(key, Crowd()).wait())

    async def _until_running(self) -> None:
        await self.block(self._running.wait())

    def publish(self, item: StreamItem) -> None:
        """Put an item on the stream, unless the run was let go (then its attempt is not the current one)."""
        if not self._let_go:
            self.journal.publish(item)

    def durable(self) -> Awaitable[None]:
        """Comes true when everything so far is on disk; raises the store's fault."""
        return self.journal.durable()

    def fork(self) -> None:
        """The branch that calls this waits for branches of its own."""
        self.blocked += 1

    def begin_branches(self, number: int) -> None:
        self.branches += number

    def end_branch(self) -> None:
        self.branches -= 1
        self._look_idle()

    def join_branches(self) -> None:
        """The branch that waited for others goes on."""
        self.blocked -= 1

    # --- what the journal tells -------------------------------------------------------------------------------------

    def changed(self, keys: list[str]) -> None:
        state, program = self.journal.state, self._program
        for key in keys:
            waiters = self._waiters.pop(key, None)
            if waiters is not None:
                waiters.let_go()
        self._arm(keys)
        if state.phase is _RUNNING:
            self._running.let_go()
        anew = state.generation != self._generation  # a retry or a roll-back: this pass of the program is void
        self._overtaken = self._overtaken or anew
        if (state.ended_seq or anew) and program is not None and program is not asyncio.current_task(self.loop):
            self._unwind()
        self._look_idle()

    def saved(self) -> None:
        journal, state = self.journal, self.journal.state
        if self.blocked >= self.branches:
            self._look_idle()
        again = state.generation != self._generation
        if not (again or state.ended_seq or journal.parking or self._program is None):
            return  # it goes on, as after nearly every batch
        if not journal.settled_down:
            return
        if again:
            self._release(Release.OVERTAKEN)
        elif state.ended_seq:
            self._release(Release.ENDED)
        elif journal.parked:
            self._release(Release.PARKED)
        elif self._program is None:  # it stood still when it was taken up
            self._release(Release.PARKED if self.state.at_rest else Release.OVERTAKEN)

    def lost(self, fault: StorageError | None) -> None:
        self.fault = fault
        self._release(Release.FAULT if fault is not None else Release.ENDED)

    def give_way(self) -> None:
        """Verbs wait from now on; attempts in flight end and are recorded; then the run is driven anew."""
        self._overtaken = True
        self._look_idle()

    def fenced(self) -> None:
        self._release(Release.FENCED)

    # --- timers, and letting go -------------------------------------------------------------------------------------

    def _arm(self, keys: list[str]) -> None:
        loop = self.loop
        for key in keys:
            handle = self._timers.pop(key, None)
            if handle is not None:
                handle.cancel()
            due_at = self.state.timers.get(key)
            if due_at is not None and not self._let_go:
                self._timers[key] = loop.call_later(max(0.0, due_at - self.clock.now()), self._fire, key)

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        if self._let_go or self._overtaken:
            return
        due_at = self.state.timers.get(key)
        if due_at is not None and due_at > self.clock.now():
            self._arm([key])  # the loop's clock and ours differ a little
            return
        self.fired.add(key)
        self.journal.perform(c.FireTimer(key=key))

    def _look_idle(self) -> None:
        """When every branch waits: end a stop, give way after being overtaken, or park after the idle time."""
        if self.blocked < self.branches or self._let_go or self._program is None:
            return
        if self._overtaken:
            if self.journal.settled_down:
                self._release(Release.OVERTAKEN)
        elif self.state.phase is Status.STOPPING:
            self.journal.perform(c.FinishStop())
        elif self._idle is None and not self.state.terminal:
            self._idle = self.loop.call_later(self._idle_s, self._park)

    def _park(self) -> None:
        self._idle = None
        if self.blocked >= self.branches and not self.state.terminal:
            self.journal.park()

    def _let_go_when_saved(self) -> None:
        if self.journal.settled_down:
            self._release(Release.ENDED if self.state.terminal else Release.PARKED)

    def _unwind(self) -> None:
        """Cancel the program, once: an activity that takes its time to clean up is let."""
        if self._program is not None and not self._unwinding:
            self._unwinding = True
            self._program.cancel()

    def _release(self, why: Release) -> None:
        if not self._let_go:
            self._let_go = True
            self._released.set_result(why)

    def _drop(self) -> None:
        """Let go of everything: the program is unwound, timers and waiters are forgotten."""
        self.journal.listener = None
        for handle in self._timers.values():
            handle.cancel()
        if self._idle is not None:
            self._idle.cancel()
        if self._program is not None and not self._program.done():
            self._unwind()

"""What the package's control loop sees of the engine (`InternalRunAdapter`): its ticks are put on record before their
commands run, its mailbox holds posted events, its clock is the engine's, its waits let the run be let go of.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from itertools import count
from typing import Any, Final

import msgspec

from stepwell.core.errors import ProgramError, problem
from stepwell.core.program import Branches, RunContext, StepContext
from stepwell.core.typed import EVENT_SIGNAL
from stepwell.programs.code.codec import Codec
from stepwell.programs.code.envelopes import envelope
from stepwell.programs.code.mailbox import Mailbox
from stepwell.programs.code.patches import Operation, Patch
from stepwell.programs.code.record import Past, item_of, key_of, key_of_round
from stepwell.programs.code.seam import (
    EmissionKey,
    Event,
    InternalRunAdapter,
    NamedTask,
    PendingPull,
    PendingStart,
    PendingWorker,
    SentEvent,
    StartEvent,
    StepId,
    StopEvent,
    TickAddEvent,
    TickStepResult,
    WaitForNextTaskResult,
    WaitResult,
    WaitResultTick,
    WaitResultTimeout,
    WorkerTask,
    WorkflowTick,
)
from stepwell.programs.code.state import HostedStore, Note


class Invocation(msgspec.Struct):
    """One invocation of a step: what it writes belongs to it."""

    step: Any  # StepContext | None: nothing, once it has ended
    writes: list[Patch] = []


LISTEN_AFTER_S: Final = 0.1
"""How long a step may be under way before the run takes posted events beside it. Most steps have ended by then, and
what is posted to them is taken with the next: to listen is a wait on record.
"""
INVOCATION: ContextVar[Invocation | None] = ContextVar("stepwell_invocation", default=None)
"""The invocation that the code at hand belongs to."""


class HostedAdapter(InternalRunAdapter):
    """One run, as its control loop sees it."""

    def __init__(
        self,
        ctx: RunContext,
        branches: Branches,
        past: Past,
        *,
        codec: Codec,
        now: Callable[[], float],
        make_store: Callable[[Note], HostedStore],
    ) -> None:
        self._ctx = ctx
        self._branches = branches
        self._codec = codec
        self._now = now
        self._mailbox = Mailbox(self.tell)
        self._news: asyncio.Future[None] | None = None
        self._ticks = past.ticks
        self._heard = past.heard
        self._writes = past.last_write
        self._loose: list[Patch] = []
        """Writes of no step, or of one that had ended: they go with the next tick."""
        self._deadlines = sorted(past.deadlines.values(), key=lambda deadline: deadline[0])
        self._alarms: set[str] = set()
        self._inbox: dict[int, tuple[Event, int]] = {}
        """By identity of a posted event: the event, and its number."""
        self._listening = False
        self._about_to_listen: asyncio.TimerHandle | None = None
        self._fault: Exception | None = None
        self._ended = False
        self._current = ""
        self.start_event: StartEvent | None = None
        self._rounds = past.rounds
        self.keys: dict[str | None, str] = {}
        """By invocation: the key of its step, until it has reported."""
        self._again: set[str] = set()
        """Keys of steps whose outcome was taken from the record, until they have reported."""
        self._invoked: dict[str, str] = {}
        """By invocation: the key of its step."""
        self._numbers: dict[tuple[str, int], int] = {}
        """By invocation and place of a sent event: its place in the invocation that sent it first."""
        self._sent = past.sent
        self.blame = past.blame
        self._make_store = make_store
        self._store: HostedStore | None = None

    @property
    def run_id(self) -> str:
        return self._ctx.run.id

    async def get_now(self) -> float:
        return self._now()

    def get_state_store(self, namespace: tuple[str, ...] = ()) -> Any:
        if namespace:
            return None
        if self._store is None:  # many workflows keep no state
            self._store = self._make_store(self.note)
        return self._store

    # --- the record -------------------------------------------------------------------------------------------------

    async def on_tick(self, tick: WorkflowTick) -> None:
        key = f"tick/{self._ticks}"
        entry: dict[str, Any] = {}
        self.blame = (key,)
        if isinstance(tick, TickStepResult) and (step := self.keys.pop(tick.invocation_id, None)) is not None:
            entry["step"] = step
            self.blame = (key, step)
            self._rounds[item_of(step)] = self._rounds.get(item_of(step), 0) + 1
        elif isinstance(tick, TickAddEvent):
            entry |= self._source(tick)
        again = entry.get("step") in self._again
        self._again.discard(entry.get("step", ""))
        entry["tick"] = self._codec.dump_tick(tick, of_step="step" in entry, again=again)
        if self._loose:
            entry["writes"], self._loose = self._loose, []
        await self._ctx.record(key, entry)
        self._ticks += 1
        self._current = key

    def _source(self, tick: TickAddEvent) -> Mapping[str, Any]:
        """Where an event came from, when it came from outside or from the middle of a step: this tick consumes it."""
        if tick.event is self.start_event:
            return {"start": True}
        if tick.emission is not None and (step := self._invoked.get(tick.emission.invocation_id)) is not None:
            place = tick.emission.invocation_id, tick.emission.index
            return {"sent": [step, self._numbers.get(place, tick.emission.index)]}
        found = self._inbox.pop(id(tick.event), None)
        return {"inbox": found[1]} if found is not None else {}

    # --- steps ------------------------------------------------------------------------------------------------------

    def invoked(self, name: str, work_item: str | None, invocation_id: str) -> str:
        """A step begins, or goes on: its key."""
        key = key_of_round(key_of(name, work_item), self._rounds)
        if key in self.keys.values():  # two waits of one work item ended at once
            key = f"{key}+{invocation_id}"
        self.keys[invocation_id] = self._invoked[invocation_id] = key
        return key

    def send_again(self, key: str, invocation_id: str, sends: Sequence[SentEvent]) -> list[SentEvent]:
        """A step's outcome was taken from the record: of what it had sent, what was not consumed goes out again."""
        self._again.add(key)
        lost = [sent for sent in sends if (key, sent.index) not in self._sent]
        for number, sent in enumerate(lost):
            self._numbers[invocation_id, number] = sent.index
            tick = TickAddEvent(
                event=sent.event,
                step_id=sent.step_id,
                recovery_counts=sent.recovery_counts,
                emission=EmissionKey(invocation_id=invocation_id, index=number),
            )
            self._mailbox.put(tick)
        return [sent.model_copy(update={"index": number}) for number, sent in enumerate(lost)]

    # --- writes, and what is shown ----------------------------------------------------------------------------------

    def note(self, operations: Sequence[Operation]) -> None:
        """A write to the state: noted by the invocation that made it."""
        self._writes += 1
        invocation = INVOCATION.get()
        writes = self._loose if invocation is None or invocation.step is None else invocation.writes
        writes.append((self._writes, operations))

    async def write_to_event_stream(self, event: Event) -> None:
        item = msgspec.to_builtins(envelope(event))
        invocation = INVOCATION.get()
        if self._ended:
            return  # nothing follows the event that ends the run
        if invocation is None or invocation.step is None:
            self._ended = invocation is None and isinstance(event, StopEvent)
            self._ctx.show(self._current, item)
        else:
            step: StepContext = invocation.step
            step.publish(item)

    # --- the mailbox ------------------------------------------------------------------------------------------------

    async def send_event(self, tick: WorkflowTick) -> None:
        self._mailbox.put(tick)

    async def wait_receive(self, timeout_seconds: float | None = None) -> WaitResult:
        try:
            async with asyncio.timeout(timeout_seconds):
                return WaitResultTick(tick=await self._mailbox.next())
        except TimeoutError:
            return WaitResultTimeout()

    def _listen_soon(self) -> None:
        if not self._listening and self._about_to_listen is None:
            self._about_to_listen = asyncio.get_running_loop().call_later(LISTEN_AFTER_S, self._listen_now)

    def _listen_now(self) -> None:
        """Take posted events from now on, those that came before too."""
        self.drop_timer()
        if not self._listening:
            self._listening = True
            self._branches.begin(self._listen)

    def drop_timer(self) -> None:
        """Cancel the timer that would begin to listen, where one is set."""
        if self._about_to_listen is not None:
            self._about_to_listen.cancel()
            self._about_to_listen = None

    async def _listen(self, ctx: RunContext) -> None:
        for number in count(self._heard):
            try:
                signal = await ctx.wait(f"inbox/{number}", EVENT_SIGNAL, name="event")
                assert signal is not None  # it has no deadline
                self._mailbox.put(self._posted(signal.data, number))
            except Exception as fault:  # noqa: BLE001  the run fails with it: nobody else would hear of it
                self._fault = fault
                self.tell()
                return

    def _posted(self, data: Any, number: int) -> TickAddEvent:
        try:
            event = self._codec.serializer.deserialize_value(data["event"])
            step = data.get("step")
            tick = TickAddEvent(event=event, step_id=StepId.from_str(step) if step else None)
        except Exception as fault:
            raise ProgramError(
                problem("validation", f"a posted event cannot be read: {fault}", retryable=False)
            ) from fault
        self._inbox[id(event)] = event, number
        return tick

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def wait_for_next_task(
        self, running: list[NamedTask], pending: list[PendingStart], timeout: float | None = None
    ) -> WaitForNextTaskResult:
        if self._fault is not None:
            raise self._fault
        at_work = any(isinstance(task, WorkerTask) for task in running) or any(
            isinstance(start, PendingWorker) for start in pending
        )
        due_at = self._due_at(timeout)
        if at_work:
            self._listen_soon()
        else:
            self._listen_now()
            self._wake_at(due_at)
        timeout = None if due_at is None else max(0.0, due_at - self._now())
        started = [self._begun(start) for start in pending]
        done = await self._branches.rest(self._first_done([*running, *started], timeout))
        return WaitForNextTaskResult(done, started)

    def _begun(self, start: PendingStart) -> NamedTask:
        """The mailbox says itself what comes next: that needs no task."""
        if isinstance(start, PendingPull):
            start.coro.close()
            return start.start(self._mailbox.next())
        task = asyncio.create_task(start.coro)
        task.add_done_callback(self.tell)
        return start.start(task)

    async def _first_done(self, tasks: list[NamedTask], timeout: float | None) -> "asyncio.Task[Any] | None":
        """The first that has ended; waits until somebody tells that one has. None makes the control loop look at its
        timers, and ask again.
        """
        done = _ended_of(tasks)
        if done is not None:
            return done
        loop = asyncio.get_running_loop()
        self._news = loop.create_future()
        alarm = loop.call_later(timeout, self.tell) if timeout is not None else None
        try:
            await self._news
        finally:
            if alarm is not None:
                alarm.cancel()
        return _ended_of(tasks)

    def tell(self, *_: Any) -> None:
        """There is something for the control loop."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _due_at(self, timeout: float | None) -> float | None:
        """When the next timer is due, with those that a former life of the run set up."""
        now = self._now()
        while self._deadlines and self._deadlines[0][0] <= now:
            self._mailbox.put(self._deadlines.pop(0)[1])
        dues = [] if timeout is None else [now + timeout]
        dues += [self._deadlines[0][0]] if self._deadlines else []
        return min(dues, default=None)

    def _wake_at(self, due_at: float | None) -> None:
        """Have the run brought back when its next timer is due, should it be let go of until then."""
        if due_at is None:
            return
        key = f"alarm/{math.ceil(due_at * 1000)}"
        if key not in self._alarms:
            self._alarms.add(key)

            async def alarm(ctx: RunContext) -> None:
                await ctx.sleep_until(key, due_at, name="timer")

            self._branches.begin(alarm)


def _ended_of(tasks: list[NamedTask]) -> "asyncio.Task[Any] | None":
    return next((named.task for named in tasks if named.task.done()), None)

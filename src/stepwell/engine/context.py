"""The verbs: `core.program.RunContext`, one per branch of the program.

Every verb has the same shape: if its outcome is on record, return it; else have its command accepted, and wait until
the record is there. A step's work starts only after its scheduling is on disk.
"""

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec

from stepwell.core import commands as c
from stepwell.core.approvals import ApprovalOutcome, ApprovalRequest, faults
from stepwell.core.errors import InvalidInputError, Problem, ProgramError, Suspended, problem
from stepwell.core.history import NULL
from stepwell.core.place import PLACE, Place
from stepwell.core.program import Branch, RaceResult, RunInfo, SignalValue, Work
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.core.state import Choice, Step, StepStatus
from stepwell.core.status import WaitReason
from stepwell.engine.attempts import AttemptContext, decode, problem_of, recorded
from stepwell.engine.cancelling import being_cancelled
from stepwell.engine.events import check_event
from stepwell.engine.ids import derived_id, new_id
from stepwell.engine.ordering import NO_ORDER
from stepwell.engine.racing import Field, fault_of, order_of
from stepwell.engine.strands import Strands
from stepwell.store.model import StreamItem

if TYPE_CHECKING:
    from stepwell.engine.driver import RunDriver

_RUNNING: Final = StepStatus.RUNNING
_RETRYING: Final = StepStatus.RETRYING


class BranchContext:
    """The verbs of one branch. `opened` are the keys it has come by, with those of its own branches in `inner`."""

    def __init__(self, driver: "RunDriver", *, now: float) -> None:
        self._driver = driver
        self._now = now
        self._opened: list[str] = []
        self._inner: list[BranchContext] = []

    @property
    def run(self) -> RunInfo:
        return self._driver.info

    @property
    def now(self) -> float:
        return self._now

    def uuid(self, key: str) -> UUID:
        return uuid.UUID(derived_id(self._driver.run_id, key))

    def open_keys(self) -> tuple[str, ...]:
        """All keys that this branch, and the branches within it, have come by, on this pass or an earlier one."""
        return (*self._opened, *(key for inner in self._inner for key in inner.open_keys()))

    # --- work -------------------------------------------------------------------------------------------------------

    async def step(
        self,
        key: str,
        work: Work,
        *,
        name: str = "",
        retry: RetryPolicy = NO_RETRY,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        input: Any = None,
    ) -> Any:
        driver, journal = self._driver, self._driver.journal
        self._opened.append(key)
        cut_off = 0  # the attempt that an earlier pass began and did not end
        step = journal.state.find(key) if key in journal.state.steps else None
        if step is not None and step.status is _RUNNING and key not in driver.fired:
            cut_off = step.attempt
        while True:
            if step is None:
                raw = NULL if input is None else recorded(input)[0]
                hindrance = driver.accept(c.ScheduleStep(key=key, name=name, input=raw)) or journal.landing()
            elif step.closed_seq:
                return self._outcome(key, step)
            elif step.status is _RETRYING:
                hindrance = driver.changed_key(key)
            elif step.attempt == cut_off:
                hindrance = driver.accept(c.StartAttempt(key=key))
            elif step.started_seq > journal.saved_seq:
                hindrance = journal.landing()
            else:
                attempt = AttemptContext(driver, driver.run_id, key, step.attempt, journal.state.generation)
                PLACE.set(Place(driver.run_id, key, step.attempt, attempt.traceparent))
                traced = work if driver.tracing is None else partial(driver.tracing.perform, work)
                try:
                    if timeout_s is None and heartbeat_timeout_s is None:
                        value = await traced(attempt)
                    else:
                        value = await attempt.run_timed(traced, timeout_s, heartbeat_timeout_s)
                    output, value = (NULL, None) if value is None else recorded(value)
                except (Exception, asyncio.CancelledError, SystemExit) as fault:  # whatever it raises is a record
                    if isinstance(fault, asyncio.CancelledError) and being_cancelled():
                        raise
                    error = problem_of(fault)
                    hindrance = driver.accept(
                        c.FailAttempt(key=key, attempt=attempt.attempt, error=error, retry=retry)
                    )
                else:
                    hindrance = driver.accept(c.CompleteStep(key=key, attempt=attempt.attempt, output=output))
                    if hindrance is not None:
                        await hindrance
                    self._now = journal.state.last_at
                    return value
                finally:
                    PLACE.set(driver.place)  # not by a token: a loop that is thrown away ends this in another context
            if hindrance is not None:
                await hindrance
            step = journal.state.find(key)

    def _outcome(self, key: str, step: Step) -> Any:
        """What the record of a closed step gives back."""
        self._now = step.closed_at
        if step.status is StepStatus.COMPLETED:
            return decode(step.output)
        if step.error is not None:
            raise ProgramError(step.error, (key,))
        raise Suspended  # cancelled: its branch lost, or its run ended

    # --- waits ------------------------------------------------------------------------------------------------------

    async def _wait_closed(self, key: str, opening: Callable[[], c.ProgramCommand]) -> Step:
        """Open the wait unless it is on record, and wait until it is closed."""
        driver = self._driver
        self._opened.append(key)
        while True:
            step = driver.state.find(key)
            if step is None:
                await driver.issue(opening())
            elif step.closed_seq:
                return step
            else:
                await driver.changed_key(key)

    async def sleep_until(self, key: str, at: float, *, name: str = "", input: Any = None) -> None:
        _check_instant(at)
        raw, _ = recorded(input)
        step = await self._wait_closed(key, lambda: c.SetTimer(key=key, due_at=at, name=name, input=raw))
        self._outcome(key, step)

    async def sleep(self, key: str, seconds: float, *, name: str = "", input: Any = None) -> None:
        _check_instant(seconds)
        raw, _ = recorded(input)
        step = await self._wait_closed(key, lambda: c.SetTimer(key=key, after_s=seconds, name=name, input=raw))
        self._outcome(key, step)

    async def wait(
        self,
        key: str,
        signal: str,
        *,
        deadline: float | None = None,
        heartbeat_timeout_s: float | None = None,
        name: str = "",
        reason: Literal["event", "callback"] = "event",
        input: Any = None,
    ) -> SignalValue | None:
        _check_instant(deadline or 0.0)
        _check_instant(heartbeat_timeout_s or 0.0)
        raw, _ = recorded(input)
        step = await self._wait_closed(
            key,
            lambda: c.AwaitSignal(
                key=key,
                signal=signal,
                deadline=deadline,
                heartbeat_s=heartbeat_timeout_s,
                name=name,
                reason=WaitReason(reason),
                input=raw,
            ),
        )
        value = self._outcome(key, step)
        return None if value is None else msgspec.convert(value, SignalValue)

    async def approve(self, key: str, request: ApprovalRequest, *, name: str = "") -> ApprovalOutcome:
        request = _checked(request)

        def opening() -> c.RequestApproval:
            # A new id for each generation: a retry asks anew, and an old link decides nothing.
            approval_id = str(self.uuid(f"{key}@{self._driver.state.generation}"))
            return c.RequestApproval(key=key, approval_id=approval_id, request=request, name=name)

        step = await self._wait_closed(key, opening)
        return msgspec.convert(self._outcome(key, step), ApprovalOutcome)

    async def child(
        self,
        key: str,
        workflow: str,
        input: Any = None,
        *,
        version: str | None = None,
        wait: bool = True,
        name: str = "",
    ) -> Any:
        raw, _ = recorded(input)
        step = await self._wait_closed(
            key,
            lambda: c.StartChild(
                key=key,
                child_id=new_id(self._driver.clock.now()),
                workflow=workflow,
                version=version or "",
                input=raw,
                wait=wait,
                name=name,
            ),
        )
        return self._outcome(key, step)

    # --- choices ----------------------------------------------------------------------------------------------------

    async def record(self, key: str, value: Any) -> Any:
        choice = self._driver.state.choices.get(key)
        if choice is None:
            raw, value = recorded(value)
            await self._driver.issue(c.RecordValue(key=key, value=raw))
            self._now = self._driver.state.last_at
            return value
        self._now = choice.at
        return decode(choice.value)

    async def emit(self, key: str, event: Mapping[str, Any]) -> None:
        choice = self._driver.state.choices.get(key)
        if choice is None:
            try:
                raw, _ = recorded(check_event(event))
            except InvalidInputError as fault:
                raise ProgramError(problem("validation", f"emit: {fault}", status=400, retryable=False)) from None
            await self._driver.issue(c.EmitEvent(key=key, event=raw))
            self._now = self._driver.state.last_at
        else:
            self._now = choice.at

    async def publish(self, key: str, item: Any) -> None:
        choice = self._driver.state.choices.get(key)
        if choice is None:
            _, item = recorded(item)
            await self._driver.issue(c.PublishItem(key=key))
            self._driver.publish(StreamItem(type="item", data=item, key=key))
            self._now = self._driver.state.last_at
        else:
            self._now = choice.at

    def recall(self, key: str) -> Any:
        state = self._driver.state
        choice = state.choices.get(key)
        if choice is not None:
            return self._decided(choice).value
        step = state.find(key)
        return self._outcome(key, step) if step is not None and step.closed_seq else None

    def show(self, key: str, item: Any) -> None:
        _, item = recorded(item)
        self._driver.publish(StreamItem(type="item", data=item, key=key))

    def branches(self) -> Strands:
        return Strands(self._driver, lambda branch: branch(self._inside(self._now)))

    async def race(
        self,
        key: str,
        branches: Mapping[str, Branch],
        *,
        until: Literal["first", "all"] = "first",
        after: Mapping[str, Sequence[str]] = NO_ORDER,
        limit: int | None = None,
    ) -> RaceResult | Sequence[Any]:
        choice = self._driver.state.choices.get(key)
        if choice is not None:
            return self._decided(choice)
        if until == "all" and len(branches) == 1 and limit is None and not any(after.values()):
            return [await self._alone(key, *branches.items())]
        contexts: dict[str, BranchContext] = {}

        def begin(name: str) -> Awaitable[Any]:
            now = max((contexts[other].now for other in after.get(name, ())), default=self._now)
            contexts[name] = context = self._inside(max(now, self._now))
            return branches[name](context)

        field = Field(self._driver, order_of(key, branches, until, after, limit), begin)
        values: dict[str, Any] = {}
        try:
            while len(values) < len(branches):
                name, task = await field.next_done()
                fault = fault_of(task)
                if isinstance(fault, Suspended):
                    raise fault
                if fault is not None or until == "first":
                    field.join()  # from here it waits for itself, not for its branches
                    losers = [context for other, context in contexts.items() if other != name]
                    value = task.result() if fault is None else None
                    return await self._decide(key, name, value, fault, losers)
                values[name] = task.result()
        finally:
            field.leave()
        self._now = max((context.now for context in contexts.values()), default=self._now)
        return [values[name] for name in branches]

    async def _alone(self, key: str, only: tuple[str, Branch]) -> Any:
        """A race of one branch until its end: no task of its own, since nobody runs beside it."""
        name, branch = only
        context = self._inside(self._now)
        try:
            value = await branch(context)
        except (Exception, asyncio.CancelledError) as fault:  # whatever it raises is a record
            if isinstance(fault, asyncio.CancelledError) and being_cancelled():
                raise
            return await self._decide(key, name, None, fault, [])
        self._now = max(self._now, context.now)
        return value

    def _inside(self, now: float) -> "BranchContext":
        """The context of a branch within this one."""
        context = BranchContext(self._driver, now=now)
        self._inner.append(context)
        return context

    async def _decide(
        self, key: str, winner: str, value: Any, fault: BaseException | None, losers: list["BranchContext"]
    ) -> RaceResult:
        """Put the outcome of a race on record; what the losers have open is cancelled with it."""
        await self._driver.ready()  # what a loser opens until then is cancelled too
        keys = tuple(open_key for loser in losers for open_key in loser.open_keys())
        raw = NULL
        error: Problem | None = None
        forget: tuple[str, ...] = ()
        if fault is None:
            try:
                raw, value = recorded(value)
            except ProgramError as not_json:
                fault = not_json
        if fault is not None:
            error = problem_of(fault)
            named = fault.forget if isinstance(fault, ProgramError) else ()
            state = self._driver.state
            cancelled = (k for k in keys if (step := state.find(k)) is not None and not step.closed)
            forget = (key, *named, *cancelled)
        await self._driver.issue(
            c.DecideRace(key=key, winner=winner, value=raw, error=error, keys=keys, forget=forget)
        )
        self._now = self._driver.state.last_at
        if error is not None:
            raise ProgramError(error, forget)
        return RaceResult(winner=winner, value=value)

    def _decided(self, choice: Choice) -> RaceResult:
        self._now = choice.at
        if choice.error is not None:
            raise ProgramError(choice.error, choice.forget)
        return RaceResult(winner=choice.winner, value=decode(choice.value))


def _check_instant(at: float) -> None:
    """JSON has no infinity: such a timer could be written, but never read back."""
    if not math.isfinite(at):
        text = f"expected an instant in seconds since the epoch, found {at}"
        raise ProgramError(problem("validation", text, retryable=False))


def _checked(request: ApprovalRequest) -> ApprovalRequest:
    """A request that can be read back and be answered. Raises `ProgramError`."""
    try:
        checked = msgspec.convert(msgspec.to_builtins(request), ApprovalRequest)
        wrong = faults(checked)
    except (msgspec.ValidationError, TypeError) as fault:
        wrong = [str(fault)]
    if wrong:
        text = f"approval: {'; '.join(wrong)}"
        raise ProgramError(problem("validation", text, status=400, retryable=False))
    return checked

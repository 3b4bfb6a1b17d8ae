"""A run in memory, as a double of the engine: its verbs work at once on a virtual clock and record what came out.

A second pass over the same record must do no work again and come to the same end. `crash_after` lets a pass die
after so many new records, so that a test can go on from any place in a run.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid5

import msgspec

from stepwell.core.approvals import ApprovalOutcome, ApprovalRequest
from stepwell.core.errors import Problem, ProgramError, StepFailure, Suspended
from stepwell.core.history import Listen
from stepwell.core.program import Branch, Program, RaceResult, RunInfo, SignalValue, StepContext, Work
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.core.status import Status
from stepwell.engine.events import hears
from stepwell.engine.ordering import NO_ORDER

Decide = Callable[[ApprovalRequest], ApprovalOutcome]

Child = Callable[[str, Any], Any]
"""The output of a child run, by workflow and input; raises `ProgramError`."""

STARTED_AT = 1_700_000_000.0


class Outcome(msgspec.Struct):
    """What is on record under a key: JSON, as it would be on disk."""

    at: float
    value: bytes = b"null"
    failure: Problem | None = None
    forget: tuple[str, ...] = ()


class Attempt:
    """The `StepContext` of the double."""

    def __init__(self, key: str) -> None:
        self.run_id = "run-1"
        self.key = key
        self.attempt = 1
        self.idempotency_key = f"run-1{key}/1"
        self.status = Status.RUNNING
        self.traceparent = ""

    def heartbeat(self) -> None: ...

    def think(self, text: str) -> None: ...

    def progress(self, fraction: float) -> None: ...

    def publish(self, item: Any) -> None: ...

    async def saved(self) -> None: ...

    def late(self, value: Any = None, error: BaseException | None = None) -> None: ...


class MemoryRun:
    """The record of one run; `play` makes a pass over it."""

    def __init__(self, *, decide: Decide | None = None, child: Child | None = None) -> None:
        self.record: dict[str, Outcome] = {}
        self.child = child or (lambda _workflow, given: given)
        self.sent: list[Mapping[str, Any]] = []
        """The events emitted, over all passes."""
        self.awaited: list[str] = []
        """The signals waited for, over all passes."""
        self._inbox: list[SignalValue] = []
        self._taken: set[str] = set()
        self._reserved: set[str] = set()
        self.decide = decide or (lambda _request: ApprovalOutcome(decision="approved"))
        self.now = STARTED_AT
        self.worked: list[str] = []
        """Keys of steps whose work was done, over all passes."""
        self.asked: list[ApprovalRequest] = []
        self.options: list[dict[str, Any]] = []
        """The options of each step, over all passes."""
        self.used: list[str] = []
        """Keys used in this pass."""
        self.due: dict[str, float] = {}
        """When timers that were set for so long are due: on record like the rest."""
        self.crash_after: int | None = None
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []

    def hear(self, listens: Sequence[Listen], events: Sequence[tuple[float, Mapping[str, Any]]]) -> "MemoryRun":
        """Let events come, each so many seconds after the start, as the engine delivers them."""
        for after_s, event in events:
            for listen in listens:
                id = f"{listen.signal}#{event['source']}#{event['id']}"
                if hears(listen, event) and all(known.id != id for known in self._inbox):
                    self.signal(listen.signal, event, id=id, after_s=after_s)
        return self

    def signal(self, name: str, data: Any, *, id: str = "1", after_s: float = 0.0) -> None:
        self._inbox.append(SignalValue(id=id, name=name, data=data, at=STARTED_AT + after_s))

    async def take(self, name: str, deadline: float | None) -> SignalValue | None:
        """The next signal of a name that nobody took; waits for it, or until the deadline."""
        while True:
            coming = [signal for signal in self._inbox if signal.name == name and signal.id not in self._reserved]
            first = min(coming, key=lambda signal: signal.at, default=None)
            if first is not None and first.at <= self.now:
                self._reserved.add(first.id)
                return first
            if deadline is not None and deadline <= self.now:
                return None
            times = [at for at in (first.at if first else None, deadline) if at is not None]
            assert times, f"nothing wakes the wait for {name}"
            await self.timer(min(times))

    def took(self, signal: SignalValue) -> None:
        """The taking is on record."""
        self._taken.add(signal.id)
        self._reserved.add(signal.id)

    async def play(self, program: Program, value: Any = None, *, crash_after: int | None = None) -> Any:
        """One pass from the start. Raises what the program raises; `Suspended` after a crash."""
        self.used = []
        self._timers = []
        self._reserved = set(self._taken)
        self.crash_after = crash_after
        task = asyncio.ensure_future(program(MemoryContext(self, STARTED_AT), value))
        try:
            while not task.done():
                await self._turn(task)
            return task.result()
        finally:
            task.cancel()

    async def _turn(self, task: "asyncio.Future[Any]") -> None:
        """Let everything go on that can; then, if nothing did, let time pass to the next timer."""
        for _ in range(60):
            await asyncio.sleep(0)
        if task.done():
            return
        if not self._timers:
            await asyncio.sleep(0.001)
            return
        at, _, future = heapq.heappop(self._timers)
        self.now = max(self.now, at)
        if not future.done():
            future.set_result(None)

    def timer(self, at: float) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (at, len(self.used), future))
        return future

    def write(self, key: str, outcome: Outcome) -> None:
        if self.crash_after is not None:
            if self.crash_after == 0:
                raise Suspended
            self.crash_after -= 1
        self.record[key] = outcome


class MemoryContext:
    """The `RunContext` of one strand."""

    run = RunInfo(id="run-1", workflow="test", version="1.0.0", created_at=STARTED_AT)

    def __init__(self, memory: MemoryRun, now: float) -> None:
        self._memory = memory
        self.now = now

    def uuid(self, key: str) -> UUID:
        return uuid5(UUID(int=0), f"run-1/{key}")

    async def step(
        self,
        key: str,
        work: Work,
        *,
        name: str = "",
        retry: RetryPolicy = NO_RETRY,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        input: Any = None,  # noqa: ARG002
    ) -> Any:
        self._memory.options.append(
            {"name": name, "retry": retry, "timeout_s": timeout_s, "heartbeat_timeout_s": heartbeat_timeout_s}
        )

        async def do() -> Any:
            attempt: StepContext = Attempt(key)
            try:
                value = await work(attempt)
            except StepFailure as error:
                raise ProgramError(error.problem, (key,)) from None
            self._memory.worked.append(key)
            return value

        return await self._once(key, do)

    async def sleep_until(self, key: str, at: float, *, name: str = "", input: Any = None) -> None:  # noqa: ARG002
        async def do() -> None:
            await self._memory.timer(at)

        await self._once(key, do)

    async def sleep(self, key: str, seconds: float, *, name: str = "", input: Any = None) -> None:
        at = self._memory.due.setdefault(key, self._memory.now + seconds)
        await self.sleep_until(key, at, name=name, input=input)

    async def wait(
        self,
        key: str,
        signal: str,
        *,
        deadline: float | None = None,
        heartbeat_timeout_s: float | None = None,  # noqa: ARG002
        name: str = "",  # noqa: ARG002
        reason: Any = "event",  # noqa: ARG002
        input: Any = None,  # noqa: ARG002
    ) -> SignalValue | None:
        async def do() -> Any:
            self._memory.awaited.append(signal)
            return await self._memory.take(signal, deadline)

        found = await self._once(key, do)
        if found is None:
            return None
        value = msgspec.convert(found, SignalValue)
        self._memory.took(value)
        return value

    async def approve(self, key: str, request: ApprovalRequest, *, name: str = "") -> ApprovalOutcome:  # noqa: ARG002
        async def do() -> Any:
            self._memory.asked.append(request)
            return self._memory.decide(request)

        return msgspec.convert(await self._once(key, do), ApprovalOutcome)

    async def child(
        self,
        key: str,
        workflow: str,
        input: Any = None,
        *,
        version: str | None = None,  # noqa: ARG002
        wait: bool = True,
        name: str = "",  # noqa: ARG002
    ) -> Any:
        async def do() -> Any:
            try:
                output = self._memory.child(workflow, input)
            except ProgramError as error:
                raise ProgramError(error.problem, (key,)) from None
            return output if wait else {"id": "child-1"}

        return await self._once(key, do)

    async def emit(self, key: str, event: Mapping[str, Any]) -> None:
        async def do() -> None:
            self._memory.sent.append(event)

        await self._once(key, do)

    async def publish(self, key: str, item: Any) -> None:
        raise NotImplementedError

    def recall(self, key: str) -> Any:
        raise NotImplementedError

    def show(self, key: str, item: Any) -> None:
        raise NotImplementedError

    def branches(self) -> Any:
        raise NotImplementedError

    async def record(self, key: str, value: Any) -> Any:
        async def do() -> Any:
            return value

        return await self._once(key, do)

    async def race(
        self,
        key: str,
        branches: Mapping[str, Branch],
        *,
        until: Any = "first",
        after: Mapping[str, Sequence[str]] = NO_ORDER,
        limit: int | None = None,
    ) -> Any:
        contexts = {name: MemoryContext(self._memory, self.now) for name in branches}
        room = asyncio.Semaphore(limit or len(branches) or 1)

        async def begun(name: str, tasks: "dict[str, asyncio.Future[Any]]") -> Any:
            before = after.get(name, ())
            for other in before:
                await asyncio.wait([tasks[other]])
                tasks[other].result()
            contexts[name].now = max([self.now, *(contexts[other].now for other in before)])
            async with room:
                return await branches[name](contexts[name])

        async def do() -> Any:
            tasks: dict[str, asyncio.Future[Any]] = {}
            tasks |= {name: asyncio.ensure_future(begun(name, tasks)) for name in branches}
            try:
                return await (_first(tasks) if until == "first" else _all(list(tasks.values())))
            finally:
                for task in tasks.values():
                    task.cancel()
                await asyncio.gather(*tasks.values(), return_exceptions=True)

        found = await self._once(key, do)
        return RaceResult(**found) if until == "first" else found

    async def _once(self, key: str, do: Callable[[], Awaitable[Any]]) -> Any:
        """The outcome on record, or a new one."""
        memory = self._memory
        assert key not in memory.used, f"the key {key} is used twice in one pass"
        memory.used.append(key)
        if key not in memory.record:
            memory.write(key, await self._outcome(do))
        outcome = memory.record[key]
        self.now = outcome.at
        if outcome.failure is not None:
            raise ProgramError(outcome.failure, outcome.forget)
        return msgspec.json.decode(outcome.value)

    async def _outcome(self, do: Callable[[], Awaitable[Any]]) -> Outcome:
        try:
            value = msgspec.json.encode(await do())
        except ProgramError as error:
            return Outcome(at=self._memory.now, failure=error.problem, forget=error.forget)
        return Outcome(at=self._memory.now, value=value)


async def _first(tasks: "Mapping[str, asyncio.Future[Any]]") -> dict[str, Any]:
    await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
    winner = next(name for name, task in tasks.items() if task.done())
    return {"winner": winner, "value": tasks[winner].result()}


async def _all(tasks: "Sequence[asyncio.Future[Any]]") -> list[Any]:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    failed = next((task for task in tasks if task.done() and task.exception()), None)
    if failed is not None:
        failed.result()
    return [task.result() for task in tasks]


class Ending(msgspec.Struct, frozen=True):
    """How a pass ended: with an output or with a problem."""

    output: Any = None
    failure: Problem | None = None


async def ending_of(memory: MemoryRun, program: Program, value: Any, *, crash_after: int | None = None) -> Ending:
    try:
        return Ending(output=await memory.play(program, value, crash_after=crash_after))
    except ProgramError as error:
        return Ending(failure=error.problem)


async def run_through(
    program: Program, value: Any = None, *, decide: Decide | None = None, new: Callable[[], MemoryRun] | None = None
) -> Ending:
    """Run a program to its end; then again from its record, and from every place where it could have died."""
    new = new or (lambda: MemoryRun(decide=decide))
    memory = new()
    ending = await ending_of(memory, program, value)
    keys, worked = set(memory.record), list(memory.worked)
    assert await ending_of(memory, program, value) == ending, "a second pass ends as the first"
    assert memory.worked == worked, "a second pass does no work"
    for place in range(len(keys)):
        again = new()
        with suppress(Suspended, ProgramError):
            await again.play(program, value, crash_after=place)
        assert await ending_of(again, program, value) == ending, f"recovery after {place} records ends the same"
    return ending

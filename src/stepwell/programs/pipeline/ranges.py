"""Runs a range of executions for real, as the work of one step.

Executions run concurrently, each in its own order. What is sent counts when the broker acknowledged it. A stop lets
each execution finish what it is sending and cuts its waits; a pause holds each where it is. After a crash the range
is run again: executions that had ended are not, messages on record are not sent a second time, the others go out as
they were, with the same ids.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Collection, Iterator
from typing import Any, Final

from stepwell.brokers.port import Broker, BrokerError, Delivery, Outgoing
from stepwell.core.program import StepContext
from stepwell.core.status import Status
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.pacing import Pace
from stepwell.programs.pipeline.reporting import Counts, Progress, Report
from stepwell.programs.pipeline.running import Breath, Effect, Expecting, Lookup, Message, Wait, run_execution
from stepwell.sources.port import SourceError

LOOK_S: Final = 0.05
"""How often what waits looks whether its run still stands."""
MAX_UNACKNOWLEDGED: Final = 200
"""Messages of one execution that are on their way at once."""
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 10.0


class Stopped(Exception):
    """The run was stopped: this execution ends here, neither completed nor failed."""


class RangeRun:
    """One attempt of one range. `started_at` is the instant that its executions' clocks begin at."""

    def __init__(
        self, pipeline: Pipeline, outside: Outside, step: StepContext, *, seed: str, started_at: float
    ) -> None:
        self._pipeline = pipeline
        self._outside = outside
        self._step = step
        self._seed = seed
        self._started_at = started_at
        self._pace = Pace(pipeline.rate)
        self._progress = Progress()
        self._report = Report(step, Counts())
        self._broker: Broker | None = None

    async def go_on_from(self, keys: Collection[str]) -> None:
        """Leave out what steps under these keys are on record with."""
        if self._outside.items_of is not None:
            self._progress = Progress(await self._outside.items_of(self._step.run_id, keys))
            self._report = Report(self._step, self._progress.counts)

    async def run(self, first: int, last: int) -> Counts:
        """All executions from `first` to `last`; what became of them."""
        left = (index for index in range(first, last + 1) if index not in self._progress.ended)
        workers = min(self._pipeline.concurrency, last - first + 1)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(left))
        finally:
            self._report.counts.trouble = None
            self._report.flush()
        return self._report.counts

    async def _work(self, left: Iterator[int]) -> None:
        """Executions, one after the other."""
        for index in left:
            if self._step.status is Status.STOPPING:
                return
            await self._hold()
            self._report.begun()
            try:
                await self._run_one(index)
            except Stopped:
                return
            except (RuleError, BrokerError) as fault:
                self._report.ended(index, str(fault))
            else:
                self._report.ended(index, None)
            await asyncio.sleep(0)  # executions without any effect let others run all the same

    async def _run_one(self, index: int) -> None:
        execution = Execution(
            workflow_id=self._pipeline.id, seed=self._seed, index=index, started_at=self._started_at
        )
        sending = _Sending(self, execution)
        running = run_execution(self._pipeline, execution)
        waits = 0
        answer: Any = None
        try:
            while True:
                effect: Effect = running.send(answer)
                answer = None
                if isinstance(effect, Message):
                    await sending.send(effect)
                    continue
                if isinstance(effect, Breath):
                    await asyncio.sleep(0)
                    continue
                await sending.settle()
                match effect:
                    case Wait(seconds):
                        waits += 1
                        await self._wait(index, waits, seconds)
                    case Lookup():
                        answer = await self._look_up(effect)
                    case Expecting():
                        answer = await self._expect(effect)
        except StopIteration:
            await sending.settle()
        except RuleError:
            await sending.settle()  # what was sent before it went wrong stays sent
            raise

    # --- standing still ---------------------------------------------------------------------------------------------

    async def _hold(self) -> None:
        """Wait while the run is paused. Raises `Stopped`."""
        while self._step.status is not Status.RUNNING:
            if self._step.status is not Status.PAUSED:
                raise Stopped
            await asyncio.sleep(LOOK_S)

    async def _wait(self, index: int, which: int, seconds: float) -> None:
        """A wait of an execution: what is left of it, when it had begun before a crash."""
        until = self._progress.waits.get((index, which))
        if until is None:
            until = time.time() + seconds
            self._report.waiting(index, which, until)
        while (left := until - time.time()) > 0:
            if self._step.status not in (Status.RUNNING, Status.PAUSED):
                raise Stopped
            await asyncio.sleep(min(left, LOOK_S))
        await self._hold()

    # --- sending ----------------------------------------------------------------------------------------------------

    def on_record(self, index: int, n: int) -> bool:
        """Whether an earlier attempt had a message acknowledged."""
        return n in self._progress.sent.get(index, ())

    async def post(self, outgoing: Outgoing) -> Awaitable[Delivery]:
        """Hand a message to the broker when it is its turn."""
        await self._hold()
        await self._pace.turn()
        return await (await self._connected()).post(outgoing)

    async def deliver(self, outgoing: Outgoing) -> Delivery:
        """Send a message again until the broker takes it, or its time is over. Raises `BrokerError`."""
        delay_s = FIRST_DELAY_S
        give_up_at = time.monotonic() + self._outside.broker_retry_s
        while True:
            try:
                return await (await self.post(outgoing))
            except BrokerError as fault:
                endless = self._pipeline.waits_for_broker
                if not fault.retryable or (not endless and time.monotonic() + delay_s > give_up_at):
                    raise
                self._report.trouble(str(fault))
            await self._rest(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    async def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._step.status not in (Status.RUNNING, Status.PAUSED):
                raise Stopped
            await asyncio.sleep(min(left, LOOK_S))

    async def _connected(self) -> Broker:
        if self._broker is None:
            if self._outside.brokers is None:
                raise BrokerError("this server has no brokers", retryable=False)
            to = self._pipeline.destination
            self._broker = await self._outside.brokers.broker(to.type, to.producer)
        return self._broker

    def outgoing(self, index: int, message: Message) -> Outgoing:
        """A message as it goes to the broker, with the id that it keeps."""
        to = self._pipeline.destination
        exchange, routing_key = to.address
        return Outgoing(
            message_id=f"{self._step.run_id}/{index}/{message.n}",
            body=message.body,
            headers=tuple((name, _header(value)) for name, value in message.headers.items()),
            content_type="application/x-protobuf" if message.protobuf else "application/json",
            topic=to.topic or "",
            key=message.key,
            exchange=exchange,
            routing_key=routing_key,
        )

    def sent(self, index: int, message: Message, delivery: Delivery) -> None:
        self._report.sent(index, message, delivery, time.time())

    # --- looking up and expecting -----------------------------------------------------------------------------------

    async def _look_up(self, effect: Lookup) -> Any:
        name = effect.query.connection
        if self._outside.records is None:
            raise RuleError(f"MongoDB connection not found: {name}")
        try:
            return await self._outside.records.first(name, effect.wanted)
        except SourceError as fault:
            raise RuleError(str(fault)) from None

    async def _expect(self, effect: Expecting) -> Any:
        wanted = effect.expectation
        if self._outside.brokers is None:
            raise BrokerError("this server has no brokers", retryable=False)
        broker = await self._outside.brokers.broker(self._pipeline.destination.type, wanted.producer)
        content = await broker.expect(wanted.topic, effect.matches, since=self._started_at, within_s=wanted.within_s)
        if content is None:
            raise RuleError(
                f"Expected a matching message on {wanted.topic} within {wanted.within_s:g} s, "
                f"found none for stage: {wanted.stage}"
            )
        return content


class _Sending:
    """The messages of one execution that are on their way, in order."""

    def __init__(self, run: RangeRun, execution: Execution) -> None:
        self._run = run
        self._execution = execution
        self._under_way: deque[tuple[Message, Outgoing, Awaitable[Delivery] | BrokerError]] = deque()

    async def send(self, message: Message) -> None:
        """Post a message, unless it is on record that the broker has it."""
        index = self._execution.index
        if self._run.on_record(index, message.n):
            return
        outgoing = self._run.outgoing(index, message)
        try:
            posted: Awaitable[Delivery] | BrokerError = await self._run.post(outgoing)
        except BrokerError as fault:
            posted = fault
        self._under_way.append((message, outgoing, posted))
        if isinstance(posted, BrokerError) or len(self._under_way) >= MAX_UNACKNOWLEDGED:
            await self.settle()

    async def settle(self) -> None:
        """Wait for every acknowledgement. What the broker did not take is sent again, in order."""
        while self._under_way:
            message, outgoing, posted = self._under_way.popleft()
            try:
                if isinstance(posted, BrokerError):
                    raise posted
                delivery = await posted
            except BrokerError as fault:
                if not fault.retryable:
                    await self._abandon()
                    raise
                delivery = await self._run.deliver(outgoing)
            self._run.sent(self._execution.index, message, delivery)

    async def _abandon(self) -> None:
        """One will never be taken: those behind it that are on their way are on record if they get there."""
        while self._under_way:
            message, _, posted = self._under_way.popleft()
            if not isinstance(posted, BrokerError):
                try:
                    self._run.sent(self._execution.index, message, await posted)
                except BrokerError:
                    continue


def _header(value: Any) -> bytes:
    """Texts as they are, anything else as JSON."""
    return value.encode() if isinstance(value, str) else JSON.encode(value)

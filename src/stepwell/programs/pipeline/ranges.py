"""Runs a range of executions for real, as the work of one step.

Executions that only send are run one after the other, their messages on their way together; one that waits, looks up
or expects goes on by itself, so that up to `concurrency` of them are under way. What is sent counts when the broker
acknowledged it. A stop lets each execution finish what it is sending and cuts its waits; a pause holds each where it
is. After a crash the range is run again: executions that had ended are not, messages on record are not sent a second
time, the others go out as they were, with the same ids.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Final

from stepwell.brokers.port import Broker, BrokerError, Delivery, Outgoing, Settled, deliver
from stepwell.core.program import StepContext
from stepwell.core.status import Status
from stepwell.programs.pipeline.course import Course, Stopped
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.execution import Execution, seed_of
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.pacing import Pace
from stepwell.programs.pipeline.reporting import Counts, Progress, Report
from stepwell.programs.pipeline.running import Expecting, Lookup, Message
from stepwell.sources.port import SourceError

LOOK_S: Final = 0.05
"""How often what waits looks whether its run still stands."""
BREATH_EVERY: Final = 50
"""Executions before others get their turn."""
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 10.0


class RangeRun:
    """One attempt of one range. `started_at` is the instant that its executions' clocks begin at."""

    def __init__(
        self, pipeline: Pipeline, outside: Outside, step: StepContext, *, seed: str, started_at: float
    ) -> None:
        self._pipeline = pipeline
        self._outside = outside
        self._step = step
        self._seed = seed_of(seed)
        self._started_at = started_at
        self._pace = Pace(pipeline.rate)
        self._progress = Progress()
        self._report = Report(step, Counts())
        self._broker: Broker | None = None
        self._room = asyncio.Semaphore(pipeline.concurrency)
        self._open = 0
        """Executions under way."""
        self._news = asyncio.Event()

    async def go_on_from(self, keys: Collection[str]) -> None:
        """Leave out what steps under these keys are on record with."""
        if self._outside.items_of is not None:
            self._progress = Progress(await self._outside.items_of(self._step.run_id, keys))
            self._report = Report(self._step, self._progress.counts)

    async def run(self, first: int, last: int) -> Counts:
        """All executions from `first` to `last`; what became of them."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await self._begin_all(first, last)
                while self._open:  # the last acknowledgements
                    self._news.clear()
                    await self._news.wait()
        finally:
            self._report.counts.trouble = None
            self._report.flush()
        return self._report.counts

    async def _begin_all(self, first: int, last: int) -> None:
        """Begin every execution, until the run is stopped."""
        for index in range(first, last + 1):
            if index in self._progress.ended:
                continue
            try:
                await self._begin(index)
            except Stopped:
                return
            if not index % BREATH_EVERY:
                await asyncio.sleep(0)

    async def _begin(self, index: int) -> None:
        """Run an execution as far as it goes without waiting; the rest of it is a task. Raises `Stopped`."""
        await self.hold()
        self._report.begun()
        execution = Execution(
            workflow_id=self._pipeline.id, seed=self._seed, index=index, started_at=self._started_at
        )
        course = Course(self, self._pipeline, execution)
        self._open += 1
        try:
            over = await course.go()
        except BaseException:
            self._closed()
            raise
        if not over:
            await self._room.acquire()
            self._group.create_task(self._finish(course, self._room))

    async def _finish(self, course: Course, room: asyncio.Semaphore | None) -> None:
        try:
            await course.finish()
        except Stopped:
            self._closed()
        finally:
            if room is not None:
                room.release()

    def _closed(self) -> None:
        self._open -= 1
        self._news.set()

    # --- standing still ---------------------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Wait while the run is paused. Raises `Stopped`."""
        while (status := self._step.status) is not Status.RUNNING:
            if status is not Status.PAUSED:
                raise Stopped
            await asyncio.sleep(LOOK_S)

    async def wait(self, index: int, which: int, seconds: float) -> None:
        """A wait of an execution: what is left of it, when it had begun before a crash. Raises `Stopped`."""
        until = self._progress.waits.get((index, which))
        if until is None:
            until = time.time() + seconds
            self._report.waiting(index, which, until)
        await self._rest(until - time.time())
        await self.hold()

    async def _rest(self, seconds: float) -> None:
        """Let time pass, unless the run is stopped meanwhile. Raises `Stopped`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._step.status not in (Status.RUNNING, Status.PAUSED):
                raise Stopped
            await asyncio.sleep(min(left, LOOK_S))

    # --- sending ----------------------------------------------------------------------------------------------------

    def on_record(self, index: int, n: int) -> bool:
        """Whether an earlier attempt had a message acknowledged."""
        return n in self._progress.sent.get(index, ())

    async def post(self, outgoing: Outgoing, settled: Settled) -> None:
        """Hand a message to the broker when it is its turn. Raises `BrokerError`, `Stopped`."""
        await self.hold()
        if self._pipeline.rate:
            await self._pace.turn()
        broker = self._broker or await self._connected()
        await broker.post(outgoing, settled)

    async def insist(self, outgoing: Outgoing) -> Delivery:
        """Send a message again until the broker takes it, or its time is over. Raises `BrokerError`, `Stopped`."""
        delay_s = FIRST_DELAY_S
        give_up_at = time.monotonic() + self._outside.broker_retry_s
        while True:
            await self._rest(delay_s)
            await self.hold()
            try:
                return await deliver(await self._connected(), outgoing)
            except BrokerError as fault:
                endless = self._pipeline.waits_for_broker
                if not fault.retryable or (not endless and time.monotonic() + delay_s > give_up_at):
                    raise
                self._report.trouble(str(fault))
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

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

    # --- telling ----------------------------------------------------------------------------------------------------

    def sent(self, index: int, message: Message, delivery: Delivery) -> None:
        self._report.sent(index, message, delivery, time.time())

    def trouble(self, fault: BrokerError) -> None:
        self._report.trouble(str(fault))

    def ended(self, index: int, error: str | None) -> None:
        self._report.ended(index, error)
        self._closed()

    def late(self, course: Course) -> None:
        """An execution that was left alone was refused a message: it is brought to its end after all."""
        self._group.create_task(self._finish(course, None))

    # --- looking up and expecting -----------------------------------------------------------------------------------

    async def look_up(self, effect: Lookup) -> Any:
        """The record that is wanted. Raises `RuleError`."""
        name = effect.query.connection
        if self._outside.records is None:
            raise RuleError(f"MongoDB connection not found: {name}")
        try:
            return await self._outside.records.first(name, effect.wanted)
        except SourceError as fault:
            raise RuleError(str(fault)) from None

    async def expect(self, effect: Expecting) -> Any:
        """The content of the message that is expected. Raises `RuleError`, `BrokerError`."""
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


def _header(value: Any) -> bytes:
    """Texts as they are, anything else as JSON."""
    return value.encode() if isinstance(value, str) else JSON.encode(value)

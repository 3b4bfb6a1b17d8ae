"""Runs a range of executions for real, as the work of one step.

Executions that only send are run one after the other, their messages on their way together; one that waits, looks up
or expects goes on by itself. At most `concurrency` of them are under way. What is sent counts when the broker
acknowledged it. A stop lets each execution finish what it is sending and cuts its waits; a pause holds each where it
is. After a crash the range is run again: executions that had ended are not, messages on record are not sent a second
time, the others go out as they were, with the same ids.
"""

import asyncio
import time
from collections.abc import Awaitable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final

from stepwell.brokers.port import Broker, BrokerError, Delivery, Post, Settled, deliver, post
from stepwell.core.place import TRACEPARENT
from stepwell.core.program import StepContext
from stepwell.core.status import Status
from stepwell.programs.pipeline.chance import Chance, seed_of
from stepwell.programs.pipeline.course import Course, Stopped
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.pacing import Pace
from stepwell.programs.pipeline.reporting import NOTHING, Counts, Progress, Report
from stepwell.programs.pipeline.running import Expecting, Lookup, Message
from stepwell.sources.port import SourceError

LOOK_S: Final = 0.05
"""How often what waits looks whether its run still stands."""
BREATH_EVERY: Final = 100
"""Executions before others get their turn."""
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 10.0


class RangeRun:
    """One attempt of one range. `started_at` is the instant that its executions' clocks begin at; `messages` of the
    run were acknowledged before it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        outside: Outside,
        step: StepContext,
        *,
        seed: str,
        started_at: float,
        messages: int,
        pace: Pace,
    ) -> None:
        self._pipeline = pipeline
        self._outside = outside
        self._step = step
        self._seed = seed_of(seed)
        self._started_at = started_at
        self._pace = pace
        self._trace = ((TRACEPARENT, step.traceparent.encode()),) if step.traceparent else ()
        self._progress = Progress(messages)
        self._report = Report(step, self._progress.counts)
        self._broker: Broker | None = None
        self._courses: dict[int, Course] = {}
        """The executions under way."""
        self._news = asyncio.Event()
        """Set whenever one of them ends."""
        self.settled: Settled = self._told

    async def go_on_from(self, keys: Collection[str]) -> None:
        """Leave out what steps under these keys are on record with."""
        if self._outside.items_of is not None:
            async for item in self._outside.items_of(self._step.run_id, keys):
                self._progress.take(item)
            self._report = Report(self._step, self._progress.counts)

    async def run(self, first: int, last: int) -> Counts:
        """All executions from `first` to `last`; what became of them."""
        try:
            async with asyncio.TaskGroup() as self._group:
                with suppress(Stopped):
                    await self.hold()
                    await self._begin_all(first, last)
                if self._broker is not None:
                    self._broker.hurry()
                await self._until_open(0)  # the last acknowledgements
        finally:
            self._report.counts.trouble = None
            self._report.flush()
        return self._report.counts

    async def _begin_all(self, first: int, last: int) -> None:
        """Begin every execution. Raises `Stopped`."""
        ended, most, post = self._progress.ended, self._pipeline.concurrency, self.posting()
        for index in range(first, last + 1):
            if index in ended:
                continue
            if len(self._courses) >= most:
                await self._until_open(most - 1)
                await self.hold()
                post = self.posting()
            elif not index % BREATH_EVERY:
                await asyncio.sleep(0)
                await self.hold()
                post = self.posting()
            if not self._begin(index, post):
                await self._go_on(index)
                post = self.posting()

    def _begin(self, index: int, post: Post | None) -> bool:
        """Run an execution as far as it goes at once; whether that is to its end, but for acknowledgements."""
        self._report.begun()
        execution = Execution(
            workflow_id=self._pipeline.id,
            run_id=self._step.run_id,
            index=index,
            chance=Chance(self._seed, index),
            started_at=self._started_at,
            trace=self._trace,
        )
        course = Course(self, self._pipeline, execution, self._progress.sent.get(index, ()))
        self._courses[index] = course
        return course.set_out(post)

    async def _go_on(self, index: int) -> None:
        """Run an execution as far as it goes without waiting for anything but room; the rest of it is a task.

        Raises `Stopped`.
        """
        course = self._courses[index]
        try:
            over = await course.go()
        except BaseException:
            self._closed(index)
            raise
        if not over:
            self._group.create_task(self._finish(index))

    async def _finish(self, index: int) -> None:
        try:
            await self._courses[index].finish()
        except Stopped:
            self._closed(index)

    async def _until_open(self, most: int) -> None:
        """Wait until no more than so many executions are under way."""
        while len(self._courses) > most:
            self._news.clear()
            await self._news.wait()

    def _closed(self, index: int) -> None:
        del self._courses[index]
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
        await self._rest(self._until(index, which, seconds) - time.time())
        await self.hold()

    def _until(self, index: int, which: int, seconds: float) -> float:
        """When a wait is over that begins now, or began before a crash."""
        until = self._progress.waits.get((index, which))
        if until is None:
            until = time.time() + seconds
            self._report.waiting(index, which, until)
        return until

    async def _rest(self, seconds: float) -> None:
        """Let time pass, unless the run is stopped meanwhile. Raises `Stopped`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._step.status not in (Status.RUNNING, Status.PAUSED):
                raise Stopped
            await asyncio.sleep(min(left, LOOK_S))

    # --- sending ----------------------------------------------------------------------------------------------------

    def posting(self) -> Post | None:
        """The broker's way, as long as it is connected and the run neither stands still nor has a rate."""
        if self._broker is None or self._pipeline.rate or self._step.status is not Status.RUNNING:
            return None
        return self._broker.post

    async def post_later(self, message: Message) -> None:
        """Hand a message to the broker when it is its turn. Raises `BrokerError`, `Stopped`."""
        await self.hold()
        await self._pace.turn()
        await post(await self._connected(), message, self.settled)

    def _told(self, messages: Sequence[Any], found: Delivery | BrokerError) -> None:
        """What became of messages that were posted."""
        if isinstance(found, Delivery):
            self.sent(messages, found)
        courses = self._courses
        ended: list[tuple[int, str | None]] = []
        for message in messages:
            index = message.execution
            course = courses.get(index)
            if course is not None and course.told(message, found):  # None when all of it is let go of
                del courses[index]
                ended.append((index, course.error))
        if ended:
            self._report.ended(ended)
            self._news.set()

    async def insist(self, message: Message) -> Delivery:
        """Send a message again until the broker takes it, or its time is over. Raises `BrokerError`, `Stopped`."""
        delay_s = FIRST_DELAY_S
        give_up_at = time.monotonic() + self._outside.broker_retry_s
        while True:
            await self._rest(delay_s)
            await self.hold()
            try:
                return await deliver(await self._connected(), message)
            except BrokerError as fault:
                endless = self._pipeline.waits_for_broker
                if not fault.retryable or (not endless and time.monotonic() + delay_s > give_up_at):
                    raise
                self._report.trouble(str(fault))
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    async def _connected(self) -> Broker:
        if self._broker is None:
            self._broker = await self._broker_of(self._pipeline.destination.producer)
        return self._broker

    async def _broker_of(self, name: str) -> Broker:
        if self._outside.brokers is None:
            raise BrokerError("this server has no brokers", retryable=False)
        return await self._outside.brokers.broker(self._pipeline.destination.type, name)

    # --- telling ----------------------------------------------------------------------------------------------------

    def sent(self, messages: Sequence[Message], first: Delivery) -> None:
        self._report.sent(messages, first, round(time.time(), 3))

    def trouble(self, fault: BrokerError) -> None:
        self._report.trouble(str(fault))

    def ended(self, index: int, error: str | None) -> None:
        self._report.ended([(index, error)])
        self._closed(index)

    def late(self, index: int) -> None:
        """An execution that was left alone was refused a message: it is brought to its end after all."""
        self._group.create_task(self._finish(index))

    # --- looking up and expecting -----------------------------------------------------------------------------------

    async def look_up(self, index: int, which: int, effect: Lookup) -> Any:
        """The record that is wanted: the same when it is asked for again after a crash. Raises `RuleError`."""
        known = self._progress.answers.get((index, which), NOTHING)
        if known is not NOTHING:
            return known
        name = effect.query.connection
        if self._outside.records is None:
            raise RuleError(f"MongoDB connection not found: {name}")
        try:
            found = await self._outside.records.first(name, effect.wanted)
        except SourceError as fault:
            raise RuleError(str(fault)) from None
        await self._keep(index, which, found)
        return found

    async def expect(self, index: int, which: int, effect: Expecting) -> Any:
        """The content of the message that is expected. Raises `RuleError`, `BrokerError`, `Stopped`."""
        known = self._progress.answers.get((index, which), NOTHING)
        if known is not NOTHING:
            return known
        wanted = effect.expectation
        until = self._until(index, which, wanted.within_s)

        async def keep(content: Any) -> None:
            await self._keep(index, which, content)

        while (left := until - time.time()) > 0:
            broker = await self._broker_of(wanted.producer)
            try:
                content = await self._unless_stopped(
                    broker.expect(wanted.topic, effect.matches, since=self._started_at, within_s=left, keep=keep)
                )
            except BrokerError as fault:
                if not fault.retryable:
                    raise
                self._report.trouble(str(fault))
                await self._rest(min(FIRST_DELAY_S, left))
            else:
                if content is not None:
                    return content
        raise RuleError(
            f"Expected a matching message on {wanted.topic} within {wanted.within_s:g} s, "
            f"found none for stage: {wanted.stage}"
        )

    async def _keep(self, index: int, which: int, answer: Any) -> None:
        """Have an answer on disk before anything follows from it."""
        self._report.answered(index, which, answer)
        await self._step.saved()

    async def _unless_stopped(self, work: Awaitable[Any]) -> Any:
        """What the work comes to; given up when the run is stopped. Raises `Stopped`."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
                if self._step.status not in (Status.RUNNING, Status.PAUSED):
                    raise Stopped
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

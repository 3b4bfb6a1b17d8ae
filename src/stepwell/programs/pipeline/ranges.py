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

from stepwell.brokers.port import Broker, BrokerError, Delivery, Outgoing, Post, deliver, hand_over
from stepwell.core.place import TRACEPARENT
from stepwell.core.program import StepContext
from stepwell.core.status import Status
from stepwell.programs.pipeline.chance import seed_of
from stepwell.programs.pipeline.course import MAX_UNDER_WAY, Course, Stopped, send_ahead
from stepwell.programs.pipeline.execution import Origin
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.pacing import Pace
from stepwell.programs.pipeline.reporting import NOTHING, Counts, Progress, Report
from stepwell.programs.pipeline.running import Expecting, Lookup, Message, run_execution
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
        self._origin = Origin(
            workflow_id=pipeline.id,
            run_id=step.run_id,
            seed=seed_of(seed),
            started_at=started_at,
            trace=((TRACEPARENT, step.traceparent.encode()),) if step.traceparent else (),
        )
        self._pace = pace
        self._progress = Progress(messages)
        self._report = Report(step, self._progress.counts)
        self._broker: Broker | None = None
        self._post: Post = _later
        self._under_way: dict[int, Course | int] = {}
        """The executions under way. Of most there is nothing left but so many acknowledgements to come."""
        self._news = asyncio.Event()
        """Set whenever one of them ends."""

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
        most = self._pipeline.concurrency
        index = first
        while index <= last:
            if len(self._under_way) >= most:
                await self._until_open(most - 1)
            elif not index % BREATH_EVERY:
                await asyncio.sleep(0)
            await self.hold()
            stretch = min(most - len(self._under_way), BREATH_EVERY - index % BREATH_EVERY, last + 1 - index)
            index = await self._begin(index, index + stretch)

    async def _begin(self, first: int, end: int) -> int:
        """Begin executions from `first` up to but without `end`, or up to one that has something to wait for.

        The first that is not begun. Raises `Stopped`.
        """
        waiting = self._run_at_once(first, end)
        if waiting is None:
            return end
        await self._go_on(waiting)
        return waiting + 1

    def _run_at_once(self, first: int, end: int) -> int | None:
        """Run executions to their end, but for acknowledgements; the first that has something else to wait for."""
        pipeline, origin, post = self._pipeline, self._origin, self.posting()
        ended, on_record, under_way = self._progress.ended, self._progress.sent, self._under_way
        begun, waiting = 0, None
        for index in range(first, end):
            if index in ended:
                continue
            begun += 1
            running = run_execution(pipeline, origin.execution(index))
            posted, rest = send_ahead(running, post, on_record.get(index, ()), MAX_UNDER_WAY)
            if rest is None and posted:
                under_way[index] = posted
                continue
            course = under_way[index] = Course(self, index, running, rest, posted, on_record.get(index, ()))
            if not course.left_to_itself():
                waiting = index
                break
        self._report.begun(begun)
        return waiting

    async def _go_on(self, index: int) -> None:
        """Run an execution as far as it goes without waiting for anything but room; the rest of it is a task.

        Raises `Stopped`.
        """
        try:
            over = await self._course(index).go()
        except BaseException:
            self._closed(index)
            raise
        if not over:
            self._group.create_task(self._finish(index))

    def _course(self, index: int) -> Course:
        """That of an execution under way. One that seemed to be over but for acknowledgements gets one then."""
        course = self._under_way[index]
        if isinstance(course, int):
            course = self._under_way[index] = Course(self, index, under_way=course)
            course.left_to_itself()
        return course

    async def _finish(self, index: int) -> None:
        try:
            await self._course(index).finish()
        except Stopped:
            self._closed(index)

    async def _until_open(self, most: int) -> None:
        """Wait until no more than so many executions are under way."""
        while len(self._under_way) > most:
            self._news.clear()
            await self._news.wait()

    def _closed(self, index: int) -> None:
        del self._under_way[index]
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

    def posting(self) -> Post:
        """The broker's way, as long as it is connected and the run neither stands still nor has a rate."""
        return self._post if self._step.status is Status.RUNNING and not self._pipeline.rate else _later

    async def post_later(self, message: Message) -> None:
        """Hand a message to the broker when it is its turn. Raises `BrokerError`, `Stopped`."""
        await self.hold()
        await self._pace.turn()
        await hand_over(await self._connected(), self._post, message)

    def _told(self, messages: Sequence[Any], found: Delivery | BrokerError) -> None:
        """What became of messages that were posted. Executions that are not under way any more were let go of."""
        if isinstance(found, BrokerError):
            for message in messages:
                if message.execution in self._under_way:
                    self._course(message.execution).refused(message, found)
            return
        self.sent(messages, found)
        under_way = self._under_way
        ended: list[tuple[int, str | None]] = []
        for message in messages:
            index = message.execution
            left = under_way.get(index)
            if left == 1:
                ended.append((index, None))
                del under_way[index]
            elif isinstance(left, int):
                under_way[index] = left - 1
            elif left is not None and left.acknowledged():
                ended.append((index, left.error))
                del under_way[index]
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
            self._post = self._broker.posting(self._told)
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
                    broker.expect(
                        wanted.topic, effect.matches, since=self._origin.started_at, within_s=left, keep=keep
                    )
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


def _later(_message: Outgoing) -> bool:
    """Takes none: something has to be waited for first."""
    return False

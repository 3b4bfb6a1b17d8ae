"""The course of one execution: it goes on while its messages are on their way, but settles them before it waits.

A message that the broker did not take is sent again when those behind it are settled, so each keeps its place among
those that go out after it.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, Protocol

from stepwell.brokers.port import BrokerError, Delivery, Outgoing, Settled
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.running import Breath, Effect, Expecting, Lookup, Message, Wait, run_execution

MAX_UNDER_WAY: Final = 500
"""Messages of one execution."""


class Stopped(Exception):
    """The run was stopped: an execution ends here, neither completed nor failed."""


class Surroundings(Protocol):
    """What an execution needs of the range that it belongs to."""

    def on_record(self, index: int, n: int) -> bool: ...
    def outgoing(self, index: int, message: Message) -> Outgoing: ...
    def sent(self, index: int, message: Message, delivery: Delivery) -> None: ...
    def trouble(self, fault: BrokerError) -> None: ...
    def ended(self, index: int, error: str | None) -> None: ...
    def late(self, course: "Course") -> None: ...
    async def post(self, outgoing: Outgoing, settled: Settled) -> None: ...
    async def insist(self, outgoing: Outgoing) -> Delivery: ...
    async def wait(self, index: int, which: int, seconds: float) -> None: ...
    async def look_up(self, effect: Lookup) -> Any: ...
    async def expect(self, effect: Expecting) -> Any: ...


class Course:
    """One execution while it is under way."""

    def __init__(self, around: Surroundings, pipeline: Pipeline, execution: Execution) -> None:
        self._around = around
        self._index = execution.index
        self._running = run_execution(pipeline, execution)
        self._effect: Effect | None = None
        self._error: str | None = None
        self._waits = 0
        self._under_way = 0
        self._refused: deque[tuple[Message, Outgoing, BrokerError]] = deque()
        self._settled: asyncio.Event | None = None
        self._over = False
        """Whether there is nothing more to come than acknowledgements."""
        self._left_alone = False
        """Whether nobody waits for these."""

    async def go(self) -> bool:
        """Send until something has to be waited for; whether all that is left is to be acknowledged.

        Such an execution reports its end itself, when the last acknowledgement has come. Raises `Stopped`.
        """
        await self._advance(None)
        if not self._over or self._refused:
            return False
        self._left_alone = True
        if not self._under_way:
            self._around.ended(self._index, self._error)
        return True

    async def finish(self) -> None:
        """Everything else, up to the end. Raises `Stopped`."""
        while True:
            await self._settle()
            if self._over:
                break
            try:
                answer = await self._answer()
            except (RuleError, BrokerError) as fault:
                self._end(str(fault))
            else:
                await self._advance(answer)
        self._around.ended(self._index, self._error)

    async def _advance(self, answer: Any) -> None:
        """Run on until there is something other than a message."""
        try:
            while True:
                effect = self._running.send(answer)
                answer = None
                if isinstance(effect, Message):
                    await self._send(effect)
                    if self._refused or self._under_way >= MAX_UNDER_WAY:
                        await self._settle()
                elif isinstance(effect, Breath):
                    await asyncio.sleep(0)
                else:
                    self._effect = effect
                    return
        except StopIteration:
            self._end(None)
        except (RuleError, BrokerError) as fault:
            self._end(str(fault))

    def _end(self, error: str | None) -> None:
        self._over, self._error = True, self._error or error
        self._running.close()

    async def _answer(self) -> Any:
        """Do what the execution asked for. Raises `RuleError`, `BrokerError`, `Stopped`."""
        match self._effect:
            case Wait(seconds):
                self._waits += 1
                return await self._around.wait(self._index, self._waits, seconds)
            case Lookup() as lookup:
                return await self._around.look_up(lookup)
            case Expecting() as expecting:
                return await self._around.expect(expecting)
        raise AssertionError("messages and breaths are dealt with on the way")

    # --- messages ---------------------------------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        """Post a message, unless it is on record that the broker has it."""
        if self._around.on_record(self._index, message.n):
            return
        outgoing = self._around.outgoing(self._index, message)
        self._under_way += 1
        try:
            await self._around.post(outgoing, partial(self._told, message, outgoing))
        except BrokerError as fault:
            self._told(message, outgoing, fault)
        except BaseException:
            self._under_way -= 1
            raise

    def _told(self, message: Message, outgoing: Outgoing, found: Delivery | BrokerError) -> None:
        self._under_way -= 1
        if isinstance(found, Delivery):
            self._around.sent(self._index, message, found)
        else:
            self._refused.append((message, outgoing, found))
        if self._under_way:
            return
        if self._settled is not None:
            self._settled.set()
        elif self._left_alone:
            self._last_told()

    def _last_told(self) -> None:
        """Nobody waits for this execution any more, and the last of its messages is settled."""
        if self._refused:
            self._around.late(self)
        else:
            self._around.ended(self._index, self._error)

    async def _settle(self) -> None:
        """Wait until nothing is on its way; what was refused is sent again, in order. Raises `Stopped`."""
        while self._under_way or self._refused:
            if self._under_way:
                self._settled = asyncio.Event()
                try:
                    await self._settled.wait()
                finally:
                    self._settled = None
            while self._refused:
                await self._send_again(*self._refused.popleft())

    async def _send_again(self, message: Message, outgoing: Outgoing, fault: BrokerError) -> None:
        if not fault.retryable:
            self._end(str(fault))
            return
        self._around.trouble(fault)
        try:
            self._around.sent(self._index, message, await self._around.insist(outgoing))
        except BrokerError as final:
            self._end(str(final))

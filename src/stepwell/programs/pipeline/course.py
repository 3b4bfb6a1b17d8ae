"""The course of one execution: it goes on while its messages are on their way, but settles them before it waits.

A message that the broker did not take is sent again when those behind it are settled, so each keeps its place among
those that go out after it. What only sends goes without waiting for the loop, as long as the broker has room.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from stepwell.brokers.port import BrokerError, Delivery, Post, Settled
from stepwell.programs.pipeline.execution import Execution
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.running import Breath, Effect, Expecting, Lookup, Message, Wait, run_execution

MAX_UNDER_WAY: Final = 500
"""Messages of one execution."""


class Stopped(Exception):
    """The run was stopped: an execution ends here, neither completed nor failed."""


class Surroundings(Protocol):
    """What an execution needs of the range that it belongs to. `which` counts what one execution asked for.

    `settled` is told what becomes of a message that is posted, and tells `Course.told`.
    """

    settled: Settled

    def posting(self) -> Post | None:
        """How messages are posted until the loop has its turn; None when something has to be waited for first."""

    async def post_later(self, message: Message) -> None: ...
    async def insist(self, message: Message) -> Delivery: ...
    def sent(self, messages: Sequence[Message], first: Delivery) -> None: ...
    def trouble(self, fault: BrokerError) -> None: ...
    def ended(self, index: int, error: str | None) -> None: ...
    def late(self, index: int) -> None: ...
    async def wait(self, index: int, which: int, seconds: float) -> None: ...
    async def look_up(self, index: int, which: int, effect: Lookup) -> Any: ...
    async def expect(self, index: int, which: int, effect: Expecting) -> Any: ...


class Course:
    """One execution while it is under way. Messages of the numbers in `on_record` were acknowledged before."""

    # Defaults are the class's: most executions end without ever having had anything else.
    _effect: Effect | None = None
    """What it asked for and did not get yet."""
    _asked = 0
    _under_way = 0
    _refused: deque[tuple[Message, BrokerError]] | None = None
    _settled: asyncio.Event | None = None
    _over = False
    """Whether there is nothing more to come than acknowledgements."""
    _left_alone = False
    """Whether nobody waits for these."""
    error: str | None = None
    """What it ended with."""

    def __init__(
        self, around: Surroundings, pipeline: Pipeline, execution: Execution, on_record: Collection[int] = ()
    ) -> None:
        self._around = around
        self._index = execution.index
        self._on_record = on_record
        self._running = run_execution(pipeline, execution)

    def set_out(self, post: Post | None) -> bool:
        """Send what can be sent at once; whether all that is left is to be acknowledged.

        Such an execution ends with its last acknowledgement (`told`).
        """
        self._run_on(None, post)
        return self._left_to_itself()

    async def go(self) -> bool:
        """Send until something else has to be waited for, and as `set_out`. Raises `Stopped`."""
        try:
            await self._advance()
        except Stopped:
            await self._acknowledged()
            raise
        return self._left_to_itself()

    async def finish(self) -> None:
        """Everything else, up to the end. Raises `Stopped`, once what was on its way is settled."""
        try:
            await self._finish()
        except Stopped:
            await self._acknowledged()
            raise
        self._around.ended(self._index, self.error)

    async def _finish(self) -> None:
        while True:
            await self._settle()
            if self._over:
                break
            try:
                answer = await self._answer()
            except (RuleError, BrokerError) as fault:
                self._end(str(fault))
            else:
                self._run_on(answer, self._around.posting())
                await self._advance()

    def _left_to_itself(self) -> bool:
        if not self._over or self._refused:
            return False
        self._left_alone = True
        if not self._under_way:
            self._around.ended(self._index, self.error)
        return True

    def _run_on(self, answer: Any, post: Post | None) -> None:
        """Run until there is something that cannot be had at once."""
        settled, on_record = self._around.settled, self._on_record
        self._effect = None
        try:
            for effect in self._running if answer is None else self._answered(answer):
                if type(effect) is Message:
                    if effect.n in on_record:
                        continue
                    if post is not None and not self._refused and self._under_way < MAX_UNDER_WAY:
                        self._under_way += 1  # first: it may be settled at once
                        if post(effect, settled):
                            continue
                        self._under_way -= 1
                self._effect = effect
                return
            self._over = True
        except RuleError as fault:
            self._end(str(fault))

    def _answered(self, answer: Any) -> Iterable[Effect]:
        """Its effects from an answer on."""
        try:
            return chain((self._running.send(answer),), self._running)
        except StopIteration:
            return ()

    async def _advance(self) -> None:
        """Go on until there is something other than a message that has to wait."""
        while True:
            effect = self._effect
            if isinstance(effect, Message):
                if self._refused or self._under_way >= MAX_UNDER_WAY:
                    await self._settle()
                await self._send(effect)
            elif isinstance(effect, Breath):
                await asyncio.sleep(0)
            else:
                return
            if self._over:  # what was refused for good ended it
                return
            self._run_on(None, self._around.posting())

    def _end(self, error: str | None) -> None:
        self._over, self._effect, self.error = True, None, self.error or error
        self._running.close()

    async def _answer(self) -> Any:
        """Do what the execution asked for. Raises `RuleError`, `BrokerError`, `Stopped`."""
        self._asked += 1
        match self._effect:
            case Wait(seconds):
                return await self._around.wait(self._index, self._asked, seconds)
            case Lookup() as lookup:
                return await self._around.look_up(self._index, self._asked, lookup)
            case Expecting() as expecting:
                return await self._around.expect(self._index, self._asked, expecting)
        raise AssertionError("messages and breaths are dealt with on the way")

    # --- messages ---------------------------------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        """Post a message when there is room for it."""
        if self._over:
            return
        self._under_way += 1
        try:
            await self._around.post_later(message)
        except BrokerError as fault:
            self.told(message, fault)
        except BaseException:
            self._under_way -= 1
            raise

    def told(self, message: Message, found: Delivery | BrokerError) -> bool:
        """What became of a message: it is acknowledged and on record, or it was refused. Whether that was the last of
        an execution that nobody waits for any more, and it has ended.
        """
        self._under_way -= 1
        if isinstance(found, BrokerError):
            if self._refused is None:
                self._refused = deque()
            self._refused.append((message, found))
        if self._under_way:
            return False
        if self._settled is not None:
            self._settled.set()
            return False
        if self._left_alone and self._refused:
            self._around.late(self._index)
            return False
        return self._left_alone

    async def _settle(self) -> None:
        """Wait until nothing is on its way; what was refused is sent again, in order. Raises `Stopped`."""
        while self._under_way or self._refused:
            await self._acknowledged()
            while self._refused:
                await self._send_again(*self._refused.popleft())

    async def _acknowledged(self) -> None:
        """Wait until nothing is on its way."""
        while self._under_way:
            self._settled = asyncio.Event()
            try:
                await self._settled.wait()
            finally:
                self._settled = None

    async def _send_again(self, message: Message, fault: BrokerError) -> None:
        if not fault.retryable:
            self._end(str(fault))
            return
        self._around.trouble(fault)
        try:
            self._around.sent([message], await self._around.insist(message))
        except BrokerError as final:
            self._end(str(final))

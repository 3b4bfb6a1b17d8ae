"""The course of one execution: it goes on while its messages are on their way, but settles them before it waits.

A message that the broker did not take is sent again when those behind it are settled, so each keeps its place among
those that go out after it. What only sends goes without waiting for the loop, as long as the broker has room.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from stepwell.brokers.port import BrokerError, Delivery, Post
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.running import Breath, Effect, Expecting, Lookup, Message, Running, Wait

MAX_UNDER_WAY: Final = 500
"""Messages of one execution."""
NOTHING: Final[Running] = (effect for effect in tuple[Effect]())
"""What an execution does that is over."""


class Stopped(Exception):
    """The run was stopped: an execution ends here, neither completed nor failed."""


class Surroundings(Protocol):
    """What an execution needs of the range that it belongs to. `which` counts what one execution asked for.

    What becomes of a message that is posted is told to `Course.acknowledged` or `Course.refused`.
    """

    def posting(self) -> Post:
        """How messages are posted until the loop has its turn."""

    async def post_later(self, message: Message) -> None: ...
    async def insist(self, message: Message) -> Delivery: ...
    def sent(self, messages: Sequence[Message], first: Delivery) -> None: ...
    def trouble(self, fault: BrokerError) -> None: ...
    def ended(self, index: int, error: str | None) -> None: ...
    def late(self, index: int) -> None: ...
    async def wait(self, index: int, which: int, seconds: float) -> None: ...
    async def look_up(self, index: int, which: int, effect: Lookup) -> Any: ...
    async def expect(self, index: int, which: int, effect: Expecting) -> Any: ...


def send_ahead(
    effects: Iterable[Effect], post: Post, on_record: Collection[int], room: int
) -> tuple[int, Effect | RuleError | None]:
    """Post the messages of an execution for as long as that goes at once, at most so many.

    Those of the numbers in `on_record` were acknowledged before. How many were posted, and what is next: an effect
    that cannot be had at once, the fault that it ended with, or None at its end.
    """
    posted = 0
    try:
        for effect in effects:
            if type(effect) is Message:
                if effect.n in on_record:
                    continue
                if posted < room and post(effect):
                    posted += 1
                    continue
            return posted, effect
    except RuleError as fault:
        return posted, fault
    return posted, None


class Course:
    """The rest of an execution, of which `under_way` messages are on their way and `rest` is next (`send_ahead`)."""

    def __init__(
        self,
        around: Surroundings,
        index: int,
        running: Running = NOTHING,
        rest: Effect | RuleError | None = None,
        under_way: int = 0,
        on_record: Collection[int] = (),
    ) -> None:
        self.error: str | None = None
        """What it ended with."""
        self._around = around
        self._index = index
        self._running = running
        self._on_record = on_record
        self._effect: Effect | None = None
        """What it asked for and did not get yet."""
        self._asked = 0
        self._under_way = under_way
        self._refused: deque[tuple[Message, BrokerError]] = deque()
        self._settled: asyncio.Event | None = None
        self._over = False
        """Whether there is nothing more to come than acknowledgements."""
        self._left_alone = False
        """Whether nobody waits for these."""
        self._take(rest)

    def left_to_itself(self) -> bool:
        """Whether all that is left is to be acknowledged: then it ends with its last acknowledgement."""
        if not self._over or self._refused:
            return False
        self._left_alone = True
        if not self._under_way:
            self._around.ended(self._index, self.error)
        return True

    async def go(self) -> bool:
        """Send until something else has to be waited for; whether it is `left_to_itself`. Raises `Stopped`."""
        try:
            await self._advance()
        except Stopped:
            await self._acknowledged()
            raise
        return self.left_to_itself()

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
                effects = self._answered(await self._answer())
            except (RuleError, BrokerError) as fault:
                self._end(str(fault))
            else:
                self._run_on(effects)
                await self._advance()

    def _run_on(self, effects: Iterable[Effect]) -> None:
        """Run until there is something that cannot be had at once."""
        room = 0 if self._refused else MAX_UNDER_WAY - self._under_way
        posted, rest = send_ahead(effects, self._around.posting(), self._on_record, room)
        self._under_way += posted
        self._take(rest)

    def _take(self, rest: Effect | RuleError | None) -> None:
        if rest is None or isinstance(rest, RuleError):
            self._end(None if rest is None else str(rest))
        else:
            self._effect = rest

    def _answered(self, answer: Any) -> Iterable[Effect]:
        """Its effects from an answer on. Raises `RuleError`."""
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
            self._run_on(self._running)

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
            self.refused(message, fault)
        except BaseException:
            self._under_way -= 1
            raise

    def acknowledged(self) -> bool:
        """A message is acknowledged and on record; whether it has ended with that, and nobody waits for it."""
        self._under_way -= 1
        return not self._under_way and self._all_settled()

    def refused(self, message: Message, fault: BrokerError) -> None:
        """The broker did not take a message."""
        self._under_way -= 1
        self._refused.append((message, fault))
        if not self._under_way:
            self._all_settled()

    def _all_settled(self) -> bool:
        """Nothing is on its way: say so to who waits for it. Whether nobody does, and it has ended."""
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

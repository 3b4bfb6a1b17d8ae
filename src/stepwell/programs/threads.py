"""Calls of sync functions, each in a daemon thread of its own.

Not asyncio's default executor: its threads are joined when the loop closes and when the process exits, so that one
call without end holds up both; and its few threads are shared with all else, so that a few such calls hold up
everything. A thread cannot be stopped: one that nobody awaits any more runs on, is not counted, and dies with the
process.
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

T = TypeVar("T")
Late = Callable[[Any, BaseException | None], None]
"""Told what a call came to that nobody awaits any more: a result, or an exception."""

AT_ONCE: Final = 256
"""Calls that are awaited at once; above that they wait in order. A thread costs some ten kilobytes, and a
function that needs more of them at once is better written as a coroutine."""


class Threads:
    """Runs calls in threads, `at_once` of them at most that somebody still waits for."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def run(self, call: Callable[[], T], *, late: Late | None = None) -> T:
        """What `call` returns or raises. When the caller is cancelled, `late` is told in the end."""
        await self._take_place()
        try:
            return await _in_thread(call, late)
        finally:
            self._give_place()

    async def _take_place(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_place()  # it was this one's turn already
            raise

    def _give_place(self) -> None:
        """To the first that still waits (a place goes from hand to hand, so that nobody is overtaken)."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


async def _in_thread(call: Callable[[], T], late: Late | None) -> T:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if ended.done():  # nobody waits any more
            if late is not None:
                late(result, error)
        elif error is None:
            ended.set_result(result)
        else:
            ended.set_exception(error)
            ended.exception()  # seen: asyncio must not complain when the waiter was cancelled just now

    def work() -> None:
        try:
            outcome = partial(settle, context.run(call), None)
        except BaseException as error:  # noqa: BLE001  the waiter gets it; a thread has nobody else to tell
            outcome = partial(settle, None, _for_waiter(error))
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(outcome)

    threading.Thread(target=work, name="stepwell-call", daemon=True).start()
    return await ended


def _for_waiter(error: BaseException) -> Exception:
    """An exception that fails the step and no more.

    A future refuses StopIteration; SystemExit, KeyboardInterrupt and CancelledError of a thread would end the
    process, or the task, that waits.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    told = RuntimeError(f"the function raised {type(error).__name__}{f': {error}' if str(error) else ''}")
    told.__cause__ = error
    return told.with_traceback(error.__traceback__)

"""Many who wait for one thing. Each has a future of its own, so that one who is cancelled takes nobody along."""

import asyncio
from collections.abc import Iterable

import msgspec


class Crowd(msgspec.Struct):
    """Waiters of one event; they are let go together, once."""

    _waiting: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None]:
        """Comes true, or fails, with the others."""
        future: asyncio.Future[None] = asyncio.Future()
        self._waiting.append(future)
        return future

    def let_go(self) -> None:
        """What they wait for has happened."""
        waiting, self._waiting = self._waiting, []
        let_go(waiting)

    def forget_cancelled(self) -> None:
        """Keep only those who still wait."""
        self._waiting = [future for future in self._waiting if not future.done()]


def let_go(waiting: Iterable[asyncio.Future[None]]) -> None:
    """Have them go on, but for those who were cancelled."""
    for future in waiting:
        if not future.done():
            future.set_result(None)

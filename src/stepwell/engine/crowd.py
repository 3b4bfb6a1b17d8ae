"""Many who wait for one thing. Each has a future of its own, so that one who is cancelled takes nobody along."""

import asyncio

import msgspec


class Crowd(msgspec.Struct):
    """Waiters of one event; they are let go together, once. Every batch has one, so it is quick to make: a Struct."""

    _waiting: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None]:
        """Comes true, or fails, with the others."""
        future: asyncio.Future[None] = asyncio.Future()
        self._waiting.append(future)
        return future

    def let_go(self, fault: BaseException | None = None) -> None:
        """What they wait for has happened, or failed with `fault`."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if future.done():
                continue
            if fault is None:
                future.set_result(None)
            else:
                future.set_exception(fault)
                future.exception()  # seen: a waiter may have turned to something else

    def join(self, other: "Crowd") -> None:
        """Wait for what `other` waits for."""
        other._waiting += self._waiting
        self._waiting = []

    def forget_cancelled(self) -> None:
        """Keep only those who still wait."""
        self._waiting = [future for future in self._waiting if not future.done()]

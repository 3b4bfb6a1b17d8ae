"""An event loop on which waiting costs nothing: when nothing is ready, its time jumps to the next timer.

Its time is the clock of the engine too. Threads, and what else takes real time (`standing_still`), are waited for
before time jumps. A loop that has nothing to wait for raises `Deadlock`, so that a run that got stuck is a failure
and not a test that hangs.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

START: Final = 1_750_000_000.0
"""2025-06-15 15:06:40 UTC."""


class Deadlock(Exception):
    """Nothing is ready, nothing is scheduled, and no thread is at work."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is in seconds since the epoch, and virtual."""

    _ready: Any
    _scheduled: Any
    _timer_cancelled_count: int

    def __init__(self, start: float = START) -> None:
        super().__init__()
        self._virtual_now = start
        self._busy = 0
        self._clock_resolution = 1e-6  # a float of today's instants is no finer than 2.4e-7

    def time(self) -> float:
        return self._virtual_now

    def now(self) -> float:
        """The engine's clock (`stepwell.engine.clock.Clock`)."""
        return self._virtual_now

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Time does not jump while somebody waits for what this loop does not know of: a process, a socket."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def run_in_executor(  # type: ignore[override]  # typeshed ties func and args together
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        self._busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002
        with self.standing_still():  # its threads are joined by one more
            await super().shutdown_default_executor()

    def _thread_ended(self, _: Any) -> None:
        self._busy -= 1

    def _run_once(self) -> None:
        if not self._ready and not self._busy:
            self._jump()
        super()._run_once()  # type: ignore[misc]  # not in typeshed, there since 3.4

    def _jump(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1
        if not self._scheduled:
            raise Deadlock("nothing is ready and nothing is scheduled")
        self._virtual_now = max(self._virtual_now, self._scheduled[0]._when)


def run_virtual(main: Any, *, start: float = START) -> Any:
    """Run a coroutine on virtual time; what it returns."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(main)

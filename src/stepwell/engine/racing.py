"""A race of branches: the order in which they may begin, and who ended first."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from stepwell.core.errors import ProgramError, problem
from stepwell.core.program import Branch
from stepwell.engine.ordering import Order

if TYPE_CHECKING:
    from stepwell.engine.driver import RunDriver


def fault_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What a branch raised; a `CancelledError` of its own is a failure like any other."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def order_of(
    key: str, branches: Mapping[str, Branch], until: str, after: Mapping[str, Sequence[str]], limit: int | None
) -> Order:
    """Raises `ProgramError` for an order in which not all branches could begin."""
    try:
        if until == "first" and (after or limit is not None):
            raise ValueError("expected `after` and `limit` with `until='all'` only")
        return Order(branches, after, limit)
    except ValueError as wrong:
        text = f"the race {key}: {wrong}"
        raise ProgramError(problem("validation", text, status=400, retryable=False)) from None


class Field:
    """The branches of one race; begins each when its time has come, and says which ended, in the order in which they
    did. One that has not begun costs nothing: no context, no task, and the run may be let go without it.
    """

    def __init__(self, driver: "RunDriver", order: Order, begin: Callable[[str], Awaitable[Any]]) -> None:
        self._driver = driver
        self._order = order
        self._begin = begin
        self._done: deque[str] = deque()
        self._news = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._live = 0
        self._joined = False
        driver.fork()
        self._go_on()

    def _go_on(self) -> None:
        """Begin what may begin now."""
        names = self._order.begin()
        self._live += len(names)
        self._driver.begin_branches(len(names))
        for name in names:
            task = self._tasks[name] = asyncio.ensure_future(self._begin(name))
            task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, task: asyncio.Task[Any]) -> None:
        self._done.append(name)
        self._news.set()
        # Seen, too: a branch may fail after its race was decided.
        failed = task.cancelled() or task.exception() is not None
        if not self._live:
            return
        if not failed:
            self._order.ended(name)
            self._go_on()  # before its end is told: a run in which nothing is under way may be let go
        self._live -= 1
        self._driver.end_branch()

    async def next_done(self) -> tuple[str, asyncio.Task[Any]]:
        while not self._done:
            self._news.clear()
            await self._news.wait()
        name = self._done.popleft()
        return name, self._tasks[name]

    def join(self) -> None:
        """The branch that runs the race goes on, and counts for itself again."""
        if not self._joined:
            self._joined = True
            self._driver.join_branches()

    def leave(self) -> None:
        """The race is decided or given up: the branches still running are cancelled, not waited for."""
        live, self._live = self._live, 0
        for _ in range(live):
            self._driver.end_branch()
        for task in self._tasks.values():
            task.cancel()
        self.join()

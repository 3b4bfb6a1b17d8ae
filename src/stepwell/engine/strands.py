"""Branches that begin as they come (`core.program.Branches`): what `RunContext.branches` gives."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self

from stepwell.core.program import Branch


class Counting(Protocol):
    """Who counts the branches of a run: its driver."""

    blocked: int

    def begin_branches(self, number: int) -> None: ...

    def end_branch(self) -> None: ...

    async def block(self, awaitable: Awaitable[Any]) -> Any: ...


class Strands:
    """The branches of one block. Whoever is in the block goes on beside them, and counts as a branch itself."""

    def __init__(self, counting: Counting, begin: Callable[[Branch], Awaitable[Any]]) -> None:
        self._counting = counting
        self._begin = begin
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in list(self._tasks):
            task.cancel()

    def begin(self, branch: Branch) -> Callable[[], object]:
        task = asyncio.ensure_future(self._begin(branch))
        self._tasks.add(task)
        self._counting.begin_branches(1)
        task.add_done_callback(self._ended)
        return task.cancel

    async def here(self, branch: Branch) -> Any:
        task = asyncio.current_task()
        assert task is not None, "a branch runs in a task"
        self._tasks.add(task)
        self._counting.begin_branches(1)
        try:
            return await self._begin(branch)
        finally:
            self._tasks.discard(task)
            self._counting.end_branch()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: it told its outcome to who needs it
        self._counting.end_branch()

    async def rest(self, awaitable: Awaitable[Any]) -> Any:
        return await self._counting.block(awaitable)

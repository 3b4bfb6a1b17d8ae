"""Taking runs over: all that are asked for while a statement is on its way go with the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from stepwell.core.errors import StorageError
from stepwell.store.port import Loaded

TakeAll = Callable[[Sequence[str]], Awaitable[list[Loaded]]]


class TakeOvers:
    """One statement at a time, for as many runs as there are."""

    def __init__(self, take_all: TakeAll) -> None:
        self._take_all = take_all
        self._asked: dict[str, asyncio.Future[Loaded | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def take(self, run_ids: Sequence[str]) -> list[Loaded]:
        """The runs, taken over; those that need no driver are left out."""
        return [loaded for loaded in await asyncio.gather(*map(self._ask, run_ids)) if loaded is not None]

    def _ask(self, run_id: str) -> asyncio.Future[Loaded | None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._take_asked())
        return self._asked.setdefault(run_id, asyncio.get_running_loop().create_future())

    async def _take_asked(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                taken = {loaded.run_id: loaded for loaded in await self._take_all(list(asked))}
            except StorageError as fault:
                for future in asked.values():
                    if not future.done():
                        future.set_exception(fault)
                continue
            for run_id, future in asked.items():
                if not future.done():
                    future.set_result(taken.get(run_id))

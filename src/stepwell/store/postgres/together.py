"""Taking runs over and loading them: all that are asked for while a statement is on its way go with the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from stepwell.core.errors import NewerHistoryError, StorageError
from stepwell.store.model import Loaded

GetAll = Callable[[Sequence[str]], Awaitable[list[Loaded]]]


Futures = list[asyncio.Future[Loaded | None]]
Asked = dict[str, Futures]
"""Who waits for a run, by its id."""


class Together:
    """One statement at a time, for as many runs as there are. Who asks gets what is true after that."""

    def __init__(self, get_all: GetAll) -> None:
        self._get_all = get_all
        self._asked: Asked = {}
        self._task: asyncio.Task[None] | None = None

    async def ask(self, run_ids: Sequence[str]) -> list[Loaded]:
        """The runs, in order; those that there are not, or not for this, are left out."""
        return [loaded for loaded in await asyncio.gather(*map(self._ask, run_ids)) if loaded is not None]

    def _ask(self, run_id: str) -> asyncio.Future[Loaded | None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._get_asked())
        future: asyncio.Future[Loaded | None] = (
            asyncio.Future()
        )  # each its own: one who is cancelled takes nobody along
        self._asked.setdefault(run_id, []).append(future)
        return future

    async def _get_asked(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            await self._answer(asked)

    async def _answer(self, asked: Asked) -> None:
        try:
            found = {loaded.run_id: loaded for loaded in await self._get_all(list(asked))}
        except Exception as fault:  # noqa: BLE001  # it is for those who ask
            if len(asked) == 1 or (isinstance(fault, StorageError) and not isinstance(fault, NewerHistoryError)):
                for future in _waiting(asked.values()):
                    future.set_exception(fault)
                return
            for run_id, futures in asked.items():  # a history that cannot be read concerns nobody else
                await self._answer({run_id: futures})
            return
        for run_id, futures in asked.items():
            for future in _waiting([futures]):
                future.set_result(found.get(run_id))


def _waiting(all_futures: Iterable[Futures]) -> Futures:
    """Those that nobody has cancelled."""
    return [future for futures in all_futures for future in futures if not future.done()]

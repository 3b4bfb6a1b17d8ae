"""The journals in memory: at most one per run and process, shared by its driver and by those who send it commands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from stepwell.core.errors import RunNotFoundError
from stepwell.engine.journal import Journal
from stepwell.store.port import RunStore


class _Entry:
    """A journal on the desk and how many hold it."""

    def __init__(self, journal: asyncio.Future[Journal]) -> None:
        self.journal = journal
        self.users = 0


class Desk:
    """Lends journals; loads one when nobody holds it, forgets it when the last gives it back."""

    def __init__(self, store: RunStore, new_journal: Callable[[], Journal]) -> None:
        self._store = store
        self._new_journal = new_journal
        self._entries: dict[str, _Entry] = {}

    @asynccontextmanager
    async def borrow(self, run_id: str) -> AsyncIterator[Journal]:
        """The run's journal. Raises `RunNotFoundError`, or the store's fault."""
        entry = self._entries.get(run_id)
        if entry is None or _worthless(entry):
            entry = self._entries[run_id] = _Entry(asyncio.ensure_future(self._load(run_id)))
        async with self._held(run_id, entry):
            yield await asyncio.shield(entry.journal)

    @asynccontextmanager
    async def lend_new(self, run_id: str, journal: Journal) -> AsyncIterator[None]:
        """Put the journal of a run that is being created on the desk."""
        loaded: asyncio.Future[Journal] = asyncio.get_running_loop().create_future()
        loaded.set_result(journal)
        entry = self._entries[run_id] = _Entry(loaded)
        async with self._held(run_id, entry):
            yield

    @asynccontextmanager
    async def _held(self, run_id: str, entry: _Entry) -> AsyncIterator[None]:
        entry.users += 1
        try:
            yield
        finally:
            entry.users -= 1
            if not entry.users and self._entries.get(run_id) is entry:
                del self._entries[run_id]

    def holds(self, run_id: str) -> bool:
        """Whether somebody uses the run's journal, or is loading it."""
        entry = self._entries.get(run_id)
        return entry is not None and not _worthless(entry)

    def at_hand(self, run_id: str) -> Journal | None:
        """The journal if it is in memory."""
        entry = self._entries.get(run_id)
        if entry is None or not entry.journal.done() or _worthless(entry):
            return None
        return entry.journal.result()

    async def _load(self, run_id: str) -> Journal:
        loaded = await self._store.load([run_id])
        if not loaded:
            raise RunNotFoundError(run_id)
        journal = self._new_journal()
        journal.adopt(loaded[0])
        return journal


def _worthless(entry: _Entry) -> bool:
    loaded = entry.journal
    return loaded.done() and (loaded.cancelled() or loaded.exception() is not None or loaded.result().void)

"""The journals in memory: at most one per run and process, shared by its driver and by those who send it commands."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from stepwell.core.errors import RunNotFoundError
from stepwell.engine.journal import Journal
from stepwell.store.port import RunStore


class _Entry:
    """A journal on the desk and how many hold it."""

    __slots__ = ("journal", "users")

    def __init__(self, journal: asyncio.Future[Journal]) -> None:
        self.journal = journal
        self.users = 0


class Loan:
    """`async with` a journal; given back at the end. Written out, since every run takes one (11 % of a short run)."""

    __slots__ = ("_entries", "_entry", "_run_id")

    def __init__(self, entries: dict[str, _Entry], run_id: str, entry: _Entry) -> None:
        self._entries = entries
        self._run_id = run_id
        self._entry = entry

    async def __aenter__(self) -> Journal:
        entry = self._entry
        entry.users += 1
        if entry.journal.done():
            return entry.journal.result()
        try:
            return await asyncio.shield(entry.journal)
        except BaseException:
            self._give_back()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._entry.users -= 1
        if not self._entry.users and self._entries.get(self._run_id) is self._entry:
            del self._entries[self._run_id]


class Desk:
    """Lends journals; loads one when nobody holds it, forgets it when the last gives it back."""

    def __init__(self, store: RunStore, new_journal: Callable[[], Journal]) -> None:
        self._store = store
        self._new_journal = new_journal
        self._entries: dict[str, _Entry] = {}

    def borrow(self, run_id: str) -> Loan:
        """The run's journal. Entering raises `RunNotFoundError`, or the store's fault."""
        entry = self._entries.get(run_id)
        if entry is None or _worthless(entry):
            entry = self._entries[run_id] = _Entry(asyncio.ensure_future(self._load(run_id)))
        return Loan(self._entries, run_id, entry)

    def lend_new(self, run_id: str, journal: Journal) -> Loan:
        """Put the journal of a run that is being created on the desk."""
        loaded: asyncio.Future[Journal] = asyncio.get_running_loop().create_future()
        loaded.set_result(journal)
        entry = self._entries[run_id] = _Entry(loaded)
        return Loan(self._entries, run_id, entry)

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

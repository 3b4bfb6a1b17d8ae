"""The journals in memory: at most one per run and process, shared by its driver and by those who send it commands."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

from stepwell.core.errors import RunNotFoundError
from stepwell.engine.journal import Journal
from stepwell.store.model import Loaded
from stepwell.store.port import RunStore


class _Entry(msgspec.Struct):
    """A journal on the desk, or on its way there, and how many hold it."""

    journal: Any = None  # a Journal, which msgspec has no type for
    loading: asyncio.Future[None] | None = None
    users: int = 0

    @property
    def worthless(self) -> bool:
        """Whether loading it failed, or its store did."""
        if self.journal is not None:
            void: bool = self.journal.void
            return void
        return self.loading is not None and self.loading.done()


class Loan(msgspec.Struct):
    """`async with` a journal, or `with` one that is at hand; given back at the end. Written out, since each run takes
    some (11 % of a short run).
    """

    _entries: dict[str, _Entry]
    _run_id: str
    _entry: _Entry

    def __enter__(self) -> Journal:
        self._entry.users += 1
        journal: Journal = self._entry.journal
        return journal

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back()

    async def __aenter__(self) -> Journal:
        entry = self._entry
        entry.users += 1
        if entry.journal is None:
            assert entry.loading is not None
            try:
                await asyncio.shield(entry.loading)
            except BaseException:
                self._give_back()
                raise
        journal: Journal = entry.journal
        return journal

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

    def borrow(self, run_id: str, loaded: Loaded | None = None) -> Loan:
        """The run's journal; made from `loaded`, if that is given and nobody holds it.

        Entering raises `RunNotFoundError`, or the store's fault.
        """
        entry = self._entries.get(run_id)
        if entry is None or entry.worthless:
            entry = self._entries[run_id] = _Entry()
            if loaded is not None:
                entry.journal = self._adopted(loaded)
            else:
                entry.loading = asyncio.ensure_future(self._load(run_id, entry))
                entry.loading.add_done_callback(_seen)
        return Loan(self._entries, run_id, entry)

    def lend_new(self, run_id: str, journal: Journal) -> Loan:
        """Put the journal of a run that is being created on the desk."""
        entry = self._entries[run_id] = _Entry(journal)
        return Loan(self._entries, run_id, entry)

    def holds(self, run_id: str) -> bool:
        """Whether somebody uses the run's journal, or is loading it."""
        entry = self._entries.get(run_id)
        return entry is not None and not entry.worthless

    def run_ids(self) -> list[str]:
        """The runs whose journals are on the desk."""
        return list(self._entries)

    def at_hand(self, run_id: str) -> Journal | None:
        """The journal if it is in memory."""
        entry = self._entries.get(run_id)
        return None if entry is None or entry.worthless else entry.journal

    async def _load(self, run_id: str, entry: _Entry) -> None:
        loaded = await self._store.load([run_id])
        if not loaded:
            raise RunNotFoundError(run_id)
        entry.journal = self._adopted(loaded[0])

    def _adopted(self, loaded: Loaded) -> Journal:
        journal = self._new_journal()
        journal.adopt(loaded)
        return journal


def _seen(loading: asyncio.Future[None]) -> None:
    """A fault counts as seen: whoever waited for it may have turned to something else."""
    if not loading.cancelled():
        loading.exception()

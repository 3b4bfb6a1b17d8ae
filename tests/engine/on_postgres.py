"""A world whose runs are in PostgreSQL. Its answers take real time: virtual time stands still for them."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from functools import cache
from random import Random
from typing import Any, Self

import asyncpg

from postgres.server import emptied_database
from stepwell.dispatch.local import LocalDispatch
from stepwell.dispatch.port import Dispatch
from stepwell.engine.duties.timers import RECHECK_EVERY_S
from stepwell.store.model import Batch, CommitResult, Loaded
from stepwell.store.postgres import PostgresStore

from .harness import CrashAt, Crashing
from .virtual_time import VirtualLoop

_nodes = itertools.count(1)
"""Each life is another node."""


class Here:
    """Hands runs out to the dispatch of the same process, once they are on disk."""

    def __init__(self) -> None:
        self.node = next(_nodes)
        self.dispatch: NodeDispatch | None = None
        self._new: ContextVar[list[str]] = ContextVar("jobs")

    async def install(self, connection: Any) -> None:
        """A queue that has lost whatever was on it: what was live when the last life ended is looked for."""
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS pgqueuer (dedupe_key text, status text DEFAULT 'queued')"
        )
        await connection.execute("DELETE FROM pgqueuer")
        await connection.execute("INSERT INTO pgqueuer VALUES ($1)", f"node:{self.node}")

    async def enqueue(self, connection: Any, jobs: Sequence[tuple[str, str, str]]) -> None:
        """A job stays until the end of the life: its key is that of one wake-up."""
        await connection.execute("INSERT INTO pgqueuer SELECT unnest($1::text[])", [key for _, key, _ in jobs])
        self._new.get().extend(run_id for run_id, *_ in jobs)

    @asynccontextmanager
    async def submitting(self) -> AsyncIterator[None]:
        """One write: what it hands out is taken once it is on disk. Another one may be under way."""
        new: list[str] = []
        self._new.set(new)
        yield
        for run_id in new:
            assert self.dispatch is not None
            self.dispatch.take(run_id)


class NodeDispatch(LocalDispatch):
    """As a node does: drives what is created here from the start, and has other runs handed out, to itself."""

    def __init__(self, store: PostgresStore, node: int) -> None:
        super().__init__()
        self._store = store
        self._node = node
        self._handing: set[asyncio.Task[None]] = set()

    def start(self, run_id: str, workflow: str) -> int:  # noqa: ARG002  # the port's signature
        self.take(run_id)
        return self._node

    def take(self, run_id: str) -> None:
        super().submit(run_id)

    def submit(self, run_id: str, delay_s: float = 0.0) -> None:
        if delay_s > 0:  # its job is tried again
            asyncio.get_running_loop().call_later(delay_s, self.take, run_id)
        elif run_id in self._active:
            super().submit(run_id)
        else:
            task = asyncio.get_running_loop().create_task(self._store.hand_out([run_id], self._node))
            self._handing.add(task)
            task.add_done_callback(self._handing.discard)

    def _ended(self, run_id: str, task: asyncio.Task[bool]) -> None:
        again = run_id in self._again
        self._again.discard(run_id)
        super()._ended(run_id, task)
        if again:
            self.take(run_id)
        elif not (task.cancelled() or task.exception() or task.result()):  # not by us: handed out anew
            asyncio.get_running_loop().call_later(RECHECK_EVERY_S, self.submit, run_id)


class CrashingPostgres(Crashing, PostgresStore):
    """A node's store; what it holds of the server is gone with the life."""

    def __init__(self, url: str, *, crash: CrashAt | None, rng: Random | None) -> None:
        self.here = Here()
        super().__init__(url, jobs=self.here, crash=crash, rng=rng)
        self._lines = [
            *self._committing, self._writing, self._taking, self._querying, *self._readers, self._changes._telling
        ]  # fmt: skip
        for line in self._lines:
            line.use = _standing_still(line.use)  # type: ignore[assignment, method-assign]

    async def open(self) -> None:
        with _loop().standing_still():
            await super().open()
            await self._frozen.close()  # it would look every two seconds of a time that flies

    async def close(self) -> None:
        with _loop().standing_still():
            await super().close()

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        async with self.here.submitting():
            return await super().commit(batches)

    async def hand_out(self, run_ids: Sequence[str], node: int = 0) -> None:
        async with self.here.submitting():
            await self._written(lambda: PostgresStore.hand_out(self, run_ids, node))

    async def _take_all(self, run_ids: Sequence[str]) -> list[Loaded]:
        return await self._written(lambda: PostgresStore._take_all(self, run_ids))

    async def drop(self) -> None:
        """As the kernel does when a process dies. What was on its way to the server may still be done there."""
        with _loop().standing_still():
            for line in self._lines:
                if line._connection is not None:
                    line._connection.terminate()
            async with _aside(self.url) as connection:
                while await connection.fetchval(_OTHERS):  # noqa: ASYNC110  # the server tells nobody
                    await asyncio.sleep(0)


_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stepwell'"


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


Use = Callable[[], AbstractAsyncContextManager[Any]]


def _standing_still(use: Use) -> Use:
    @asynccontextmanager
    async def used() -> AsyncIterator[Any]:
        with _loop().standing_still():
            async with use() as connection:
                yield connection

    return used


@asynccontextmanager
async def _aside(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url, server_settings={"application_name": "world"})
    try:
        yield connection
    finally:
        connection.terminate()


class Rows(Iterator[Any]):
    """Rows as apsw gives them."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return next(self._rows)

    @property
    def get(self) -> Any:
        """The first row, its only column as it is; None when there is none."""
        row = next(self._rows, None)
        return row[0] if row is not None and len(row) == 1 else row


class Disk:
    """What lies in a database, for who cannot wait: asked on a thread, and a connection, of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        numbers = itertools.count(1)
        text = "".join(f"${next(numbers)}" if letter == "?" else letter for letter in statement)
        return Rows(asyncio.run_coroutine_threadsafe(self._fetch(text, values), self._loop).result())

    async def _fetch(self, text: str, values: Sequence[Any]) -> list[Any]:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._url, server_settings={"application_name": "world"})
        return list(await self._connection.fetch(text, *values))

    def close(self) -> None:
        """It is used again by the next world."""


_disk = cache(Disk)


class OnPostgres:
    """A database of PostgreSQL, empty at first (`harness.Database`)."""

    def __init__(self) -> None:
        self._url = emptied_database()

    def disk(self) -> Any:
        return _disk(self._url)

    def store(self, *, crash: CrashAt | None = None, rng: Random | None = None) -> Any:
        return CrashingPostgres(self._url, crash=crash, rng=rng)

    def dispatch(self, store: Any) -> Dispatch:
        store.here.dispatch = NodeDispatch(store, store.here.node)
        return store.here.dispatch  # type: ignore[no-any-return]

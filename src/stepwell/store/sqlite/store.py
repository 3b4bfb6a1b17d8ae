"""`SqliteStore`: the store port on one SQLite file.

One connection writes: small groups inline on the event loop while a flush is quick, all else on its own thread, where
SQLite works through a group while the event loop decides the next. Others only read. Fencing (`epoch`) is not needed
here: one process at a time drives the file, its lock sees to that (`dispatch.local`); what other processes append is
caught by `(run, seq)`.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import apsw
import msgspec

from stepwell.core.chain import ChainRow
from stepwell.core.errors import NotRecordableError, StorageError
from stepwell.core.history import AnyEvent, decode_events
from stepwell.core.status import WaitReason
from stepwell.store.model import (
    STEADY,
    ApprovalQuery,
    ApprovalRow,
    Batch,
    CommitResult,
    CountQuery,
    Definition,
    Delivery,
    DeliveryQuery,
    Ends,
    Loaded,
    OutboxItem,
    Record,
    RunQuery,
    RunRow,
    StreamItem,
)
from stepwell.store.rows import delivery_of, delivery_row, settled_row
from stepwell.store.sql import statements
from stepwell.store.sqlite import deliveries, pruning, queries
from stepwell.store.sqlite.connection import check_folder, connect, faults_named, prepare, transaction
from stepwell.store.sqlite.writer import Writer

INLINE_BELOW_S: Final = 0.000_5
"""A flush quicker than this is cheaper on the event loop than the hop to a thread and back (measured)."""
INLINE_BATCHES: Final = 32
"""A larger group is written on the thread in any case: the runs of the other line go on meanwhile."""
SMOOTHING: Final = 0.1
MOST_STEADY: Final = 10_000
"""Records kept in memory."""

_decode_items = msgspec.json.Decoder(list[StreamItem]).decode
_encode = msgspec.json.encode
T = TypeVar("T")


class SqliteStore:
    """Runs in one SQLite file. `path` is a file name or a `file:` URI (tests use `vfs=memdb`)."""

    shared = False
    lines = 2

    def __init__(self, path: str) -> None:
        self.path = path
        self._sql = statements("sqlite")
        self._threads: list[ThreadPoolExecutor] = []
        self._connections: list[apsw.Connection] = []
        self._inline = False
        self._begun = 0
        """What the writer's thread was given; counted by the event loop only."""
        self._ended = 0
        """What it has done; counted by that thread only."""
        self._flush_s = INLINE_BELOW_S
        self._seen = (0, 0)
        """What was on disk when that was looked at last (`_on_disk`)."""
        self._steady: dict[tuple[str, str], list[Record]] = {}
        """Records of `STEADY` kinds that were read since they were written."""

    # --- opening ----------------------------------------------------------------------------------------------------

    def place_of(self, key: str) -> int:  # noqa: ARG002  # the port's signature
        return 0

    async def open(self) -> None:
        """Connect and migrate; one clear `StorageError` when the file cannot be used."""
        self._write_thread = self._thread("stepwell-writer")
        self._query_thread = self._thread("stepwell-queries")
        with faults_named(self.path):
            check_folder(self.path)
            self._writing = self._connect()
            prepare(self._writing, self.path)
            self._reading = self._connect(read_only=True)
            self._querying = self._connect(read_only=True)
        self._writer = Writer(self._writing)
        self._seen = self._on_disk()

    async def close(self) -> None:
        for thread in self._threads:
            thread.shutdown(wait=True)
        for connection in reversed(self._connections):
            connection.close()
        self._threads.clear()
        self._connections.clear()

    def _thread(self, name: str) -> ThreadPoolExecutor:
        thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._threads.append(thread)
        return thread

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        connection = connect(self.path, read_only=read_only)
        self._connections.append(connection)
        return connection

    # --- writing ----------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        if self._inline and not self._busy and len(batches) <= INLINE_BATCHES:
            results = self._commit_now(batches)
        else:
            results = await self._on_writer(self._commit_now, batches)
        self._flush_s += SMOOTHING * (self._writer.flush_s - self._flush_s)
        self._inline = self._flush_s < INLINE_BELOW_S
        return results

    def _commit_now(self, batches: Sequence[Batch]) -> list[CommitResult]:
        with faults_named(self.path):
            try:
                return self._writer.write(batches)
            except (TypeError, ValueError, OverflowError) as fault:  # a value that no column takes
                raise NotRecordableError(f"this cannot be put on record: {fault}") from fault

    async def _on_writer(self, work: Callable[..., T], *values: Any) -> T:
        """Run `work` on the writer's thread, to its end also when nobody waits for it any more; until then nothing is
        written inline.
        """

        def counted() -> T:
            try:
                return work(*values)
            finally:
                self._ended += 1

        running = asyncio.get_running_loop().run_in_executor(self._write_thread, counted)
        self._begun += 1
        return await asyncio.shield(running)

    @property
    def _busy(self) -> bool:
        """Whether the writer's thread works with the connection."""
        return self._begun != self._ended

    async def _write(self, name: str, rows: Sequence[Sequence[Any]]) -> int:
        """One statement for every row of values, in one transaction; how many rows it changed."""

        def work(connection: apsw.Connection) -> int:
            before = connection.total_changes()
            connection.executemany(self._sql[name], rows)
            return connection.total_changes() - before

        return await self._on_writer(self._in_transaction, work)

    def _in_transaction(self, work: Callable[[apsw.Connection], T]) -> T:
        with faults_named(self.path), transaction(self._writing):
            return work(self._writing)

    async def snapshot(self, run: int, seq: int, state: bytes) -> None:
        await self._write("put_snapshot", [(run, seq, state)])

    async def settle_outbox(self, done: Sequence[int], again: Sequence[tuple[int, float]]) -> None:
        if done:
            await self._write("drop_outbox", [(number,) for number in done])
        if again:
            await self._write("put_off_outbox", [(due_at, number) for number, due_at in again])

    async def put_outbox(self, items: Sequence[OutboxItem]) -> None:
        rows = [(item.kind, item.run_id, _encode(item.data).decode(), item.due_at) for item in items]
        await self._write("insert_outbox", rows)

    async def prune(self, ended_before: float, limit: int) -> list[str]:
        def work(connection: apsw.Connection) -> list[str]:
            return pruning.prune(connection, ended_before, limit)

        return await self._on_writer(self._in_transaction, work)

    # --- reading runs -----------------------------------------------------------------------------------------------

    def _read(self, name: str, *values: Any) -> list[Any]:
        with faults_named(self.path):
            return list(self._reading.execute(self._sql[name], values))

    async def load(self, run_ids: Sequence[str], after_seq: int = 0) -> list[Loaded]:
        with (
            faults_named(self.path),
            transaction(self._reading),
        ):  # one snapshot of the database for the run and its history
            return [loaded for run_id in run_ids if (loaded := self._load(run_id, after_seq)) is not None]

    def _load(self, run_id: str, after_seq: int) -> Loaded | None:
        found = self._read("find_run", run_id)
        if not found:
            return None
        run, seq, live = found[0]
        kept = self._read("read_snapshot", run) if after_seq == 0 else []
        snapshot_seq, snapshot = kept[0] if kept else (0, None)
        after_seq = max(after_seq, snapshot_seq)
        next_item = self._read("last_item", run)
        return Loaded(
            run=run,
            run_id=run_id,
            epoch=0,
            seq=seq,
            live=bool(live),
            snapshot=snapshot,
            events=self._events(run, after_seq, -1),
            next_item=next_item[0][0] if next_item else 1,
            hash=last_hash[0][0] or b"" if (last_hash := self._read("last_hash", run)) else b"",
        )

    def _events(self, run: int, after_seq: int, limit: int) -> list[AnyEvent]:
        rows = self._read("read_history", run, after_seq + 1, limit)
        events = [event for _, row in rows for event in decode_events(row)]
        return events[after_seq + 1 - rows[0][0] :] if rows else []

    async def events(self, run_id: str, after_seq: int, limit: int) -> list[AnyEvent]:
        found = self._read("find_run", run_id)
        return self._events(found[0][0], after_seq, limit) if found else []

    async def rows(self, run_id: str, after_seq: int, limit: int) -> tuple[int, list[ChainRow]]:
        def work(connection: apsw.Connection) -> tuple[int, list[ChainRow]]:
            with transaction(connection):
                run, seq, _ = connection.execute(self._sql["find_run"], (run_id,)).get or (0, 0, 0)
                found = list(connection.execute(self._sql["read_rows"], (run, after_seq + 1, limit)))
            return seq, [ChainRow(seq=seq, count=n, events=row, hash=hash or b"") for seq, n, row, hash in found]

        return await self._query(work)

    async def stream(self, run_id: str, after: int, limit: int) -> list[StreamItem]:
        found = self._read("find_run", run_id)
        if found and after < 0:
            next_item = self._read("last_item", found[0][0])
            after = max(0, next_item[0][0] - 1 + after) if next_item else 0
        rows = self._read("read_stream", found[0][0], after + 1, limit) if found else []
        return [
            msgspec.structs.replace(item, n=number)
            for first, row in rows
            for number, item in enumerate(_decode_items(row), first)
            if number > after
        ]

    async def wanted(self, now: float, limit: int, after: int = 0) -> list[tuple[int, str]]:
        live = self._read("live_runs", after, limit)
        return [*live, *self._read("due_runs", now, limit)] if len(live) < limit else live

    async def take_over(self, run_ids: Sequence[str]) -> list[Loaded]:
        return [loaded for loaded in await self.load(run_ids) if loaded.live]

    async def hand_out(self, run_ids: Sequence[str], node: int = 0) -> None:
        """Nothing to do: the one process that drives the file sees to its runs."""

    async def hand_over(self, node: int) -> int:  # noqa: ARG002  # the port's signature
        return 0  # there is one node

    async def next_due(self) -> float | None:
        due_at: float | None = self._read("next_due")[0][0]
        return due_at

    async def listeners(self, type: str, source: str, after: int, limit: int) -> list[tuple[int, str, str]]:
        return self._read("find_listeners", type, source, after, limit)

    async def take_outbox(self, now: float, limit: int) -> list[OutboxItem]:
        return [
            OutboxItem(
                id=number, kind=kind, run_id=run_id, data=msgspec.json.decode(data), tries=tries, due_at=due_at
            )
            for number, kind, run_id, data, tries, due_at in self._read("take_outbox", now, limit)
        ]

    def on_told(self, call: Callable[[], None]) -> None:
        """It hears of nothing by itself."""

    async def changed_outside(self) -> list[str] | None:
        """SQLite says by `data_version` whether another connection wrote; the log says which runs."""
        seen = await self._on_writer(self._on_disk) if self._busy else self._on_disk()
        if seen[0] == self._seen[0]:
            return None
        changed = [run_id for (run_id,) in self._read("changed_runs", self._seen[1])]
        self._seen = seen
        self._steady.clear()
        return changed

    def _on_disk(self) -> tuple[int, int]:
        """A number that changes when another connection writes, and the last row of all histories. Of the connection
        that writes, so on its thread while that works.
        """
        with faults_named(self.path):
            version: int = self._writing.execute("PRAGMA data_version").get
            last: int = self._writing.execute(self._sql["last_history"]).get
        return version, last

    # --- listings: on a thread of their own -------------------------------------------------------------------------

    async def _query(self, work: Callable[[apsw.Connection], T]) -> T:
        def on_thread() -> T:
            with faults_named(self.path):
                return work(self._querying)

        return await asyncio.get_running_loop().run_in_executor(self._query_thread, on_thread)

    async def list_runs(self, query: RunQuery) -> list[RunRow]:
        return await self._query(lambda connection: queries.list_runs(connection, query))

    async def ends(self, run_ids: Sequence[str]) -> dict[str, Ends]:
        return await self._query(lambda connection: queries.ends(connection, run_ids))

    async def count_runs(self, query: CountQuery) -> dict[tuple[str, str], int]:
        return await self._query(lambda connection: queries.count_runs(connection, query))

    async def count_waiting(self, owner: str | None) -> dict[WaitReason, int]:
        return await self._query(lambda connection: queries.count_waiting(connection, owner))

    async def count_found(self, query: RunQuery, at_most: int) -> int:
        return await self._query(lambda connection: queries.count_found(connection, query, at_most))

    async def list_approvals(self, query: ApprovalQuery) -> list[ApprovalRow]:
        return await self._query(lambda connection: queries.list_approvals(connection, query))

    async def count_approvals(self, query: ApprovalQuery) -> int:
        return await self._query(lambda connection: queries.count_approvals(connection, query))

    # --- definitions and records ------------------------------------------------------------------------------------

    async def save_definition(self, definition: Definition) -> None:
        d = definition
        await self._write("put_definition", [(d.digest, d.name, d.version, d.kind, d.text, d.created_at)])

    async def find_definition(self, *, digest: str = "", name: str = "", version: str = "") -> Definition | None:
        found = self._read("find_definition", digest, name, version)
        return _definition(*found[0]) if found else None

    async def list_definitions(self) -> list[Definition]:
        return [_definition(*row) for row in self._read("list_definitions")]

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        r, data = record, _encode(record.data).decode()
        try:
            if expect_version is None or expect_version == 0:
                name = "put_record" if expect_version is None else "insert_record"
                return bool(await self._write(name, [(r.kind, r.id, r.owner, r.version, r.due_at, data)]))
            over = (r.owner, r.version, r.due_at, data, r.kind, r.id, expect_version)
            return bool(await self._write("replace_record", [over]))
        finally:
            self._steady.pop((r.kind, r.id), None)

    async def get_records(
        self, kind: str, *, id: str = "", owner: str | None = None, due_by: float | None = None, limit: int = 1000
    ) -> list[Record]:
        if id and kind in STEADY:
            return self._steady_record(kind, id)
        # A statement for each, since one with `? IS NULL OR ...` for all of them would walk the whole kind.
        owned = "get_records" if owner is None else "owned_records"
        name = "find_record" if id else owned if due_by is None or owner is not None else "due_records"
        return [_record(*row) for row in self._read(name, kind, id, owner, due_by, limit)]

    def _steady_record(self, kind: str, id: str) -> list[Record]:
        """From memory, unless it was written since it was read: every commit makes the next read of the file dear."""
        found = self._steady.get((kind, id))
        if found is None:
            if len(self._steady) >= MOST_STEADY:
                self._steady.clear()
            found = [_record(*row) for row in self._read("find_record", kind, id, None, None, 1)]
            if found:
                self._steady[kind, id] = found
        return list(found)

    async def drop_record(self, kind: str, id: str) -> None:
        try:
            await self._write("drop_record", [(kind, id)])
        finally:
            self._steady.pop((kind, id), None)

    # --- webhooks on their way --------------------------------------------------------------------------------------

    async def put_delivery(self, delivery: Delivery) -> None:
        await self._write("insert_delivery", [delivery_row(delivery)])

    async def waiting_endpoints(self) -> list[tuple[str, float]]:
        return self._read("waiting_endpoints")

    async def due_deliveries(self, endpoint: str, now: float, limit: int) -> list[Delivery]:
        return [delivery_of(*row) for row in self._read("due_deliveries", endpoint, now, limit)]

    async def hold_deliveries(self, ids: Sequence[str], now: float, until: float) -> set[str]:  # noqa: ARG002
        # One process sends what is in the file: there is nobody to hold it from.
        return set(ids)

    async def settle_deliveries(self, settled: Sequence[Delivery]) -> None:
        await self._write("settle_delivery", [settled_row(delivery) for delivery in settled])

    async def fail_deliveries(self, endpoint: str, limit: int) -> int:
        return await self._write("fail_deliveries", [(endpoint, limit)])

    async def list_deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        return await self._query(lambda connection: deliveries.list_deliveries(connection, query))

    async def count_deliveries(self, query: DeliveryQuery, at_most: int) -> int:
        return await self._query(lambda connection: deliveries.count_deliveries(connection, query, at_most))

    async def prune_deliveries(self, created_before: float, keep: int, limit: int) -> int:
        # Found by a reader: counting what is to be kept must not hold up commits.
        found = await self._query(lambda c: deliveries.superfluous(c, created_before, keep, limit))
        return await self._write("drop_delivery", [(number,) for number in found]) if found else 0

    async def drop_deliveries(self, endpoint: str, limit: int) -> int:
        return await self._write("drop_deliveries", [(endpoint, limit)])


def _record(kind: str, id: str, owner: str, version: int, due_at: float | None, data: str) -> Record:
    return Record(kind=kind, id=id, owner=owner, version=version, due_at=due_at, data=msgspec.json.decode(data))


def _definition(digest: str, kind: str, name: str, version: str, text: str, created_at: float) -> Definition:
    return Definition(digest=digest, kind=kind, name=name, version=version, text=text, created_at=created_at)


def store_for(url: str) -> SqliteStore:
    """The store of a `sqlite:///file.db` URL (three slashes relative, four absolute)."""
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise StorageError(
            f"{url!r} is no database URL: expected sqlite:///file.db (or sqlite:////absolute/file.db), "
            "or postgresql://user@host/database"
        )
    return SqliteStore(path)

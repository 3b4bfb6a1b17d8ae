"""`PostgresStore`: the store port on one PostgreSQL database, for as many nodes as like.

Some connections write groups of commits, one whatever else is written, some read; another listens for what the other
nodes append. A run is taken over before it is driven: its `epoch` goes up, and whoever drove it before writes nothing
any more.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, Final, TypeVar

import msgspec

from stepwell.core.chain import ChainRow
from stepwell.core.history import AnyEvent, decode_events
from stepwell.core.status import WaitReason
from stepwell.store.model import (
    ANY_RUN,
    ApprovalQuery,
    ApprovalRow,
    Batch,
    CommitResult,
    Committed,
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
from stepwell.store.postgres import deliveries, pruning, queries
from stepwell.store.postgres.changes import CHANNEL, Changes, payloads
from stepwell.store.postgres.clocks import TIME, Clocks, Now
from stepwell.store.postgres.connection import (
    LISTING_SETTINGS,
    WRITER_SETTINGS,
    Connection,
    Line,
    address_of,
    faults_named,
    holds,
    unnested,
)
from stepwell.store.postgres.frozen import END, Frozen
from stepwell.store.postgres.jobs import Jobs, key_of
from stepwell.store.postgres.origin import check_whole
from stepwell.store.postgres.preparing import check_server, migrate, take_place
from stepwell.store.postgres.together import Together
from stepwell.store.postgres.writer import Writer
from stepwell.store.rows import delivery_of, delivery_row, settled_row
from stepwell.store.sql import statements

LINES: Final = 2
"""Connections that write groups of commits: while one waits for the server, this process makes the next group."""
READERS: Final = 2
LOOKED_AT: Final = 10_000
"""Live runs whose jobs are looked for at a time: with more of them, all are in some times as long."""
ALL: Final = 2**31 - 1
"""As a limit: no limit."""

_decode_items = msgspec.json.Decoder(list[StreamItem]).decode
_encode = msgspec.json.encode
T = TypeVar("T")


class PostgresStore:
    """Runs in the database of a `postgresql://` URL. `jobs` hands out runs that need a driver.

    `now`: the clock of this node, which is compared with the database's (not given: it is not).
    `place`: which of how many databases this is, from 0.
    `partial`: it may hold a part of what is moved there, for the one who moves the rest.
    """

    shared = True
    lines = LINES

    def __init__(
        self,
        url: str,
        *,
        jobs: Jobs | None = None,
        now: Now | None = None,
        place: tuple[int, int] = (0, 1),
        partial: bool = False,
    ) -> None:
        self.url = url
        self.address = address_of(url)
        self._jobs = jobs
        self._place = place
        self._partial = partial
        self._looked_to = 0
        """The number of the live run up to which lost jobs were looked for; 0 after the last one."""
        self._sql = statements("postgres")
        self._changes = Changes(url, self.address)
        self._clocks = Clocks(now, self._database_time)
        self._frozen = Frozen(self._end_frozen)
        own, may = self._changes.own, self._clocks.check
        self._committing = [Line(url, WRITER_SETTINGS, own, may=may) for _ in range(LINES)]
        self._writers: asyncio.LifoQueue[tuple[Line, Writer]] = asyncio.LifoQueue()
        for line in self._committing:
            self._writers.put_nowait((line, Writer(jobs)))
        self._writing = Line(url, WRITER_SETTINGS, own, may=may)
        self._readers = [Line(url, {}, own) for _ in range(READERS)]
        self._turns = cycle(self._readers)
        self._querying = Line(url, LISTING_SETTINGS, own)
        # Not waited for: an epoch that a crash of the server takes back fences off the one who holds it.
        self._taking = Line(url, {**WRITER_SETTINGS, "synchronous_commit": "off"}, own, may=may)
        self._take_overs = Together(self._take_all)
        self._loads = Together(self._load_all)

    # --- opening ----------------------------------------------------------------------------------------------------

    def place_of(self, key: str) -> int:  # noqa: ARG002  # the port's signature
        return 0

    async def open(self) -> None:
        """Connect and migrate; one clear `StorageError` when the database cannot be used."""
        with faults_named(self.address):
            async with self._writing.use() as connection:
                async with self._querying.use() as other:
                    await check_server(connection, other, self.address)
                await self._clocks.open(connection)
                await migrate(connection, self.address)
                if not self._partial:
                    await check_whole(connection, self.address)
                await take_place(connection, self.address, *self._place)
                if self._jobs is not None:
                    await self._jobs.install(connection)
            await self._changes.open()
        self._frozen.open()

    async def close(self) -> None:
        await self._frozen.close()
        await self._clocks.close()
        await self._changes.close()
        for line in (*self._committing, self._writing, self._taking, self._querying, *self._readers):
            await line.close()

    # --- writing ----------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        if not batches:
            return []
        line, writer = free = await self._writers.get()
        try:
            with faults_named(self.address):
                async with line.use() as connection:
                    results = await writer.write(connection, batches)
        finally:
            self._writers.put_nowait(free)
        self._changes.tell(
            [
                batch.run_id
                for batch, result in zip(batches, results, strict=True)
                if type(result) is Committed and (batch.count or batch.item_count) and not batch.outside
            ]
        )
        return results

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        with faults_named(self.address):
            async with self._writing.use() as connection, connection.transaction():
                yield connection

    async def _write(self, name: str, *values: Any) -> int:
        """One statement; how many rows it changed."""
        with faults_named(self.address):
            async with self._writing.use() as connection:
                done = await connection.execute(self._sql[name], *values)
        return int(done.rpartition(" ")[2])

    async def snapshot(self, run: int, seq: int, state: bytes) -> None:
        await self._write("put_snapshot", run, seq, state)

    async def settle_outbox(self, done: Sequence[int], again: Sequence[tuple[int, float]]) -> None:
        if done:
            await self._write("drop_outbox", list(done))
        if again:
            await self._write("put_off_outbox", *unnested([*again]))

    async def put_outbox(self, items: Sequence[OutboxItem]) -> None:
        rows = [(item.kind, item.run_id, _encode(item.data).decode(), item.due_at) for item in items]
        if not rows:
            return
        async with self._transaction() as connection:
            await connection.execute(self._sql["insert_outbox"], *unnested([*rows]))
            await connection.execute(self._sql["notify"], CHANNEL, payloads([]))

    async def prune(self, ended_before: float, limit: int) -> list[str]:
        async with self._transaction() as connection:
            return await pruning.prune(connection, ended_before, limit)

    # --- who drives -------------------------------------------------------------------------------------------------

    async def take_over(self, run_ids: Sequence[str]) -> list[Loaded]:
        return await self._take_overs.ask(run_ids)

    async def _take_all(self, run_ids: Sequence[str]) -> list[Loaded]:
        with faults_named(self.address):
            async with self._taking.use() as connection:
                rows = await connection.fetch(self._sql["take_over"], sorted(run_ids))
                taken = {run_id: (epoch, driven_before) for run_id, epoch, driven_before in rows}
                loaded = await self._load(connection, list(taken), 0)
        for one in loaded:  # not an epoch that somebody else made in the meantime
            one.epoch, one.driven_before = taken[one.run_id]
        return loaded

    async def hand_out(self, run_ids: Sequence[str], node: int = 0) -> None:
        async with self._transaction() as connection:
            woken = await connection.fetch(self._sql["wake_runs"], sorted(run_ids), node)
            await self._enqueue(connection, woken)

    async def hand_over(self, node: int) -> int:
        async with self._transaction() as connection:
            left = await connection.fetch(self._sql["leave_runs"], node)
            await self._enqueue(connection, left)
            # It may have died before it told what it committed.
            await connection.execute(self._sql["notify"], CHANNEL, payloads([ANY_RUN]))
        self._changes.note([ANY_RUN])
        return len(left)

    async def _enqueue(self, connection: Connection, runs: Sequence[Any]) -> None:
        """Put runs on the queue, given as id, epoch and workflow."""
        if self._jobs is not None and runs:
            jobs = [(run_id, key_of(run_id, epoch), workflow) for run_id, epoch, workflow in runs]
            await self._jobs.enqueue(connection, jobs)

    async def wanted(self, now: float, limit: int, after: int = 0) -> list[tuple[int, str]]:
        if self._jobs is not None:
            live = await self._jobless(after, limit)
        else:
            live = await self._rows("live_runs", after, limit)
        due = await self._rows("due_runs", now, limit) if len(live) < limit else []
        return [(number, run_id) for number, run_id in [*live, *due]]

    async def _jobless(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Live runs whose job was lost, after a number; from the beginning on: the next `LOOKED_AT` of all live runs
        each time, and more as long as some of these have none. So all are looked at in turn, and that a crash of the
        server has emptied the queue is noticed at the first.
        """
        found: list[tuple[int, str]] = []
        at: int = after if after > 0 else self._looked_to
        more = True
        while more:
            left = limit - len(found)
            ((last, numbers, ids),) = await self._rows("jobless_runs", at, LOOKED_AT, left)
            found += zip(numbers, ids, strict=True)
            whole = len(numbers) < left
            at = (last or 0) if whole else numbers[-1]
            more = bool(numbers and whole and last)
        if found or after <= 0:
            self._looked_to = at
        return found

    async def next_due(self) -> float | None:
        due_at: float | None = (await self._rows("next_due"))[0][0]
        return due_at

    async def _database_time(self) -> float:
        return float(await self._read(lambda connection: connection.fetchval(TIME)))

    async def _end_frozen(self) -> int:
        return int((await self._rows(END))[0][0])

    def on_told(self, call: Callable[[], None]) -> None:
        self._changes.on_told = call

    async def changed_outside(self) -> list[str] | None:
        return self._changes.take()

    # --- reading runs -----------------------------------------------------------------------------------------------

    async def _read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        with faults_named(self.address):
            async with next(self._turns).use() as connection:
                return await work(connection)

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        return await self._read(lambda connection: connection.fetch(self._sql[name], *values))

    async def load(self, run_ids: Sequence[str], after_seq: int = 0) -> list[Loaded]:
        return await (self._loads.ask(run_ids) if not after_seq else self._load_all(run_ids, after_seq))

    async def _load_all(self, run_ids: Sequence[str], after_seq: int = 0) -> list[Loaded]:
        async def work(connection: Connection) -> list[Loaded]:
            # One view of the database for the runs and their histories.
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await self._load(connection, run_ids, after_seq)

        return await self._read(work)

    async def _load(self, connection: Connection, run_ids: Sequence[str], after_seq: int) -> list[Loaded]:
        runs = await connection.fetch(self._sql["load_runs"], list(run_ids), after_seq)
        starts = {row["id"]: max(after_seq, row["snapshot_seq"] or 0) for row in runs}
        events = await self._events_of(connection, starts)
        loaded = {
            row["uuid"]: Loaded(
                run=row["id"],
                run_id=row["uuid"],
                epoch=row["epoch"],
                seq=row["seq"],
                live=row["live"],
                snapshot=row["state"],
                events=events[row["id"]],
                next_item=row["next_item"] or 1,
                hash=row["hash"] or b"",
            )
            for row in runs
        }
        return [loaded[run_id] for run_id in run_ids if run_id in loaded]

    async def _events_of(self, connection: Connection, starts: dict[int, int]) -> dict[int, list[AnyEvent]]:
        """The events of runs, each after a seq."""
        firsts = [seq + 1 for seq in starts.values()]
        found: dict[int, list[AnyEvent]] = {run: [] for run in starts}
        for run, seq, row in await connection.fetch(self._sql["load_history"], list(starts), firsts):
            events = decode_events(row)
            found[run] += events[max(0, starts[run] + 1 - seq) :]
        return found

    async def _number_of(self, run_id: str) -> tuple[int, int]:
        """Number and last seq of a run; zeros for one that does not exist."""
        found = await self._rows("find_run", run_id) if holds(run_id) else []
        return (found[0][0], found[0][1]) if found else (0, 0)

    async def events(self, run_id: str, after_seq: int, limit: int) -> list[AnyEvent]:
        run, _ = await self._number_of(run_id)
        rows = await self._rows("read_history", run, after_seq + 1, _limit(limit))
        events = [event for _, row in rows for event in decode_events(row)]
        return events[after_seq + 1 - rows[0][0] :] if rows else []

    async def rows(self, run_id: str, after_seq: int, limit: int) -> tuple[int, list[ChainRow]]:
        async def work(connection: Connection) -> tuple[int, list[ChainRow]]:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                run, seq = await connection.fetchrow(self._sql["find_run"], run_id) or (0, 0)
                found = await connection.fetch(self._sql["read_rows"], run, after_seq + 1, _limit(limit))
            return seq, [ChainRow(seq=seq, count=n, events=row, hash=hash or b"") for seq, n, row, hash in found]

        return await self._read(work)

    async def stream(self, run_id: str, after: int, limit: int) -> list[StreamItem]:
        run, _ = await self._number_of(run_id)
        if after < 0:
            next_item = await self._rows("last_item", run)
            after = max(0, next_item[0][0] - 1 + after) if next_item else 0
        rows = await self._rows("read_stream", run, after + 1, _limit(limit))
        return [
            msgspec.structs.replace(item, n=number)
            for first, row in rows
            for number, item in enumerate(_decode_items(row), first)
            if number > after
        ]

    async def listeners(self, type: str, source: str, after: int, limit: int) -> list[tuple[int, str, str]]:
        return [tuple(row) for row in await self._rows("find_listeners", type, source, after, limit)]

    async def take_outbox(self, now: float, limit: int) -> list[OutboxItem]:
        return [
            OutboxItem(
                id=number, kind=kind, run_id=run_id, data=msgspec.json.decode(data), tries=tries, due_at=due_at
            )
            for number, kind, run_id, data, tries, due_at in await self._rows("take_outbox", now, limit)
        ]

    # --- listings: on a connection of their own ---------------------------------------------------------------------

    async def _query(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        with faults_named(self.address):
            async with self._querying.use() as connection:
                return await work(connection)

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
        await self._write("put_definition", d.digest, d.name, d.version, d.kind, d.text, d.created_at)

    async def find_definition(self, *, digest: str = "", name: str = "", version: str = "") -> Definition | None:
        if not holds(digest + name + version):
            return None
        found = await self._rows("find_definition", digest, name, version)
        return Definition(**found[0]) if found else None

    async def list_definitions(self) -> list[Definition]:
        return [Definition(**row) for row in await self._rows("list_definitions")]

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        r = record
        values = (r.kind, r.id, r.owner, r.version, r.due_at, _encode(r.data).decode())
        if expect_version is None:
            return bool(await self._write("put_record", *values))
        if expect_version == 0:
            return bool(await self._write("insert_record", *values))
        return bool(await self._write("replace_record", *values, expect_version))

    async def get_records(
        self, kind: str, *, id: str = "", owner: str | None = None, due_by: float | None = None, limit: int = 1000
    ) -> list[Record]:
        if not holds(id):
            return []
        if id:
            rows = await self._rows("find_record", kind, id, owner, due_by, limit)
        elif owner is not None:
            rows = await self._rows("owned_records", kind, owner, due_by, limit)
        elif due_by is not None:
            rows = await self._rows("due_records", kind, due_by, limit)
        else:
            rows = await self._rows("get_records", kind, limit)
        return [
            Record(kind=kind, id=id, owner=owner, version=version, due_at=due_at, data=msgspec.json.decode(data))
            for kind, id, owner, version, due_at, data in rows
        ]

    async def drop_record(self, kind: str, id: str) -> None:
        await self._write("drop_record", kind, id)

    # --- webhooks on their way --------------------------------------------------------------------------------------

    async def put_delivery(self, delivery: Delivery) -> None:
        await self._write("insert_deliveries", *unnested([delivery_row(delivery)]))

    async def waiting_endpoints(self) -> list[tuple[str, float]]:
        return [(endpoint, due_at) for endpoint, due_at in await self._rows("waiting_endpoints")]

    async def due_deliveries(self, endpoint: str, now: float, limit: int) -> list[Delivery]:
        return [delivery_of(*row) for row in await self._rows("due_deliveries", endpoint, now, limit)]

    async def hold_deliveries(self, ids: Sequence[str], now: float, until: float) -> set[str]:
        with faults_named(self.address):
            async with self._writing.use() as connection:
                rows = await connection.fetch(self._sql["hold_deliveries"], list(ids), now, until)
        return {id for (id,) in rows}

    async def settle_deliveries(self, settled: Sequence[Delivery]) -> None:
        if settled:
            await self._write("settle_deliveries", *unnested([settled_row(delivery) for delivery in settled]))

    async def fail_deliveries(self, endpoint: str, limit: int) -> int:
        return await self._write("fail_deliveries", endpoint, limit)

    async def list_deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        return await self._query(lambda connection: deliveries.list_deliveries(connection, query))

    async def count_deliveries(self, query: DeliveryQuery, at_most: int) -> int:
        return await self._query(lambda connection: deliveries.count_deliveries(connection, query, at_most))

    async def prune_deliveries(self, created_before: float, keep: int, limit: int) -> int:
        found = await self._query(lambda c: deliveries.superfluous(c, created_before, keep, limit))
        return await self._write("drop_delivery", found) if found else 0

    async def drop_deliveries(self, endpoint: str, limit: int) -> int:
        return await self._write("drop_deliveries", endpoint, limit)


def _limit(limit: int) -> int:
    return ALL if limit < 0 else limit

"""Writes one group of batches in one transaction, each kind of row with one statement for all of them.

The update of the run rows comes first: those that it does not return lost against somebody else, and nothing else of
their batches is written.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final

import asyncpg
import msgspec

from stepwell.store.model import CONFLICT, Batch, CommitResult, Committed, Exists, RunRow
from stepwell.store.postgres.changes import TOLD, payloads
from stepwell.store.postgres.connection import Connection, numbers_text, texts_text, unnested
from stepwell.store.postgres.grams import grams_of, searched
from stepwell.store.postgres.jobs import Job, Jobs, key_of
from stepwell.store.rows import Move, delivery_row, move_of, totals
from stepwell.store.sql import statements

SERIES_KEPT: Final = 10_000
_number = attrgetter("run")
Written = list[tuple[Batch, int]]
"""Batches that are being written, with the numbers of their runs."""


class Writer:
    """Group writes. `jobs` hands out the runs that a group creates or wakes, in the same transaction."""

    def __init__(self, jobs: Jobs | None) -> None:
        self._sql = statements("postgres")
        self._encode = msgspec.json.Encoder().encode
        self._series: dict[tuple[str, str, str], int] = {}
        self._jobs = jobs
        self._woken: list[Job] = []

    async def write(self, connection: Connection, batches: Sequence[Batch]) -> list[CommitResult]:
        """Write all; one answer per batch, in order. A conflict fails only its own batch."""
        try:
            return await self._in_transaction(connection, batches)
        except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):  # somebody else was first with a row
            if len(batches) == 1:
                return [await self._why(batches[0])]
            return [result for batch in batches for result in await self.write(connection, [batch])]

    async def _in_transaction(self, connection: Connection, batches: Sequence[Batch]) -> list[CommitResult]:
        self._connection = connection
        steps: list[Batch] = []
        others: list[Batch] = []
        for batch in batches:
            (steps if _is_step(batch) else others).append(batch)
        if not others:  # one statement is a transaction
            return _answers(batches, await self._step(steps), {})
        try:
            async with connection.transaction():
                moved = await self._step(steps)
                results, written = await self._write_runs(others)
                await self._write_logs(written)
                await self._write_implied(written)
                await self._hand_out(written)
        except BaseException:
            self._series.clear()  # those of this transaction are gone
            raise
        return _answers(batches, moved, {id(batch): result for batch, result in zip(others, results, strict=True)})

    async def _step(self, batches: list[Batch]) -> set[int]:
        """Move runs on by steps; the numbers of those that were still where their batches expect them."""
        if not batches:
            return set()
        batches.sort(key=_number)
        hashed = any(batch.hash for batch in batches)
        sizes = [len(batch.events) for batch in batches]
        moved = await self._connection.fetchval(
            self._sql["step_runs"],
            numbers_text([batch.run for batch in batches]),
            numbers_text([batch.base_seq for batch in batches]),
            numbers_text([batch.epoch for batch in batches]),
            numbers_text([batch.count for batch in batches]),
            texts_text([batch.step for batch in batches]),
            numbers_text([batch.attempts for batch in batches]),
            b"".join([batch.events for batch in batches]),
            numbers_text(list(accumulate(sizes[:-1], initial=1))),
            numbers_text(sizes),
            [batch.hash or None for batch in batches] if hashed else None,
        )
        return set(moved or ())

    async def _many(self, name: str, rows: list[tuple[Any, ...]]) -> list[Any]:
        """One statement for all the rows; what it returns."""
        return await self._connection.fetch(self._sql[name], *unnested(rows)) if rows else []

    # --- runs -------------------------------------------------------------------------------------------------------

    async def _write_runs(self, batches: Sequence[Batch]) -> tuple[list[CommitResult], Written]:
        """Move runs forward, and insert new ones."""
        moved = await self._move([batch for batch in batches if batch.run])
        created = await self._create([batch for batch in batches if not batch.run])
        results: list[CommitResult] = []
        written: Written = []
        for batch in batches:
            number = batch.run if batch.run in moved else created.pop(batch.run_id, None) if not batch.run else None
            if number is None:
                results.append(await self._why(batch))
            else:
                results.append(Committed(number))
                written.append((batch, number))
        return results, written

    async def _move(self, batches: list[Batch]) -> set[int]:
        """The numbers of the runs that were still where their batches expect them."""
        batches.sort(key=_number)
        rows = [
            (b.run, b.base_seq, b.epoch, b.base_seq + b.count, b.step, b.attempts, b.live, *self._changed(b.row))
            for b in batches
        ]
        moved = await self._many("move_runs", rows)
        run_ids = {batch.run: batch.run_id for batch in batches}
        self._woken = [
            (run_ids[run], key_of(run_ids[run], epoch), workflow)
            for run, epoch, workflow in moved
            if workflow is not None
        ]
        return {run for run, *_ in moved}

    def _changed(self, row: RunRow | None) -> tuple[Any, ...]:
        """Status, ended_at, reason and the shown row, where they change."""
        if row is None:
            return (None, None, None, None)
        return (row.status, row.ended_at, row.reason, self._encode(row).decode())

    async def _create(self, batches: list[Batch]) -> dict[str, int]:
        """Id to number of the runs that are new."""
        if not batches:
            return {}
        await self._find_series([batch.row for batch in batches if batch.row is not None])
        found = await self._many("insert_runs", [self._new_row(batch) for batch in batches])
        created = {run_id: number for number, run_id in found}
        # Of two batches for one id the first has created it.
        rows = {created[b.run_id]: b.row for b in reversed(batches) if b.row is not None and b.run_id in created}
        texts = [(number, self._series[_series_key(row)], searched(row)) for number, row in rows.items()]
        await self._many("insert_texts", [(*place, text, grams_of(text)) for *place, text in texts])
        return created

    def _new_row(self, batch: Batch) -> tuple[Any, ...]:
        row = batch.row
        assert row is not None, "a new run comes with its row"
        return (
            row.run_id,
            batch.count,
            batch.epoch,
            batch.node or None,
            batch.live is not False,
            row.status,
            row.owner,
            row.workflow,
            self._series[_series_key(row)],
            batch.step,
            batch.attempts,
            row.created_at,
            row.ended_at,
            batch.start_key,
            batch.definition,
            row.parent_id,
            row.door,
            row.reason,
            self._encode(row).decode(),
        )

    async def _find_series(self, rows: list[RunRow]) -> None:
        """See to it that the series of these runs are known, new ones made."""
        wanted = sorted({_series_key(row) for row in rows} - self._series.keys())
        if not wanted:
            return
        if len(self._series) >= SERIES_KEPT:
            self._series.clear()
            wanted = sorted({_series_key(row) for row in rows})
        await self._many("insert_series", [*wanted])
        found = await self._many("find_series", [*wanted])
        self._series |= {(workflow, owner, name): number for number, workflow, owner, name in found}

    async def _why(self, batch: Batch) -> CommitResult:
        """Why a batch could not be written: its start key or id is taken, or somebody else was first."""
        if batch.run == 0 and batch.row is not None:
            fetchval = self._connection.fetchval
            found = await fetchval(self._sql["find_start_key"], batch.row.owner, batch.start_key)
            if found is not None:
                return Exists(found)
            if await fetchval(self._sql["find_run"], batch.run_id) is not None:
                return Exists(batch.run_id)
        return CONFLICT

    # --- what goes with them ----------------------------------------------------------------------------------------

    async def _write_logs(self, written: Written) -> None:
        events = [
            (run, batch.base_seq + 1, batch.count, batch.events, batch.hash or None)
            for batch, run in written
            if batch.count
        ]
        items = [(run, batch.first_item, batch.item_count, batch.items) for batch, run in written if batch.item_count]
        await self._many("insert_history", events)
        await self._many("insert_stream", items)

    async def _write_implied(self, written: Written) -> None:
        """Timers, approvals, outbox rows and totals: whatever the events imply."""
        timers = [(run, key, due_at) for batch, run in written for key, due_at in batch.timers.items()]
        await self._many("drop_timers", [(run, key) for run, key, due_at in timers if due_at is None])
        await self._many("put_timers", [timer for timer in timers if timer[2] is not None])
        await self._write_approvals(written)
        await self._many(
            "insert_outbox",
            [
                (item.kind, item.run_id, self._encode(item.data).decode(), item.due_at)
                for batch, _ in written
                for item in batch.outbox
            ],
        )
        await self._many("insert_deliveries", [delivery_row(one) for batch, _ in written for one in batch.deliveries])
        await self._write_listeners(written)
        await self._write_counts([batch for batch, _ in written])

    async def _write_approvals(self, written: Written) -> None:
        rows = {row.approval_id: (row, run) for batch, run in written for row in batch.approvals}
        if not rows:
            return
        found = await self._many(
            "put_approvals",
            [(id, run, row.status, row.owner, self._encode(row).decode()) for id, (row, run) in rows.items()],
        )
        await self._connection.execute(self._sql["drop_deciders"], [number for number, _ in found])
        deciders = [(who, rows[id][0].status, number) for number, id in found for who in rows[id][0].deciders]
        await self._many("insert_deciders", deciders)

    async def _write_listeners(self, written: Written) -> None:
        changed = [(run, batch.listens) for batch, run in written if batch.listens is not None]
        if not changed:
            return
        await self._connection.execute(self._sql["drop_listeners"], [run for run, _ in changed])
        listens = [(listen.type, listen.source, run, listen.signal) for run, all in changed for listen in all or ()]
        await self._many("insert_listeners", listens)

    async def _write_counts(self, batches: list[Batch]) -> None:
        changed = [batch for batch in batches if batch.row is not None and batch.was is not batch.row.status]
        await self._find_series([batch.row for batch in changed if batch.row is not None])
        moves: Counter[Move] = Counter()
        for batch in changed:
            if batch.row is not None:
                moves[move_of(self._series[_series_key(batch.row)], batch.row, batch.was)] += 1
        await self._many("add_counts", sorted(totals(moves)))

    async def _hand_out(self, written: Written) -> None:
        """Hand out what needs a driver now, and let drivers elsewhere know what they are told."""
        new = [
            (batch.run_id, key_of(batch.run_id, 0), batch.row.workflow)
            for batch, _ in written
            if not batch.run and batch.row is not None and batch.live is not False and not batch.node
        ]
        if self._jobs is not None and (new or self._woken):
            await self._jobs.enqueue(self._connection, [*new, *self._woken])
        at_once = [batch.run_id for batch, _ in written if batch.outside]
        if at_once:
            await self._connection.execute(self._sql["notify"], TOLD, payloads(at_once))


def _is_step(batch: Batch) -> bool:
    """Whether a batch moves a run on and appends to its history, and does nothing else."""
    return bool(batch.run and batch.count) and not (
        batch.row
        or batch.live is not None
        or batch.item_count
        or batch.timers
        or batch.approvals
        or batch.outbox
        or batch.deliveries
        or batch.listens is not None
        or batch.outside
    )


def _answers(batches: Sequence[Batch], moved: set[int], others: dict[int, CommitResult]) -> list[CommitResult]:
    """In order: of steps by the runs that moved, of others by the batch's identity."""
    return [others.get(id(batch)) or (Committed(batch.run) if batch.run in moved else CONFLICT) for batch in batches]


def _series_key(row: RunRow) -> tuple[str, str, str]:
    return (row.workflow, row.owner, row.workflow_name)

"""Writes one group of batches in one transaction, or, when one of them conflicts, batch by batch.

Runs on the one writer connection. The statements of a group go out kind by kind, as `executemany`.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.history import Listen
from stepwell.store.port import CONFLICT, ApprovalRow, Batch, CommitResult, Committed, Exists, OutboxItem, RunRow
from stepwell.store.rows import Move, delivery_row, move_of, search_text, totals
from stepwell.store.sql import statements

SERIES_KEPT: Final = 10_000


class _Lost(Exception):
    """A batch of the group was based on an old seq; which one is not known, so the group is taken apart."""


class Writer:
    """Group writes on one connection; `flush_s` is how long the last `COMMIT` took, in seconds."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._sql = statements("sqlite")
        self._encode = msgspec.json.Encoder().encode
        self._series: dict[tuple[str, str, str], int] = {}
        self.flush_s = 0.0

    def write(self, batches: Sequence[Batch]) -> list[CommitResult]:
        """Write all; one answer per batch, in order. A conflict fails only its own batch."""
        try:
            return self._in_transaction(batches)
        except (_Lost, apsw.ConstraintError):
            if len(batches) == 1:
                return [self._why(batches[0])]
            return [result for batch in batches for result in self.write([batch])]

    def _why(self, batch: Batch) -> CommitResult:
        """Why a single batch could not be written: its start key or id is taken, or somebody else was first."""
        if batch.run == 0 and batch.row is not None:
            execute = self._connection.execute
            found = execute(self._sql["find_start_key"], (batch.row.owner, batch.start_key)).get
            if found is not None:
                return Exists(found)
            if execute(self._sql["find_run"], (batch.run_id,)).get is not None:
                return Exists(batch.run_id)
        return CONFLICT

    def _in_transaction(self, batches: Sequence[Batch]) -> list[CommitResult]:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            numbers = self._write_runs(batches)
            self._write_logs(batches, numbers)
            self._write_implied(batches, numbers)
            started = time.perf_counter()
            execute("COMMIT")
            self.flush_s = time.perf_counter() - started
        except BaseException:
            self._series.clear()  # those of this transaction are gone
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        return [Committed(number) for number in numbers]

    def _write_runs(self, batches: Sequence[Batch]) -> list[int]:
        """Insert new runs and move the others forward; their numbers, in order."""
        advances, updates, lives = [], [], []
        numbers = []
        for batch in batches:
            if batch.run == 0:
                numbers.append(self._create(batch))
                continue
            numbers.append(batch.run)
            seq = batch.base_seq + batch.count
            if batch.row is not None:
                updates.append(
                    (
                        seq,
                        batch.step,
                        batch.attempts,
                        batch.live,
                        batch.row.status,
                        batch.row.ended_at,
                        self._encode(batch.row).decode(),
                        batch.run,
                        batch.base_seq,
                    )
                )
            elif batch.count:
                advances.append((seq, batch.step, batch.attempts, batch.run, batch.base_seq))
            if batch.live is not None and batch.row is None:
                lives.append((batch.live, batch.run, seq))
        self._update_all("advance_run", advances)
        self._update_all("update_run", updates)
        self._update_all("set_live", lives)
        return numbers

    def _update_all(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Each row must find its run at the seq it expects."""
        if not rows:
            return
        before = self._connection.total_changes()
        self._connection.executemany(self._sql[name], rows)
        if self._connection.total_changes() - before != len(rows):
            raise _Lost

    def _create(self, batch: Batch) -> int:
        row = batch.row
        assert row is not None, "a new run comes with its row"
        self._cursor.execute(
            self._sql["insert_run"],
            (
                row.run_id,
                batch.count,
                batch.live is not False,
                row.status,
                row.owner,
                row.workflow,
                self._series_of(row),
                batch.step,
                batch.attempts,
                row.created_at,
                row.ended_at,
                batch.start_key,
                batch.definition,
                row.parent_id,
                self._encode(row).decode(),
            ),
        )
        number = self._connection.last_insert_rowid()
        self._cursor.execute(self._sql["insert_text"], (number, search_text(row)))
        return number

    def _series_of(self, row: RunRow) -> int:
        """The number of a run's series; a new one when this is its first run."""
        key = (row.workflow, row.owner, row.workflow_name)
        found = self._series.get(key)
        if found is None:
            if len(self._series) >= SERIES_KEPT:
                self._series.clear()
            self._connection.execute(self._sql["insert_series"], key)
            found = self._series[key] = self._connection.execute(self._sql["find_series"], key).get
        return found

    def _write_logs(self, batches: Sequence[Batch], numbers: list[int]) -> None:
        events, items = [], []
        for batch, run in zip(batches, numbers, strict=True):
            if batch.count:
                events.append((run, batch.base_seq + 1, batch.count, batch.events, batch.hash or None))
            if batch.item_count:
                items.append((run, batch.first_item, batch.item_count, batch.items))
        if events:
            self._connection.executemany(self._sql["insert_history"], events)
        if items:
            self._connection.executemany(self._sql["insert_stream"], items)

    def _write_implied(self, batches: Sequence[Batch], numbers: list[int]) -> None:
        """Timers, approvals, outbox rows and totals: whatever the events imply."""
        moves: Counter[Move] = Counter()
        for batch, run in zip(batches, numbers, strict=True):
            if batch.timers:
                self._write_timers(run, batch.timers)
            if batch.approvals:
                for approval in batch.approvals:
                    self._write_approval(run, approval)
            if batch.outbox:
                self._write_outbox(batch.outbox)
            if batch.deliveries:
                self._connection.executemany(self._sql["insert_delivery"], map(delivery_row, batch.deliveries))
            if batch.listens is not None:
                self._write_listeners(run, batch.listens)
            if batch.row is not None and batch.was is not batch.row.status:
                moves[move_of(self._series_of(batch.row), batch.row, batch.was)] += 1
        if moves:
            self._connection.executemany(self._sql["add_count"], totals(moves))

    def _write_outbox(self, items: Sequence[OutboxItem]) -> None:
        rows = [(item.kind, item.run_id, self._encode(item.data).decode(), item.due_at) for item in items]
        self._connection.executemany(self._sql["insert_outbox"], rows)

    def _write_timers(self, run: int, timers: dict[str, float | None]) -> None:
        for key, due_at in timers.items():
            if due_at is None:
                self._connection.execute(self._sql["drop_timer"], (run, key))
            else:
                self._connection.execute(self._sql["put_timer"], (run, key, due_at))

    def _write_listeners(self, run: int, listens: Sequence[Listen]) -> None:
        self._connection.execute(self._sql["drop_listeners"], (run,))
        for listen in listens:
            self._connection.execute(self._sql["insert_listener"], (listen.type, listen.source, run, listen.signal))

    def _write_approval(self, run: int, row: ApprovalRow) -> None:
        shown = self._encode(row).decode()
        number = self._connection.execute(
            self._sql["put_approval"], (row.approval_id, run, row.status, row.owner, shown)
        ).get
        self._connection.execute(self._sql["drop_deciders"], (number,))
        for who in row.deciders:
            self._connection.execute(self._sql["insert_decider"], (who, row.status, number))

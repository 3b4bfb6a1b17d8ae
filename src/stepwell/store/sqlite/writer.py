"""Writes one group of batches in one transaction, or, when one of them conflicts, batch by batch.

Runs on the one writer connection. A group takes one statement for each kind of row: while SQLite works through it,
the interpreter is free for others. With a statement for each row it would have to be waited for each time.
"""

import re
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.history import Listen
from stepwell.store.port import CONFLICT, ApprovalRow, Batch, CommitResult, Committed, Exists, OutboxItem, RunRow
from stepwell.store.rows import Move, delivery_row, move_of, search_text, totals
from stepwell.store.sql import statements

SERIES_KEPT: Final = 10_000
MOST_ROWS: Final = 256
"""Of one statement, which has a power of two: a few dozen statements are prepared once, and kept. As many as
a large group has batches.
"""
_ONE_ROW: Final = re.compile(r"VALUES (\(\?(?:, \?)*\))")


class _Lost(Exception):
    """A batch of the group was based on an old seq; which one is not known, so the group is taken apart."""


class Writer:
    """Group writes on one connection; `flush_s` is how long the last `COMMIT` took, in seconds."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
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
            self._write_texts(batches, numbers)
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
        created, advances, updates, lives = [], [], [], []
        last = self._last_number() if any(batch.run == 0 for batch in batches) else 0
        numbers = []
        for batch in batches:
            row, seq = batch.row, batch.base_seq + batch.count
            if batch.run == 0:
                assert row is not None, "a new run comes with its row"
                last += 1
                numbers.append(last)
                created.append(self._new_run(last, batch, row))
                continue
            numbers.append(batch.run)
            if row is not None:
                look = (row.status, row.ended_at, self._encode(row).decode())
                updates.append((batch.run, batch.base_seq, seq, batch.step, batch.attempts, batch.live, *look))
            elif batch.count:
                advances.append((batch.run, batch.base_seq, seq, batch.step, batch.attempts))
            if batch.live is not None and row is None:
                lives.append((batch.run, seq, batch.live))
        self._write("insert_run", created)
        self._update_all("advance_run", advances)
        self._update_all("update_run", updates)
        self._update_all("set_live", lives)
        return numbers

    def _write(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """All rows, in as few statements as there are numbers of rows to choose from."""
        first = 0
        while first < len(rows):
            number = min(1 << (len(rows) - first).bit_length() - 1, MOST_ROWS)
            some = rows[first : first + number]
            self._connection.execute(_of_rows(self._sql[name], number), tuple(chain.from_iterable(some)))
            first += number

    def _update_all(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Each row must find its run at the seq it expects."""
        before = self._connection.total_changes()
        self._write(name, rows)
        if self._connection.total_changes() - before != len(rows):
            raise _Lost

    def _last_number(self) -> int:
        found: int = self._connection.execute(self._sql["last_run"]).get
        return found

    def _new_run(self, number: int, batch: Batch, row: RunRow) -> tuple[Any, ...]:
        return (
            number,
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
        )

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
        self._write("insert_history", events)
        self._write("insert_stream", items)

    def _write_implied(self, batches: Sequence[Batch], numbers: list[int]) -> None:
        """Timers, approvals, outbox rows and totals: whatever the events imply."""
        timers: list[tuple[int, str, float | None]] = []
        outbox: list[tuple[Any, ...]] = []
        deliveries: list[tuple[Any, ...]] = []
        moves: Counter[Move] = Counter()
        for batch, run in zip(batches, numbers, strict=True):
            if batch.timers:
                timers += [(run, key, due_at) for key, due_at in batch.timers.items()]
            if batch.approvals:
                for approval in batch.approvals:
                    self._write_approval(run, approval)
            if batch.outbox:
                outbox += map(self._outbox_row, batch.outbox)
            if batch.deliveries:
                deliveries += map(delivery_row, batch.deliveries)
            if batch.listens is not None:
                self._write_listeners(run, batch.listens)
            if batch.row is not None and batch.was is not batch.row.status:
                moves[move_of(self._series_of(batch.row), batch.row, batch.was)] += 1
        self._write("put_timer", [timer for timer in timers if timer[2] is not None])
        self._write("drop_timer", [(run, key) for run, key, due_at in timers if due_at is None])
        self._write("insert_outbox", outbox)
        self._write("insert_delivery", deliveries)
        self._write("add_count", totals(moves))

    def _write_texts(self, batches: Sequence[Batch], numbers: list[int]) -> None:
        """The search texts of new runs, in one statement and as the last one: at the begin of any other that may be
        taken back alone, FTS5 writes what it holds in memory, a segment of its own that is merged later.
        """
        pairs = zip(batches, numbers, strict=True)
        texts = [(number, search_text(batch.row)) for batch, number in pairs if batch.run == 0 and batch.row]
        if texts:
            statement = _of_rows(self._sql["insert_text"], len(texts))
            self._connection.execute(statement, tuple(chain.from_iterable(texts)), can_cache=False)

    def _outbox_row(self, item: OutboxItem) -> tuple[Any, ...]:
        return item.kind, item.run_id, self._encode(item.data).decode(), item.due_at

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


@cache
def _of_rows(statement: str, rows: int) -> str:
    """A statement that is written for one row, for so many."""
    return _ONE_ROW.sub(lambda found: "VALUES " + ",".join([found[1].replace(" ", "")] * rows), statement)

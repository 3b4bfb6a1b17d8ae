"""Writes one group of batches in one transaction, or, when one of them conflicts, batch by batch.

Runs on the one writer connection. A group takes one statement for each kind of row: while SQLite works through it,
the interpreter is free for others. With a statement for each row it would have to be waited for each time.
"""

import re
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.history import Listen
from stepwell.store.model import CONFLICT, ApprovalRow, Batch, CommitResult, Committed, Exists, RunRow
from stepwell.store.rows import Move, delivery_row, move_of, totals
from stepwell.store.sql import statements
from stepwell.store.texts import search_text

SERIES_KEPT: Final = 10_000
MOST_ROWS: Final = 256
"""Of one statement, which has a power of two: a few dozen statements are prepared once, and kept. As many as
a large group has batches.
"""
MOST_TEXTS: Final = 10_000
"""Of one statement, which takes 32,766 values."""
KEPT_BYTES: Final = 65_536
"""A statement that is kept prepared keeps the values that it was given last: with more than these it is not."""
_ONE_ROW: Final = re.compile(r"VALUES (\(\?(?:, \?)*\))")


_KINDS: Final = (
    "insert_run",
    "advance_run",
    "update_run",
    "set_live",
    "insert_history",
    "insert_stream",
    "put_timer",
    "drop_timer",
    "insert_outbox",
    "insert_delivery",
    "add_count",
)
_LARGE: Final = {
    "insert_run": 15,
    "update_run": 8,
    "insert_history": 3,
    "insert_stream": 3,
    "insert_outbox": 2,
    "insert_delivery": 5,
}
"""The column that may hold any number of bytes."""
_EXPECTING: Final = frozenset({"advance_run", "update_run", "set_live"})


class _Group:
    """What is to be written for a group: for each statement the values of all its rows, one after the other."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        """Of its runs, in order."""
        self.values: dict[str, list[Any]] = {name: [] for name in _KINDS}
        self.texts: list[Any] = []
        self.moves: Counter[Move] = Counter()
        self.last = 0
        """The number given to a new run last."""


class _Lost(Exception):
    """A batch of the group was based on an old seq; which one is not known, so the group is taken apart."""


class Writer:
    """Group writes on one connection; `flush_s` is how long the last `COMMIT` took, in seconds."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._sql = statements("sqlite")
        self._widths = {name: self._sql[name].count("?") for name in _KINDS}
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
            group = self._gather(batches)
            for name, values in group.values.items():
                self._write(name, values)
            self._write_texts(group.texts)
            started = time.perf_counter()
            execute("COMMIT")
            self.flush_s = time.perf_counter() - started
        except BaseException:
            self._series.clear()  # those of this transaction are gone
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        return [Committed(number) for number in group.numbers]

    def _write(self, name: str, values: list[Any]) -> None:
        """All rows of one kind. An update must find each run at the seq it expects."""
        if not values:
            return
        width = self._widths[name]
        rows = len(values) // width
        before = self._connection.total_changes()
        first = 0
        while first < rows:
            number = min(1 << (rows - first).bit_length() - 1, MOST_ROWS)
            some = values[first * width : (first + number) * width]
            large = name in _LARGE and sum(map(len, some[_LARGE[name] :: width])) > KEPT_BYTES
            self._connection.execute(_of_rows(self._sql[name], number), some, can_cache=not large)
            first += number
        if name in _EXPECTING and self._connection.total_changes() - before != rows:
            raise _Lost

    def _write_texts(self, texts: list[Any]) -> None:
        """The search texts of new runs, in one statement and as the last one: at the begin of any other that may be
        taken back alone, FTS5 writes what it holds in memory, a segment of its own that is merged later.
        """
        for first in range(0, len(texts), 2 * MOST_TEXTS):
            some = texts[first : first + 2 * MOST_TEXTS]
            self._connection.execute(_of_rows(self._sql["insert_text"], len(some) // 2), some, can_cache=False)

    # --- the rows of a group ----------------------------------------------------------------------------------------

    def _gather(self, batches: Sequence[Batch]) -> "_Group":
        group = _Group()
        values, numbers = group.values, group.numbers
        advances, histories = values["advance_run"], values["insert_history"]
        for batch in batches:  # on the path of every step
            run, base_seq, count, row = batch.run, batch.base_seq, batch.count, batch.row
            if row is not None:
                run = self._add_row(group, batch, row)
            else:
                if count:
                    advances += (run, base_seq, base_seq + count, batch.step, batch.attempts)
                if batch.live is not None:
                    values["set_live"] += (run, base_seq + count, batch.live)
            numbers.append(run)
            if count:
                histories += (run, base_seq + 1, count, batch.events, batch.hash or None)
            if batch.item_count:
                values["insert_stream"] += (run, batch.first_item, batch.item_count, batch.items)
            if batch.timers or batch.approvals or batch.outbox or batch.deliveries or batch.listens is not None:
                self._add_implied(group, batch, run)
        for total in totals(group.moves):
            values["add_count"] += total
        return group

    def _add_row(self, group: "_Group", batch: Batch, row: RunRow) -> int:
        """A run that is new or shows differently; its number."""
        series, shown = self._series_of(row), self._encode(row).decode()
        if batch.was is not row.status:
            group.moves[move_of(series, row, batch.was)] += 1
        if batch.run:
            seq = batch.base_seq + batch.count
            group.values["update_run"] += (
                batch.run,
                batch.base_seq,
                seq,
                batch.step,
                batch.attempts,
                batch.live,
                row.status,
                row.ended_at,
                shown,
            )
            return batch.run
        group.last = run = 1 + (group.last or self._connection.execute(self._sql["last_run"]).get)
        group.texts += (run, search_text(row))
        group.values["insert_run"] += (
            run,
            row.run_id,
            batch.count,
            batch.live is not False,
            row.status,
            row.owner,
            row.workflow,
            series,
            batch.step,
            batch.attempts,
            row.created_at,
            row.ended_at,
            batch.start_key,
            batch.definition,
            row.parent_id,
            shown,
        )
        return run

    def _add_implied(self, group: "_Group", batch: Batch, run: int) -> None:
        """Timers, approvals, outbox items and webhooks: whatever the events imply."""
        values = group.values
        for key, due_at in batch.timers.items():
            if due_at is None:
                values["drop_timer"] += (run, key)
            else:
                values["put_timer"] += (run, key, due_at)
        for item in batch.outbox:
            values["insert_outbox"] += (item.kind, item.run_id, self._encode(item.data).decode(), item.due_at)
        for delivery in batch.deliveries:
            values["insert_delivery"] += delivery_row(delivery)
        for approval in batch.approvals:
            self._write_approval(run, approval)
        if batch.listens is not None:
            self._write_listeners(run, batch.listens)

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

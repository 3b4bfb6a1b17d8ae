"""The floor: the records of an engine's run, written by a bare loop under the same one-waits-for-one rule.

The same tables with their indexes, the same settings, and rows of the same bytes: the run's row inserted with its
search text, moved forward as often, and ended; a history row for each commit. Each group of all runs is one
transaction, and the next is made after it is on disk. Nothing is decided, folded, encoded or waited for. Left out are
the totals: a handful of rows for each group.
"""

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.engine.ids import new_id
from stepwell.store.sqlite.connection import connect, prepare

_ADVANCE: Final = "UPDATE run SET seq = ?, step = ?, attempts = ? WHERE id = ? AND seq = ?"
_END: Final = """
UPDATE run SET seq = ?, step = ?, attempts = ?, live = ?, status = ?, ended_at = ?, shown = ? WHERE id = ? AND seq = ?
"""
_APPEND: Final = "INSERT INTO history (run, seq, count, events) VALUES (?, ?, ?, ?)"
_INSERT_TEXT: Final = "INSERT INTO run_text (rowid, text) VALUES (?, ?)"


class Row(msgspec.Struct, frozen=True):
    """One history row of the engine."""

    seq: int
    count: int
    events: bytes


class Shape(msgspec.Struct, frozen=True):
    """What the engine wrote for one run: `run` is its row at the end, column to value."""

    run: dict[str, Any]
    rows: tuple[Row, ...]


def shape_of(database: Path, workflow: str) -> Shape:
    """The records of the newest run of a workflow in an engine's database."""
    reading = connect(str(database), read_only=True)
    cursor = reading.execute("SELECT * FROM run WHERE workflow = ? ORDER BY id DESC LIMIT 1", (workflow,))
    columns = [name for name, _ in cursor.get_description()]
    run = dict(zip(columns, next(cursor), strict=True))
    rows = reading.execute("SELECT seq, count, events FROM history WHERE run = ? ORDER BY seq", (run["id"],))
    shape = Shape(run, tuple(Row(*row) for row in rows))
    reading.close()
    return shape


class Floor:
    """A database of its own; `write` may be called again and again."""

    def __init__(self, database: Path, shape: Shape) -> None:
        self._connection = connect(str(database))
        prepare(self._connection, str(database))
        self._shape = shape
        self._begun = shape.run | {"status": "running", "live": 1, "ended_at": None}
        names = ", ".join(self._begun)
        self._insert = f"INSERT INTO run ({names}) VALUES ({', '.join('?' * len(self._begun))})"
        self._last = 0

    def close(self) -> None:
        self._connection.close()

    def write(self, runs: int) -> None:
        """All records of `runs` runs at once, group after group."""
        numbers = range(self._last + 1, self._last + 1 + runs)
        self._last += runs
        for place, row in enumerate(self._shape.rows):
            self._connection.execute("BEGIN IMMEDIATE")
            self._write_runs(place, row, numbers)
            appended = [(number, row.seq, row.count, row.events) for number in numbers]
            self._connection.executemany(_APPEND, appended)
            self._connection.execute("COMMIT")

    def _write_runs(self, place: int, row: Row, numbers: range) -> None:
        step, seq = f"/do/{place}/t{place}", row.seq + row.count - 1
        if place == 0:
            self._insert_runs(numbers, {"seq": seq, "step": step, "attempts": 1})
        elif row is self._shape.rows[-1]:
            run = self._shape.run
            end = (seq, step, place, 0, run["status"], run["ended_at"], run["shown"])
            self._connection.executemany(_END, [(*end, number, row.seq - 1) for number in numbers])
        else:
            moves = [(seq, step, place, number, row.seq - 1) for number in numbers]
            self._connection.executemany(_ADVANCE, moves)

    def _insert_runs(self, numbers: range, begun: dict[str, Any]) -> None:
        now = time.time()
        new = [self._begun | begun | {"id": number, "uuid": new_id(now)} for number in numbers]
        self._connection.executemany(self._insert, [tuple(row.values()) for row in new])
        self._connection.executemany(_INSERT_TEXT, [(row["id"], row["uuid"]) for row in new])

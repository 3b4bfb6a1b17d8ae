"""The floor: the records of an engine's run, written by a bare loop under the same one-waits-for-one rule.

Same database settings, rows of the same bytes, the run's row inserted, moved forward and ended as often; each group
of all runs is one transaction, and the next is made after it is on disk. Left out is what the engine adds for its
readers: search text, totals, and the indexes of listings.
"""

from pathlib import Path
from typing import Final

import apsw
import msgspec

_SETTINGS: Final = ("journal_mode = wal", "synchronous = full", "wal_autocheckpoint = 4000", "cache_size = -32768")
_SCHEMA: Final = """
CREATE TABLE run (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, step TEXT NOT NULL,
                  attempts INTEGER NOT NULL, status TEXT NOT NULL, shown TEXT NOT NULL);
CREATE TABLE history (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL,
                      events BLOB NOT NULL);
CREATE UNIQUE INDEX history_by_run ON history (run, seq);
"""
_INSERT_RUN: Final = "INSERT INTO run (id, uuid, seq, step, attempts, status, shown) VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADVANCE: Final = "UPDATE run SET seq = ?, step = ?, attempts = ? WHERE id = ? AND seq = ?"
_END: Final = "UPDATE run SET seq = ?, step = ?, attempts = ?, status = ?, shown = ? WHERE id = ? AND seq = ?"
_APPEND: Final = "INSERT INTO history (run, seq, count, events) VALUES (?, ?, ?, ?)"


class Row(msgspec.Struct, frozen=True):
    """One history row of the engine: its first seq, its number of events, its size."""

    seq: int
    count: int
    size: int


class Shape(msgspec.Struct, frozen=True):
    """What the engine wrote for one run."""

    rows: tuple[Row, ...]
    shown_size: int


def shape_of(database: Path, workflow: str) -> Shape:
    """The records of the newest run of a workflow in an engine's database."""
    reading = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    run, shown_size = reading.execute(
        "SELECT id, length(shown) FROM run WHERE workflow = ? ORDER BY id DESC LIMIT 1", (workflow,)
    ).get
    rows = reading.execute("SELECT seq, count, length(events) FROM history WHERE run = ? ORDER BY seq", (run,))
    shape = Shape(tuple(Row(*row) for row in rows), shown_size)
    reading.close()
    return shape


class Floor:
    """A database of its own; `write` may be called again and again."""

    def __init__(self, database: Path, shape: Shape) -> None:
        self._connection = apsw.Connection(str(database))
        for setting in _SETTINGS:
            self._connection.pragma(*setting.split(" = "))
        self._connection.execute(_SCHEMA)
        self._shape = shape
        self._last = 0

    def close(self) -> None:
        self._connection.close()

    def write(self, runs: int) -> None:
        """All records of `runs` runs at once, group after group."""
        numbers = range(self._last + 1, self._last + 1 + runs)
        self._last += runs
        for place, row in enumerate(self._shape.rows):
            self._connection.execute("BEGIN IMMEDIATE")
            self._write_runs(place, numbers)
            events = b"x" * row.size
            self._connection.executemany(_APPEND, [(number, row.seq, row.count, events) for number in numbers])
            self._connection.execute("COMMIT")

    def _write_runs(self, place: int, numbers: range) -> None:
        rows, shown = self._shape.rows, "x" * self._shape.shown_size
        row, step = rows[place], f"/do/{place}/t{place}"
        seq = row.seq + row.count - 1
        if place == 0:
            new = [(number, f"{number:036d}", seq, step, place, "running", shown) for number in numbers]
            self._connection.executemany(_INSERT_RUN, new)
        elif row is rows[-1]:
            ends = [(seq, step, place, "completed", shown, number, row.seq - 1) for number in numbers]
            self._connection.executemany(_END, ends)
        else:
            moves = [(seq, step, place, number, row.seq - 1) for number in numbers]
            self._connection.executemany(_ADVANCE, moves)

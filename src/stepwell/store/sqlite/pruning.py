"""Deleting runs that ended long ago, with all that belongs to them."""

from collections import Counter

import apsw

from stepwell.core.status import TERMINAL
from stepwell.store.rows import ALL_DAYS, CountKey, day_of
from stepwell.store.sql import statements

_TABLES = (
    ("history", "run"),
    ("stream", "run"),
    ("snapshot", "run"),
    ("timer", "run"),
    ("listener", "run"),
    ("run_text", "rowid"),
    ("run", "id"),
)


def prune(connection: apsw.Connection, ended_before: float, limit: int) -> list[str]:
    """Delete up to `limit` runs, oldest first; their ids. Inside the caller's transaction."""
    sql = statements("sqlite")
    counts: Counter[CountKey] = Counter()
    found = [row for ended in TERMINAL for row in connection.execute(sql["ended_runs"], (ended, ended_before, limit))]
    oldest = sorted(found)[:limit]  # by number: the order in which they were created
    runs = [(number,) for number, *_ in oldest]
    for _, _, series, created_at, status in oldest:
        for day in (ALL_DAYS, day_of(created_at)):
            counts[series, day, status] -= 1
    if runs:
        connection.executemany("DELETE FROM decider WHERE approval IN (SELECT id FROM approval WHERE run = ?)", runs)
        connection.executemany("DELETE FROM approval WHERE run = ?", runs)
        for table, column in _TABLES:
            connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", runs)
        connection.executemany(sql["add_count"], [(*key, change) for key, change in counts.items()])
    return [run_id for _, run_id, *_ in oldest]

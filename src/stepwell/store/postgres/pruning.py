"""Deleting runs that ended long ago, with all that belongs to them."""

from collections import Counter

from stepwell.core.status import TERMINAL
from stepwell.store.postgres.connection import Connection, unnested
from stepwell.store.rows import ALL_DAYS, CountKey, day_of
from stepwell.store.sql import statements

_TABLES = ("history", "stream", "snapshot", "timer", "listener", "run_text", "approval")


async def prune(connection: Connection, ended_before: float, limit: int) -> list[str]:
    """Delete up to `limit` runs, oldest first; their ids. Inside the caller's transaction.

    A run that another node prunes at the same time is left to it.
    """
    sql = statements("postgres")
    found = [
        row for ended in TERMINAL for row in await connection.fetch(sql["ended_runs"], ended, ended_before, limit)
    ]
    oldest = sorted(found, key=lambda row: int(row["id"]))[:limit]  # in the order in which they were created
    runs = [row["id"] for row in oldest]
    if not runs:
        return []
    await connection.execute(
        "DELETE FROM decider WHERE approval IN (SELECT id FROM approval WHERE run = ANY ($1::bigint[]))", runs
    )
    for table in _TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE run = ANY ($1::bigint[])", runs)
    rows = await connection.fetch("DELETE FROM run WHERE id = ANY ($1::bigint[]) RETURNING id", runs)
    deleted = {number for (number,) in rows}
    counts: Counter[CountKey] = Counter()
    for row in oldest:
        if row["id"] in deleted:
            for day in (ALL_DAYS, day_of(row["created_at"])):
                counts[row["series"], day, row["status"]] -= 1
    changes = sorted((*key, change) for key, change in counts.items())
    if changes:
        await connection.execute(sql["add_counts"], *unnested(changes))
    return [row["uuid"] for row in oldest if row["id"] in deleted]

"""The floor on PostgreSQL: as `bench.floor` on SQLite, the records of an engine's runs written by a bare loop.

The engine's tables with their indexes; the run's row inserted with its search text, moved forward as often, and
ended; a history row for each commit. Each group of all runs is one transaction of batched statements, and the next is
made after it is on disk. Nothing is decided, folded, encoded or waited for. Left out are the totals.
"""

import time
from typing import Final

import asyncpg

from bench.floor import Row, Shape
from bench.house import open_engine
from stepwell.engine.ids import new_id
from stepwell.store.postgres.grams import grams_of

FIRST: Final = 1_000_000
"""Number of the first run: above those of the engine."""
_ADVANCE: Final = """
UPDATE run SET seq = $2, step = $3, attempts = $4
FROM unnest($1::bigint[]) b (id) WHERE run.id = b.id AND run.seq = $5
"""
_END: Final = """
UPDATE run SET seq = $2, step = $3, attempts = $4, live = false, status = $6, ended_at = $7, shown = $8
FROM unnest($1::bigint[]) b (id) WHERE run.id = b.id AND run.seq = $5
"""
_APPEND: Final = "INSERT INTO history (run, seq, count, events) SELECT id, $2, $3, $4 FROM unnest($1::bigint[]) id"
_INSERT_TEXT: Final = """
INSERT INTO run_text (run, series, text, grams) SELECT id, $2, text, grams::integer[]
FROM unnest($1::bigint[], $3::text[], $4::text[]) b (id, text, grams)
"""


async def prepare(url: str, workflow: str) -> Shape:
    """Set up an empty database, have the engine run the workflow once, and take the records of that run."""
    async with open_engine(url) as engine:
        await engine.run(workflow)
    connection = await asyncpg.connect(url)
    run = dict(await connection.fetchrow("SELECT * FROM run ORDER BY id DESC LIMIT 1"))
    rows = await connection.fetch("SELECT seq, count, events FROM history WHERE run = $1 ORDER BY seq", run["id"])
    await connection.close()
    return Shape(run, tuple(Row(*row) for row in rows))


class Floor:
    """The loop, on one connection to a prepared database."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", shape: Shape) -> None:
        self._connection = connection
        self._shape = shape
        self._begun = {
            name: value
            for name, value in (shape.run | {"status": "running", "live": True, "ended_at": None}).items()
            if name not in ("id", "uuid")
        }
        values = ", ".join(f"${place}" for place in range(3, 3 + len(self._begun)))
        self._insert = (
            f"INSERT INTO run (id, uuid, {', '.join(self._begun)}) OVERRIDING SYSTEM VALUE "
            f"SELECT b.id, b.uuid, {values} FROM unnest($1::bigint[], $2::text[]) b (id, uuid)"
        )

    async def write(self, runs: int) -> float:
        """All records of `runs` runs at once, group after group; the seconds it took."""
        numbers = list(range(FIRST, FIRST + runs))
        started = time.perf_counter()
        for place, row in enumerate(self._shape.rows):
            async with self._connection.transaction():
                await self._write_runs(place, row, numbers)
                await self._connection.execute(_APPEND, numbers, row.seq, row.count, row.events)
        return time.perf_counter() - started

    async def _write_runs(self, place: int, row: Row, numbers: list[int]) -> None:
        moved = (numbers, row.seq + row.count - 1, f"/do/{place}/t{place}", place)
        if place == 0:
            await self._insert_runs(numbers, {"seq": moved[1], "step": moved[2], "attempts": 1})
        elif row is self._shape.rows[-1]:
            run = self._shape.run
            end = (run["status"], run["ended_at"], run["shown"])
            await self._connection.execute(_END, *moved, row.seq - 1, *end)
        else:
            await self._connection.execute(_ADVANCE, *moved, row.seq - 1)

    async def _insert_runs(self, numbers: list[int], begun: dict[str, object]) -> None:
        now = time.time()
        ids = [new_id(now) for _ in numbers]
        await self._connection.execute(self._insert, numbers, ids, *(self._begun | begun).values())
        grams = [grams_of(id) for id in ids]
        await self._connection.execute(_INSERT_TEXT, numbers, self._shape.run["series"], ids, grams)

"""DBOS on SQLite, with its defaults (rollback journal, synchronous=FULL): arguments FOLDER AT_ONCE SINGLES. With the
URL of a PostgreSQL database in place of the folder, on that.

Runs in an environment that has `dbos` and not Stepwell.
"""

import asyncio
import sys
from importlib import import_module
from typing import Any

from bench.rivals.clock import measure

DBOS: Any = import_module("dbos").DBOS


async def _noop() -> None:
    """The step of the benchmark."""


async def _steps_of(steps: int) -> None:
    for _ in range(steps):
        await noop()


noop = DBOS.step(name="noop")(_noop)
steps_of = DBOS.workflow(name="steps_of")(_steps_of)


async def main(place: str, at_once: int, singles: int) -> None:
    url = place if "://" in place else f"sqlite:///{place}/dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()

    async def run(steps: int) -> object:
        handle = await DBOS.start_workflow_async(steps_of, steps)
        return await handle.get_result(polling_interval_sec=0.01)

    await measure(run, at_once=at_once, singles=singles)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

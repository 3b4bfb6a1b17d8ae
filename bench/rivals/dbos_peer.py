"""DBOS on SQLite, its defaults (rollback journal, synchronous=FULL). `python dbos_peer.py FOLDER AT_ONCE SINGLES`."""

import asyncio
import sys

from clock import measure  # a script: its folder is on the path
from dbos import DBOS


@DBOS.step()
async def noop() -> None:
    """The step of the benchmark."""


@DBOS.workflow()
async def steps_of(steps: int) -> None:
    for _ in range(steps):
        await noop()


async def main(folder: str, at_once: int, singles: int) -> None:
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "ERROR"})
    DBOS.launch()

    async def run(steps: int) -> object:
        handle = await DBOS.start_workflow_async(steps_of, steps)
        return await handle.get_result(polling_interval_sec=0.01)

    await measure(run, at_once=at_once, singles=singles)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

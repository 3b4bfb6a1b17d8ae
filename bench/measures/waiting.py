"""Memory per run that waits on a signal and is parked.

Half as many runs are parked before the first look: SQLite's page caches and Python's arenas are full by then.
"""

import asyncio
import gc
from pathlib import Path

from bench.gauge import rss_bytes
from bench.house import none_live, open_engine
from bench.size import Size
from stepwell.engine import Engine

AT_ONCE = 1_000


async def measure(folder: Path, size: Size) -> dict[str, float]:
    async with open_engine(folder / "engine.db", idle_s=0.02) as engine:
        await _park(engine, size.waiting // 2)
        before = _resident()
        await _park(engine, size.waiting)
        grown = _resident() - before
    return {"bytes_per_waiting_run": grown / size.waiting, "waiting_runs": size.waiting}


async def _park(engine: Engine, runs: int) -> None:
    for _ in range(runs // AT_ONCE):
        await asyncio.gather(*(engine.start("waits") for _ in range(AT_ONCE)))
    await none_live(engine)
    await asyncio.sleep(0.1)  # what is parked on disk is now let go in memory


def _resident() -> int:
    gc.collect()
    return rss_bytes()

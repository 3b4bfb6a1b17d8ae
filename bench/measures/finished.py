"""The same rates on a database with a million finished runs, beside an empty one, in turns; and the memory of an
engine on the full one alone. A process of its own fills it.
"""

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bench import bulk
from bench.gauge import Took, median, rss_bytes, timed
from bench.house import FLOWS, open_engine, run_at_once
from bench.size import Size
from stepwell.engine import Engine
from stepwell.store.model import Definition
from stepwell.store.sqlite import SqliteStore

DAY_S = 86_400.0


async def measure(folder: Path, size: Size) -> dict[str, float]:
    full, empty = folder / "full.db", folder / "empty.db"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(_fill_alone, full, size.finished).result()
    async with open_engine(full) as engine:
        for workflow in ("one", "ten"):
            await _run(engine, workflow, size)
        memory = rss_bytes()
    passes: list[dict[str, Took]] = []
    async with open_engine(empty) as on_empty, open_engine(full) as on_full:
        for _ in range(size.passes + 1):
            took = {}
            for workflow in ("one", "ten"):
                took[f"{workflow}_empty"] = await timed(partial(_run, on_empty, workflow, size))
                took[f"{workflow}_full"] = await timed(partial(_run, on_full, workflow, size))
            passes.append(took)
    return {**_figures(passes[1:], size), "rss_mb_after_1m": memory / 1e6}


async def _run(engine: Engine, workflow: str, size: Size) -> None:
    for _ in range(size.rounds):
        await run_at_once(engine, workflow, size.runs)


def _fill_alone(database: Path, runs: int) -> None:
    asyncio.run(_fill(database, runs))


async def _fill(database: Path, runs: int) -> None:
    """Runs of the last thirty days, of the workflows that are measured."""
    now = time.time()
    definitions = [
        Definition(digest=f"{number:032x}", kind="flow", name=name, version="1.0.0", text=_text(name))
        for number, name in enumerate(("one", "ten"))
    ]
    plan = bulk.Plan(runs=runs, first_at=now - 30 * DAY_S, last_at=now, workflows=definitions, shares=bulk.FINISHED)
    store = SqliteStore(str(database))
    await store.open()
    await bulk.write(store, plan)
    await bulk.check(store, plan)
    await store.close()


def _text(workflow: str) -> str:
    return (FLOWS / f"{workflow}.yaml").read_text()


def _figures(passes: list[dict[str, Took]], size: Size) -> dict[str, float]:
    def rate(name: str, number: int) -> float:
        return number * size.rounds * size.runs / median([took[name].wall_s for took in passes])

    def kept(workflow: str) -> float:
        return median([took[f"{workflow}_empty"].wall_s / took[f"{workflow}_full"].wall_s for took in passes])

    return {
        "finished_runs": size.finished,
        "one_step_runs_per_s_after_1m": rate("one_full", 1),
        "steps_per_s_after_1m_runs": rate("ten_full", 10),
        "kept_one_step_after_1m": kept("one"),
        "kept_steps_after_1m": kept("ten"),
    }

"""Durable steps a second beside the floor, the same with a real jq expression in every task, runs of one step a
second, and tasks a second that need no commit.
"""

from pathlib import Path
from typing import Final

from bench.floor import Floor, shape_of
from bench.gauge import Took, median, timed
from bench.house import open_engine, run_at_once
from bench.size import Size
from stepwell.engine import Engine

PURE_RUNS: Final = 50
NUMBERS: Final = list(range(100))
PURE_TASKS: Final = 10 * len(NUMBERS)


async def measure(folder: Path, size: Size) -> dict[str, float]:
    database = folder / "engine.db"
    async with open_engine(database) as engine:
        for workflow in ("one", "ten", "jq"):
            await run_at_once(engine, workflow, size.runs)
        floor = Floor(folder / "floor.db", shape_of(database, "ten"))
        floor.write(size.runs)
        passes = [await _one_pass(engine, floor, size) for _ in range(size.passes)]
        floor.close()
    return _figures(passes, size)


async def _one_pass(engine: Engine, floor: Floor, size: Size) -> dict[str, Took]:
    async def write_floor() -> None:
        for _ in range(size.rounds):
            floor.write(size.runs)

    async def run(workflow: str) -> None:
        for _ in range(size.rounds):
            await run_at_once(engine, workflow, size.runs)

    return {
        "floor": await timed(write_floor),
        "ten": await timed(lambda: run("ten")),
        "one": await timed(lambda: run("one")),
        "jq": await timed(lambda: run_at_once(engine, "jq", size.runs)),
        "pure": await timed(lambda: run_at_once(engine, "pure", PURE_RUNS, {"numbers": NUMBERS})),
    }


def _figures(passes: list[dict[str, Took]], size: Size) -> dict[str, float]:
    runs = size.rounds * size.runs
    steps = 10 * runs

    def rate(name: str, number: int) -> float:
        return number / median([took[name].wall_s for took in passes])

    def cpu_us(name: str, number: int) -> float:
        return median([took[name].cpu_s for took in passes]) / number * 1e6

    return {
        "floor_steps_per_s": rate("floor", steps),
        "durable_steps_per_s": rate("ten", steps),
        "ratio": median([took["floor"].wall_s / took["ten"].wall_s for took in passes]),
        "ratio_lowest": min(took["floor"].wall_s / took["ten"].wall_s for took in passes),
        "one_step_runs_per_s": rate("one", runs),
        "jq_steps_per_s": rate("jq", 10 * size.runs),
        "tasks_per_s_without_commit": rate("pure", PURE_RUNS * PURE_TASKS),
        "floor_cpu_us_per_step": cpu_us("floor", steps),
        "cpu_us_per_step": cpu_us("ten", steps),
        "cpu_us_per_one_step_run": cpu_us("one", runs),
    }

"""How soon a verb reaches a run that another node drives: `python -m bench.reach [--runs N] [--url URL]`.

Two nodes on one PostgreSQL (without `--url` the one in the wheel), which share a process and its event loop. The
first drives runs whose steps take long; the second pauses or cancels them, one after the other and then as many at
once. Counted is the time from the call on the second node until the first one has heard of the pause, or until the
run's end there, which is when its step has been stopped and that is on record.
"""

import argparse
import asyncio
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.cluster import database, own_server
from bench.gauge import machine, percentile
from stepwell import App
from stepwell.core import history as h
from stepwell.core.program import RunContext, StepContext
from stepwell.engine import Engine
from stepwell.settings import Settings

HERE: Final = Path(__file__).parent
HOUR_S: Final = 3600.0


async def naps(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001  # a program takes one
    """A step that takes an hour."""

    async def nap(step: StepContext) -> None:  # noqa: ARG001  # an activity is given one
        await asyncio.sleep(HOUR_S)

    await ctx.step("/nap", nap)


def node(url: str, *, drive: bool) -> App:
    app = App(settings=Settings(db=url), drive=drive)
    app.add_workflow("naps", naps)
    return app


async def cancel_ms(driving: Engine, beside: Engine, run_id: str, ready: asyncio.Barrier) -> float:
    """Milliseconds until a cancel by the second node has ended a run of the first."""
    await ready.wait()
    began = time.perf_counter()
    await beside.cancel(run_id)
    await driving.result(run_id)
    return (time.perf_counter() - began) * 1e3


async def pause_ms(driving: Engine, beside: Engine, run_id: str, ready: asyncio.Barrier) -> float:
    """Milliseconds until the first node has heard that the second one paused a run."""
    watched = driving.watch(run_id)
    await anext(watched)
    await ready.wait()
    began = time.perf_counter()
    pausing = asyncio.ensure_future(beside.pause(run_id))
    async for seen in watched:
        if isinstance(seen.event, h.RunPaused):
            break
    took_ms = (time.perf_counter() - began) * 1e3
    await pausing
    await beside.cancel(run_id)
    return took_ms


async def started(engine: Engine, runs: int) -> list[str]:
    return [each.run_id for each in await asyncio.gather(*(engine.start("naps") for _ in range(runs)))]


async def measure(url: str, runs: int) -> dict[str, float]:
    async with node(url, drive=True) as first, node(url, drive=False) as second:
        driving, beside = first.engine, second.engine
        found: dict[str, list[float]] = {}
        for verb, reach_ms in (("cancel", cancel_ms), ("pause", pause_ms)):
            run_ids = await started(driving, runs)
            alone, all_of_them = asyncio.Barrier(1), asyncio.Barrier(runs)
            found[f"{verb}_singly"] = [await reach_ms(driving, beside, run_id, alone) for run_id in run_ids]
            run_ids = await started(driving, runs)
            reached = (reach_ms(driving, beside, run_id, all_of_them) for run_id in run_ids)
            found[f"{verb}_at_once"] = await asyncio.gather(*reached)
    return {
        f"{how}_p{percent}_ms": percentile(values, percent) for how, values in found.items() for percent in (50, 99)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how soon a verb reaches a run driven elsewhere.")
    parser.add_argument("--url", help="a PostgreSQL where databases may be made; not given: one of the wheel's")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        url = asyncio.run(database(options.url or own_server(stack), "bench_reach"))
        result: dict[str, Any] = dict(asyncio.run(measure(url, options.runs)))
    report.show(f"{options.runs} of each, of runs that another node drives", result)
    result |= {"command": " ".join(["python -m bench.reach", *sys.argv[1:]]), **machine()}
    print(report.save(HERE / "results", result, kind="reach"))


if __name__ == "__main__":
    main()

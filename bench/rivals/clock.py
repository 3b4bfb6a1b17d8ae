"""The measuring that all engines share; standard library only, since it runs in their environments too."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

Run = Callable[[int], Awaitable[object]]
"""Starts one run of that many no-op steps and waits for its result."""


async def measure(run: Run, *, at_once: int, singles: int) -> None:
    """Print the figures: many runs at once, then single runs one after the other."""
    await asyncio.gather(*(run(1) for _ in range(20)))
    figures: dict[str, float] = {}
    for steps, name in ((10, "steps_per_s"), (1, "one_step_runs_per_s")):
        started, worked = time.perf_counter(), time.process_time()
        await asyncio.gather(*(run(steps) for _ in range(at_once)))
        figures[name] = at_once * steps / (time.perf_counter() - started)
        figures[f"cpu_us_per_step_{steps}"] = (time.process_time() - worked) * 1e6 / at_once / steps
    for steps in (1, 10):
        took_ms = sorted([await _single(run, steps) for _ in range(singles)])
        figures[f"p50_ms_{steps}"] = took_ms[singles // 2]
    print(json.dumps(figures), flush=True)


async def _single(run: Run, steps: int) -> float:
    started = time.perf_counter()
    await run(steps)
    return (time.perf_counter() - started) * 1e3

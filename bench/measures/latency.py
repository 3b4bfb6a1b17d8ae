"""Start to result of single runs, one after the other; and the memory of an engine, idle and after that."""

import time
from pathlib import Path

from bench.gauge import percentile, rss_bytes
from bench.house import open_engine, run_at_once
from bench.size import Size
from stepwell.engine import Engine


async def measure(folder: Path, size: Size) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with open_engine(folder / "engine.db") as engine:
        figures["rss_idle_mb"] = rss_bytes() / 1e6
        for steps, workflow in ((1, "one"), (10, "ten")):
            took_ms = await _singles(engine, workflow, size.singles)
            plural = "" if steps == 1 else "s"
            figures[f"p50_ms_{steps}_step{plural}"] = percentile(took_ms, 50)
            figures[f"p99_ms_{steps}_step{plural}"] = percentile(took_ms, 99)
        for _ in range(size.passes):
            await run_at_once(engine, "ten", size.runs)
        figures["rss_mb"] = rss_bytes() / 1e6
    return figures


async def _singles(engine: Engine, workflow: str, number: int) -> list[float]:
    took_ms = []
    for _ in range(number):
        started = time.perf_counter()
        await engine.run(workflow)
        took_ms.append((time.perf_counter() - started) * 1e3)
    return took_ms[number // 10 :]  # the first ones warm up

"""What the benchmarks serve: `stepwell serve --app bench.served:app`."""

import asyncio
from typing import Any

from stepwell import App
from stepwell.core.program import RunContext, StepContext

app = App()


@app.function
async def noop() -> None:
    """The step of the benchmark."""


@app.workflow(name="talk")
async def talk(ctx: RunContext, input: Any) -> int:
    """Thinks aloud `items` times, every `every_s` seconds, from `after_s` on; each thought is its time."""

    async def think(step: StepContext) -> int:
        loop = asyncio.get_running_loop()
        next_at = loop.time() + input["after_s"]
        for _ in range(input["items"]):
            await asyncio.sleep(max(0.0, next_at - loop.time()))
            step.think(f"{loop.time():.6f}")  # one clock for all processes of a machine (CLOCK_MONOTONIC)
            next_at += input["every_s"]
        return int(input["items"])

    return int(await ctx.step("talk", think, name="Talk"))

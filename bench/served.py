"""What the benchmarks serve: `stepwell serve --app bench.served:app`."""

import asyncio
import time
from typing import Any

from stepwell import App
from stepwell.core.program import RunContext, StepContext

app = App()


@app.function
async def noop() -> None:
    """The step of the benchmark."""


@app.workflow(name="talk")
async def talk(ctx: RunContext, input: Any) -> int:
    """Thinks aloud `items` times, every `every_s` seconds from the instant `at` on; each thought is its own instant.

    Instants are of CLOCK_MONOTONIC, which is one for all processes of a machine.
    """

    async def think(step: StepContext) -> int:
        for number in range(input["items"]):
            await asyncio.sleep(max(0.0, input["at"] + number * input["every_s"] - time.monotonic()))
            step.think(f"{time.monotonic():.6f}")
        return int(input["items"])

    return int(await ctx.step("talk", think, name="Talk"))

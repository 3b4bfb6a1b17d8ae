"""The service that Restate calls: `hypercorn bench.rivals.restate_service:app`, in an environment with its SDK."""

from importlib import import_module
from typing import Any

restate: Any = import_module("restate")


async def noop() -> None:
    """The step of the benchmark."""


async def steps_of(ctx: Any, steps: int) -> None:
    for number in range(steps):
        await ctx.run_typed(f"step{number}", noop)


service = restate.Service("bench")
service.handler()(steps_of)
app = restate.app([service])

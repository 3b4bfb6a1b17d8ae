"""The service that Restate calls: `hypercorn restate_service:app`."""

import restate
from restate import Context, Service

bench = Service("bench")


async def noop() -> None:
    """The step of the benchmark."""


@bench.handler()
async def steps_of(ctx: Context, steps: int) -> None:
    for number in range(steps):
        await ctx.run_typed(f"step{number}", noop)


app = restate.app([bench])

"""Nodes of one database inside this process: each an app of its own, as `stepwell serve` hosts it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from stepwell import App
from stepwell.core.program import RunContext, StepContext
from stepwell.core.status import TERMINAL
from stepwell.engine import Engine
from stepwell.settings import Settings
from stepwell.store.postgres import PostgresStore

PATIENCE_S = 120.0
"""How long a condition may take to come true: the machine may be busy with other things."""


async def waits(ctx: RunContext, input: Any) -> Any:
    """A step, a signal named `go`, a step."""

    async def first(step: StepContext) -> str:  # noqa: ARG001
        return "first"

    await ctx.step("/first", first)
    data = await ctx.wait("/wait", "go")
    return {"input": input, "data": data}


async def naps(ctx: RunContext, input: Any) -> Any:
    """Steps that take `input` seconds each."""

    async def nap(step: StepContext) -> str:
        await asyncio.sleep(float(input))
        return step.key

    return [await ctx.step(f"/nap/{number}", nap) for number in range(5)]


async def at_once(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
    return input


def node(url: str, *, drive: bool = True, idle_s: float = 0.05, limits: tuple[str, ...] = ()) -> App:
    """An app on the database, not open yet."""
    app = App(settings=Settings(db=url, idle_s=idle_s, workflow_limits=limits), drive=drive)
    for name, program in (("waits", waits), ("naps", naps), ("at_once", at_once)):
        app.add_workflow(name, program)
    return app


@asynccontextmanager
async def nodes(*apps: App) -> AsyncIterator[list[Engine]]:
    """The engines of open nodes, closed again at the end."""
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(app)
        yield [app.engine for app in apps]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110  # what is waited for is in a database
            await asyncio.sleep(0.02)


async def ended(engine: Engine, run_id: str) -> bool:
    """Whether a run has ended, by its record."""
    return (await engine.state(run_id)).status in TERMINAL


async def parked(engine: Engine, run_id: str) -> bool:
    """Whether a run needs no driver for now, by its record."""
    return not (await engine.store.load([run_id]))[0].live


async def fetch(engine: Engine, statement: str, *values: Any) -> list[Any]:
    """What the database answers."""
    assert isinstance(engine.store, PostgresStore)
    async with engine.store._writing.use() as connection:
        return list(await connection.fetch(statement, *values))

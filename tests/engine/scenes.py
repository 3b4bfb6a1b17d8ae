"""Programs that the scenarios of the Engine's features share, and the way to play a scenario."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import RefusedError
from stepwell.core.history import Actor
from stepwell.core.program import Program, RunContext
from stepwell.core.state import State
from stepwell.engine import Engine

from .harness import Lab, Life, World

T = TypeVar("T")
ANNA, BERT = (Actor(type="user", id=name) for name in ("anna", "bert"))
Programs = Mapping[str, Callable[[Lab], Program]]


def play(programs: Programs, scenario: Callable[[Life], Awaitable[T]], *, quiet: bool = False, **options: Any) -> T:
    """One life of a fresh world, and all invariants afterwards."""
    with World(programs, **options) as world:
        result = world.live(scenario)
        world.check(quiet=quiet)
        return result


def simple(lab: Lab) -> Program:
    """One step that gives its input back."""

    async def program(ctx: RunContext, input: Any) -> Any:
        return await ctx.step("/do", lab.does(input, takes_s=0.01))

    return program


def waiting(lab: Lab) -> Program:
    """A step, a wait for the signal `go`, and a step."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        await ctx.step("/before", lab.does(1))
        got = await ctx.wait("/wait", "go")
        await ctx.step("/after", lab.does(2))
        return got.data if got else None

    return program


def sleeping(lab: Lab) -> Program:
    """A sleep of a minute between two steps."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        await ctx.step("/before", lab.does(1))
        await ctx.sleep_until("/sleep", ctx.now + 60.0)
        return await ctx.step("/after", lab.does(2))

    return program


def slow(lab: Lab) -> Program:
    """Two steps of ten seconds."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        return [await ctx.step(f"/{n}", lab.does(n, takes_s=10.0)) for n in range(2)]

    return program


def failing(lab: Lab) -> Program:
    """A step that completes, and one that fails the first time."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        good = await ctx.step("/good", lab.does("good"))
        return [good, await ctx.step("/bad", lab.does("mended", fails=1))]

    return program


def asking(request: ApprovalRequest) -> Callable[[Lab], Program]:
    """An approval whose decision is the run's output."""

    def make(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            outcome = await ctx.approve("/approve", request)
            return [outcome.decision, outcome.actor, outcome.expired]

        return program

    return make


async def until(engine: Engine, run_id: str, wanted: Callable[[State], bool]) -> State:
    """The state of a run, once it is as wanted."""
    async with asyncio.timeout(600):
        while not wanted(state := await engine.state(run_id)):  # noqa: ASYNC110  # time is virtual
            await asyncio.sleep(0.01)
    return state


async def refusal(doing: Awaitable[Any]) -> RefusedError:
    """The refusal that a command meets."""
    try:
        await doing
    except RefusedError as refused:
        return refused
    raise AssertionError("it was accepted")


def names(events: Any) -> list[str]:
    return [type(event).__name__ for event in events]

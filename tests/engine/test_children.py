# ruff: noqa: ARG001  # every program takes an input, not every one needs it
"""Children whose start is put off: whoever does not wait any more gets none."""

import asyncio
from typing import Any

from stepwell.core.program import Program, RunContext
from stepwell.core.status import Status
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.programs.native import NativePrograms
from stepwell.store.model import RunQuery
from stepwell.store.sqlite import SqliteStore

from .harness import Lab, Life, World
from .scenes import simple
from .virtual_time import VirtualLoop

PATIENCE_S = 500.0


def hurried(lab: Lab) -> Program:
    """Waits for a child for no longer than half a second."""

    async def program(ctx: RunContext, input: Any) -> Any:
        async def one(ctx: RunContext) -> Any:
            return await ctx.child("/race/child", "late")

        async def other(ctx: RunContext) -> Any:
            await ctx.sleep_until("/race/sleep", ctx.now + 0.5)
            return "slept"

        await ctx.race("/race", {"one": one, "other": other})
        return await ctx.step("/then", lab.does("done"))

    return program


def patient(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        output = await ctx.child("/child", "late", 5)
        await ctx.sleep_until("/rest", ctx.now + 1.0)
        return output

    return program


def careless(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        return await ctx.child("/child", "late", 5, wait=False)

    return program


class LateWorld(World):
    """A server that cannot run the workflow `late` at first: starting it is put off, as any fault would do it."""

    def engine(self, store: SqliteStore, loop: VirtualLoop) -> Engine:
        self.native = NativePrograms()
        for name, program in self.programs.items():
            if name != "late" or self.lab.life == 1:
                self.native.add(name, program(self.lab))
        return Engine(store=store, dispatch=LocalDispatch(), programs=[self.native], clock=loop, options=self.options)

    def make_ready(self) -> None:
        self.native.add("late", self.programs["late"](self.lab))


def play(parent: str, *, ready_after_s: float) -> tuple[Any, list[Status]]:
    """The parent's output, and how the children stand in the end."""
    programs = {"hurried": hurried, "patient": patient, "careless": careless, "late": simple}
    with LateWorld(programs, options=EngineOptions(idle_s=60.0)) as world:

        async def save_definitions(life: Life) -> None:
            pass

        async def scenario(life: Life) -> Any:
            started = await life.engine.start(parent)
            await asyncio.sleep(ready_after_s)
            world.make_ready()
            output = (await life.engine.result(started.run_id, timeout_s=PATIENCE_S)).output
            while await life.engine.store.take_outbox(1e12, 1):  # noqa: ASYNC110  # time is virtual
                await asyncio.sleep(1.0)
            await asyncio.sleep(10.0)
            children = [run for run in await life.engine.list_runs(RunQuery()) if run.workflow == "late"]
            for child in children:
                await life.engine.result(child.run_id, timeout_s=PATIENCE_S)
            return output, [(await life.engine.get(child.run_id)).status for child in children]

        world.live(save_definitions)
        found: tuple[Any, list[Status]] = world.live(scenario)
        world.check()
        return found


def test_start_that_comes_after_its_own_cancellation_starts_nothing() -> None:
    assert play("hurried", ready_after_s=0.7) == ("done", [])


def test_start_that_is_put_off_while_its_parent_waits_comes_late() -> None:
    assert play("patient", ready_after_s=5.0) == (5, [Status.COMPLETED])


def test_detached_child_is_started_however_late() -> None:
    output, children = play("careless", ready_after_s=5.0)
    assert list(output) == ["id"]
    assert children == [Status.COMPLETED]


def test_child_is_not_started_again_for_a_fork_of_its_parent_that_was_kept_longer() -> None:
    with World({"patient": patient, "late": simple}) as world:

        async def scenario(life: Life) -> list[str]:
            engine = life.engine
            parent = await engine.start("patient")
            await engine.result(parent.run_id, timeout_s=PATIENCE_S)
            await asyncio.sleep(10)
            [child] = [run for run in await engine.list_runs(RunQuery()) if run.workflow == "late"]
            await engine.fork(parent.run_id, at_seq=len(await engine.history(parent.run_id)))
            await engine.prune(ended_before=child.ended_at + 1e-6 if child.ended_at else 0.0, limit=1)
            await asyncio.sleep(10)
            return [run.workflow for run in await engine.list_runs(RunQuery())]

        assert world.live(scenario) == ["patient", "patient"]

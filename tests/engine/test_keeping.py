"""What is kept and what it costs: parked runs, snapshots, listings, totals, pruning, retention."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from stepwell.core.errors import RunNotFoundError
from stepwell.core.program import Program, RunContext
from stepwell.core.status import Status
from stepwell.engine import EngineOptions
from stepwell.engine.drivers import SNAPSHOT_ABOVE
from stepwell.store.model import CountQuery, RunQuery
from stepwell.store.sqlite.connection import connect

from .harness import Lab, Life, World
from .scenes import failing, play, simple, sleeping, until, waiting


def test_parked_runs_cost_no_task_and_no_journal() -> None:
    async def scenario(life: Life) -> None:
        await asyncio.sleep(1)
        baseline = len(asyncio.all_tasks())
        runs = [(await life.engine.start("waiting", n)).run_id for n in range(100)]
        await asyncio.sleep(3)
        assert len(asyncio.all_tasks()) == baseline
        assert life.engine.drivers.active == {}
        assert life.engine.drivers.desk._entries == {}
        assert {run.status for run in await life.engine.list_runs(RunQuery(limit=1000))} == {Status.WAITING}
        await asyncio.gather(*(life.engine.signal(run_id, "go", 1) for run_id in runs))
        for run_id in runs:
            assert (await life.engine.result(run_id)).output == 1
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == baseline

    play({"waiting": waiting}, scenario, quiet=True)


def test_run_waiting_in_memory_is_let_go_after_the_idle_time() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("sleeping")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(4.9)
        assert run_id in life.engine.drivers.active
        await asyncio.sleep(0.2)
        assert run_id not in life.engine.drivers.active
        assert (await life.engine.result(run_id)).output == 2

    play({"sleeping": sleeping}, scenario, quiet=True, options=EngineOptions(idle_s=5.0))


def long(lab: Lab) -> Program:
    """More events than a snapshot is worth, then a wait, then the sum of what was recorded."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        out = 0
        for n in range(SNAPSHOT_ABOVE):
            out += await ctx.record(f"/loop@{n}", n)
        await ctx.step("/step", lab.does(1))
        got = await ctx.wait("/wait", "go")
        return [out, got.data if got else None]

    return program


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_snapshots_change_nothing(kept: bool) -> None:
    with World({"long": long}) as world:
        run_id = "01900000-0000-7000-8000-00000000000a"

        async def first(life: Life) -> None:
            await life.engine.start("long", run_id=run_id)
            await asyncio.sleep(2)

        async def second(life: Life) -> Any:
            assert (await life.engine.get(run_id)).status is Status.WAITING
            await life.engine.signal(run_id, "go", 7)
            return (await life.engine.result(run_id)).output

        world.live(first)
        disk = connect(world.path)
        assert disk.execute("SELECT count(*) FROM snapshot").get == 1
        if not kept:
            disk.execute("DELETE FROM snapshot")
        disk.close()
        assert world.live(second) == [sum(range(SNAPSHOT_ABOVE)), 7]
        assert world.lab.times(run_id, "/step") == 1
        world.check()


def test_listing_and_totals_follow_the_runs() -> None:
    async def scenario(life: Life) -> None:
        engine = life.engine
        for n in range(4):
            await engine.run("simple", owner="anna", labels={"n": f"number {n}"})
        await engine.run("failing", owner="bert")
        parked = (await engine.start("waiting", owner="anna")).run_id
        await until(engine, parked, lambda state: bool(state.waits))
        await asyncio.sleep(1)
        listed = await engine.list_runs(RunQuery(owner="anna"))
        assert [run.workflow for run in listed] == ["waiting", *["simple"] * 4]
        assert (listed[0].status, listed[0].reason, listed[0].step) == (Status.WAITING, "event", "/wait")
        (bad,) = await engine.list_runs(RunQuery(statuses=(Status.FAILED,)))
        assert (bad.error_type, bad.error_text, bad.attempts) == ("flaky", "/bad fails", 2)
        assert [run.labels["n"] for run in await engine.list_runs(RunQuery(search="number 2"))] == ["number 2"]
        totals = Counter((run.workflow, str(run.status)) for run in await engine.list_runs(RunQuery(limit=100)))
        assert await engine.count_runs() == totals
        assert await engine.count_runs(CountQuery(owner="bert")) == {("failing", "failed"): 1}

    play({"simple": simple, "failing": failing, "waiting": waiting}, scenario, quiet=True)


def test_prune_takes_ended_runs_only() -> None:
    async def scenario(life: Life) -> None:
        engine = life.engine
        done = [(await engine.run("simple")).run_id for _ in range(3)]
        parked = (await engine.start("waiting")).run_id
        await asyncio.sleep(10)
        assert await engine.prune(ended_before=engine.clock.now(), limit=2) == 2
        assert await engine.prune(ended_before=engine.clock.now()) == 1
        assert [run.run_id for run in await engine.list_runs()] == [parked]
        with pytest.raises(RunNotFoundError):
            await engine.history(done[0])

    play({"simple": simple, "waiting": waiting}, scenario, quiet=True)


def test_ended_runs_are_pruned_after_the_retention_time() -> None:
    async def scenario(life: Life) -> None:
        await life.engine.run("simple")
        await asyncio.sleep(50)
        assert len(await life.engine.list_runs()) == 1
        await asyncio.sleep(200)
        assert await life.engine.list_runs() == []
        assert await life.engine.count_runs() == {}

    play({"simple": simple}, scenario, quiet=True, options=EngineOptions(idle_s=0.2, keep_ended_s=100))

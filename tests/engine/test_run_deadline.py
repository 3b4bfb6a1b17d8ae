"""A run's own time limit, driven and parked, over pauses and restarts."""

import asyncio
from typing import Any

import pytest

from stepwell.core.errors import InvalidInputError
from stepwell.core.program import Compiled
from stepwell.core.status import Status
from stepwell.dispatch.local import LocalDispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.store.sqlite import SqliteStore

from .harness import Life, World
from .scenes import names, play, until, waiting
from .virtual_time import VirtualLoop

HASTY, PATIENT = EngineOptions(idle_s=0.01), EngineOptions(idle_s=1e6)
BOTH = pytest.mark.parametrize("options", [PATIENT, HASTY], ids=["driven", "parked"])


@BOTH
def test_run_that_takes_too_long_fails_whether_it_is_in_memory_or_not(options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("waiting", run_timeout_s=30.0)).run_id
        result = await life.engine.result(run_id, timeout_s=60)
        assert (result.status, result.error.type if result.error else "") == (
            Status.FAILED,
            "https://serverlessworkflow.io/spec/1.0.0/errors/run_timeout",
        )
        events = await life.engine.history(run_id)
        assert names(events)[-2:] == ["RunTimedOut", "RunFailed"]
        assert events[-1].at - events[1].at == pytest.approx(30.0, abs=0.1)

    play({"waiting": waiting}, scenario, quiet=True, options=options)


@BOTH
def test_pause_stops_the_clock(options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("waiting", run_timeout_s=30.0)).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(10)
        await life.engine.pause(run_id)
        await asyncio.sleep(1000)
        assert (await life.engine.get(run_id)).status is Status.PAUSED
        await life.engine.resume(run_id)
        await asyncio.sleep(15)
        await life.engine.signal(run_id, "go", 1)
        assert (await life.engine.result(run_id, timeout_s=60)).output == 1

    play({"waiting": waiting}, scenario, quiet=True, options=options)


def test_limit_outlives_the_process() -> None:
    with World({"waiting": waiting}) as world:

        async def begin(life: Life) -> str:
            run_id = (await life.engine.start("waiting", run_timeout_s=30.0)).run_id
            await until(life.engine, run_id, lambda state: bool(state.waits))
            return run_id

        run_id = world.live(begin)
        world.now += 100.0

        async def end(life: Life) -> Status:
            return (await life.engine.result(run_id, timeout_s=60)).status

        assert world.live(end) is Status.FAILED
        world.check()


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_limit_that_is_none_is_refused(limit: float) -> None:
    async def scenario(life: Life) -> None:
        with pytest.raises(InvalidInputError, match="run_timeout_s: expected seconds above 0"):
            await life.engine.start("waiting", run_timeout_s=limit)

    play({"waiting": waiting}, scenario)


class _Bounded:
    """A kind of workflow whose definitions bound their runs: the text is the number of seconds."""

    kind = "bounded"

    def compile(self, document: str) -> Compiled:
        return Compiled(program=_endless, timeout_s=float(document))


async def _endless(ctx: Any, _input: Any) -> Any:
    return await ctx.wait("/wait", "never")


def test_definition_bounds_its_runs_unless_the_start_says_otherwise() -> None:
    loop = VirtualLoop()

    async def main() -> list[float]:
        store = SqliteStore("file:/bounded?vfs=memdb")
        engine = Engine(store=store, dispatch=LocalDispatch(), programs=[_Bounded()], clock=loop)
        await engine.open()
        await engine.save(kind="bounded", name="w", version="1", text="60")
        took = []
        for options in ({}, {"run_timeout_s": 5.0}):
            run_id = (await engine.start("w", **options)).run_id  # type: ignore[arg-type]
            began = loop.time()
            await engine.result(run_id)
            took.append(loop.time() - began)
        await engine.close()
        return took

    try:
        assert loop.run_until_complete(main()) == [pytest.approx(60.0, abs=0.1), pytest.approx(5.0, abs=0.1)]
    finally:
        loop.close()

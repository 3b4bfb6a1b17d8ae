"""Starting runs: once for each key, at a time, and waiting for the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from stepwell.core.errors import InvalidInputError, RunNotFoundError, WorkflowNotFoundError
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.store.model import RunQuery

from .harness import CrashAt, Crashed, Life, World
from .scenes import play, simple, sleeping, waiting


def test_start_key_used_by_two_hundred_at_once_starts_one_run() -> None:
    async def scenario(life: Life) -> None:
        starts = [life.engine.start("simple", n, start_key="order-7") for n in range(200)]
        started = await asyncio.gather(*starts)
        assert len({one.run_id for one in started}) == 1
        assert sum(one.created for one in started) == 1
        assert (await life.engine.result(started[0].run_id)).status is Status.COMPLETED
        assert len(await life.engine.list_runs()) == 1
        assert not (await life.engine.start("simple", start_key="order-7")).created

    play({"simple": simple}, scenario, quiet=True)


def test_two_processes_with_one_start_key_start_one_run() -> None:
    async def scenario(life: Life) -> None:
        engines = [life.engine, life.beside] * 10
        started = await asyncio.gather(*(engine.start("simple", start_key="k") for engine in engines))
        assert len({one.run_id for one in started}) == 1
        assert (await life.engine.result(started[0].run_id)).status is Status.COMPLETED

    play({"simple": simple}, scenario, quiet=True, two=True)


def test_id_chosen_by_the_caller_starts_one_run_that_is_driven() -> None:
    async def scenario(life: Life) -> None:
        started = await asyncio.gather(*(life.engine.start("simple", 1, run_id=RUN, owner=o) for o in "abc"))
        assert [one.created for one in started] == [True, False, False]
        assert (await life.engine.result(RUN)).output == 1

    RUN = "01900000-0000-7000-8000-00000000000a"
    play({"simple": simple}, scenario, quiet=True)


def test_command_that_comes_while_its_run_is_started_a_second_time_is_taken() -> None:
    async def scenario(life: Life) -> Any:
        engine = life.engine
        await engine.start("waiting", run_id=RUN)
        await asyncio.sleep(5)  # long enough to be parked
        told = await asyncio.gather(engine.start("waiting", run_id=RUN), engine.signal(RUN, "go", 7))
        assert not told[0].created
        return (await engine.result(RUN, timeout_s=60)).output

    RUN = "01900000-0000-7000-8000-00000000000a"
    assert play({"waiting": waiting}, scenario, quiet=True) == 7


def test_end_is_seen_also_while_the_run_is_started_a_second_time() -> None:
    async def scenario(life: Life) -> Any:
        engine = life.engine
        await engine.start("simple", 7, run_id=RUN)
        await asyncio.sleep(5)
        again = asyncio.ensure_future(engine.start("simple", 8, run_id=RUN))
        while not engine.drivers.desk.holds(RUN):  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0)
        found = await engine.result(RUN, timeout_s=60)
        assert not (await again).created
        return found.output

    RUN = "01900000-0000-7000-8000-00000000000a"
    assert play({"simple": simple}, scenario, quiet=True) == 7


def test_run_gives_its_result() -> None:
    async def scenario(life: Life) -> Any:
        return await life.engine.run("simple", {"n": [1, None, "ä"]})

    result = play({"simple": simple}, scenario, quiet=True)
    assert (result.status, result.output, result.error) == (Status.COMPLETED, {"n": [1, None, "ä"]}, None)


def test_impatient_caller_gets_a_timeout_and_the_run_goes_on() -> None:
    async def scenario(life: Life) -> None:
        started = await life.engine.start("sleeping")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await life.engine.result(started.run_id, timeout_s=5)
        assert (await life.engine.result(started.run_id)).output == 2

    play({"sleeping": sleeping}, scenario, quiet=True)


def test_run_that_starts_later_starts_then() -> None:
    async def scenario(life: Life) -> None:
        now = life.engine.clock.now()
        started = await life.engine.start("simple", start_at=now + 3600)
        assert (await life.engine.get(started.run_id)).status is Status.SCHEDULED
        await life.engine.result(started.run_id)
        assert life.engine.clock.now() == pytest.approx(now + 3600, abs=2)

    play({"simple": simple}, scenario, quiet=True)


def test_run_that_starts_later_survives_a_crash() -> None:
    with World({"simple": simple}) as world:
        start_at = world.now + 3600

        async def put_off(life: Life) -> None:
            await life.engine.start("simple", start_at=start_at, start_key="k")
            await life.engine.result((await life.engine.list_runs())[0].run_id)

        with pytest.raises(Crashed):
            world.live(put_off, crash=CrashAt(1, after=True))
        world.live(put_off)
        world.check(crashes=1)


async def _paused(engine: Engine, run_id: str) -> None:
    await engine.pause(run_id)
    await asyncio.sleep(10)
    await engine.resume(run_id)


async def _rolled_back(engine: Engine, run_id: str) -> None:
    await engine.pause(run_id)
    await engine.roll_back(run_id, 1)
    await asyncio.sleep(10)
    await engine.resume(run_id)


async def _retried(engine: Engine, run_id: str) -> None:
    await engine.cancel(run_id)
    await engine.retry(run_id)


async def _paused_for_long(engine: Engine, run_id: str) -> None:
    await engine.pause(run_id)
    await asyncio.sleep(7200)
    assert (await engine.get(run_id)).status is Status.PAUSED
    await engine.resume(run_id)


@pytest.mark.parametrize(
    ("interfere", "after_s"), [(_paused, 3600), (_rolled_back, 3600), (_retried, 3600), (_paused_for_long, 7200)]
)
def test_run_that_starts_later_never_starts_earlier(
    interfere: Callable[[Engine, str], Awaitable[None]], after_s: float
) -> None:
    async def scenario(life: Life) -> None:
        now = life.engine.clock.now()
        started = await life.engine.start("simple", 5, start_at=now + 3600)
        await interfere(life.engine, started.run_id)
        assert (await life.engine.result(started.run_id)).output == 5
        begun = (await life.engine.state(started.run_id)).started_at
        assert begun == pytest.approx(now + after_s, abs=2)

    play({"simple": simple}, scenario, quiet=True)


def test_unknown_workflow_and_input_that_is_no_json_are_refused() -> None:
    async def scenario(life: Life) -> None:
        with pytest.raises(WorkflowNotFoundError, match="no workflow 'nothing'"):
            await life.engine.start("nothing")
        with pytest.raises(WorkflowNotFoundError, match="in version 9"):
            await life.engine.start("simple", version="9")
        with pytest.raises(InvalidInputError, match="expected a JSON value"):
            await life.engine.start("simple", object())
        for reading in (life.engine.result, life.engine.state, life.engine.history, life.engine.pause):
            with pytest.raises(RunNotFoundError):
                await reading("01900000-0000-7000-8000-000000000000")
        assert await life.engine.list_runs(RunQuery()) == []

    play({"simple": simple}, scenario)


SEVEN, MOST = UUID(int=7), UUID(int=2**128 - 1)


@pytest.mark.parametrize(
    "id", ["no", SEVEN, 7, b"7" * 36, f"{SEVEN}\n", f"{{{SEVEN}}}", SEVEN.hex, str(MOST).upper()]
)
def test_id_that_is_no_text_of_a_uuid_is_refused(id: Any) -> None:
    async def scenario(life: Life) -> None:
        with pytest.raises(InvalidInputError, match=r"expected a UUID|cannot be created"):
            await life.engine.start("simple", run_id=id)
        assert await life.engine.list_runs() == []

    play({"simple": simple}, scenario)


def test_text_that_cannot_be_written_fails_its_own_run_only() -> None:
    async def scenario(life: Life) -> None:
        starts = [life.engine.start("simple", n, labels={"a": "\ud800"} if n == 1 else None) for n in range(3)]
        started = await asyncio.gather(*starts, return_exceptions=True)
        assert isinstance(started[1], InvalidInputError)
        assert (await life.engine.run("simple", 5)).output == 5
        assert len(await life.engine.list_runs()) == 3

    play({"simple": simple}, scenario)

"""Limits of workflows in one process: how many runs are driven at once, and how many begin in a time."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from stepwell import App
from stepwell.core import history as h
from stepwell.core.errors import StorageUnavailableError
from stepwell.core.program import RunContext, StepContext
from stepwell.core.status import Status
from stepwell.dispatch.limits import Limit, read_limits
from stepwell.engine import Engine
from stepwell.engine.turns import LATE_S, PACE, TURN, Pace
from stepwell.settings import Settings, SettingsError, load_settings
from stepwell.store.model import Record, RunQuery

START = 1_750_000_000.0
HOUR = 3_600.0


class SetClock:
    """Stands still until it is set."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


async def at_once(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
    return input


async def naps(ctx: RunContext, input: Any) -> Any:
    async def nap(step: StepContext) -> str:
        await asyncio.sleep(float(input))
        return step.key

    return await ctx.step("/nap", nap)


def app_on(folder: Path, *limits: str, clock: SetClock | None = None) -> App:
    app = App(settings=Settings(db=f"sqlite:///{folder}/runs.db", workflow_limits=limits, idle_s=0.0), clock=clock)
    app.add_workflow("at_once", at_once)
    app.add_workflow("naps", naps)
    return app


async def begun_at(engine: Engine, run_ids: list[str]) -> list[float]:
    """When the runs began, in order; those that did."""
    histories = [await engine.history(run_id) for run_id in run_ids]
    return sorted(event.at for events in histories for event in events if isinstance(event, h.RunStarted))


def test_limits_are_read() -> None:
    assert read_limits(["a=2", "b=10/s", "a=30/m", "x=y=1/h"]) == {
        "a": Limit(at_once=2, every_s=2.0),
        "b": Limit(every_s=0.1),
        "x=y": Limit(every_s=HOUR),
    }


@pytest.mark.parametrize("text", ["a", "a=0", "a=1/w", "a=/s", "=1", "a=1.5/s", "a=1/ s"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="workflow_limits"):
        load_settings(environ={"STEPWELL_WORKFLOW_LIMITS": text})


async def test_no_more_runs_are_driven_at_once(tmp_path: Path) -> None:
    async with app_on(tmp_path, "naps=2") as app:
        started = [(await app.engine.start("naps", 0.01)).run_id for _ in range(8)]
        other = await app.engine.run("at_once", 1, timeout_s=60)  # not held up
        results = [await app.engine.result(run_id, timeout_s=60) for run_id in started]
        histories = [await app.engine.history(run_id) for run_id in started]
    assert {result.status for result in results} | {other.status} == {Status.COMPLETED}
    changes = sorted(
        (event.at, -1 if isinstance(event, h.RunCompleted) else 1)
        for events in histories
        for event in events
        if isinstance(event, h.RunStarted | h.RunCompleted)
    )
    at_a_time = [sum(change for _, change in changes[: n + 1]) for n in range(len(changes))]
    assert max(at_a_time) == 2


async def test_run_that_is_cancelled_while_it_waits_holds_nobody_up(tmp_path: Path) -> None:
    async with app_on(tmp_path, "naps=1") as app:
        first, second, third = [(await app.engine.start("naps", takes)).run_id for takes in (3600, 0, 0)]
        assert await app.engine.cancel(second)
        assert await app.engine.cancel(first)
        assert (await app.engine.result(third, timeout_s=60)).status is Status.COMPLETED


async def test_runs_begin_evenly_spaced(tmp_path: Path) -> None:
    async with app_on(tmp_path, "at_once=20/s") as app:
        started = [(await app.engine.start("at_once", n)).run_id for n in range(10)]
        for run_id in started:
            assert (await app.engine.result(run_id, timeout_s=60)).status is Status.COMPLETED
        created = min([(await app.engine.state(run_id)).created_at for run_id in started])
        begun = await begun_at(app.engine, started)
        assert await app.engine.store.get_records(TURN) == []
    assert all(at >= created + number / 20 for number, at in enumerate(begun))


async def test_turns_outlive_the_process_and_missed_ones_are_not_made_up_for(tmp_path: Path) -> None:
    clock = SetClock(START)
    async with app_on(tmp_path, "at_once=1/h", clock=clock) as app:
        started = [(await app.engine.start("at_once", n)).run_id for n in range(6)]
        await app.engine.result(started[0], timeout_s=60)
        await _until_waiting(app.engine, 5)
        (pace,) = await app.engine.store.get_records(PACE)
        assert pace.data == {"free_at": START + 6 * HOUR}
    clock.at = START + 3 * HOUR + LATE_S / 2
    async with app_on(tmp_path, "at_once=1/h", clock=clock) as app:  # turns 1 and 2 are void, 3 is now
        await _until_begun(app.engine, 2)
        await _until_waiting(app.engine, 4)
        turns = {record.data["at"] - START for record in await app.engine.store.get_records(TURN)}
    assert turns == {n * HOUR for n in (4, 5, 6, 7)}


async def _until_waiting(engine: Engine, number: int) -> None:
    async with asyncio.timeout(60):
        while len(await engine.store.get_records(TURN)) != number:  # noqa: ASYNC110  # the store is to be asked
            await asyncio.sleep(0.01)


async def _until_begun(engine: Engine, number: int) -> None:
    async with asyncio.timeout(60):
        while len(await engine.list_runs(RunQuery(statuses=(Status.COMPLETED,)))) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_fault_is_told_to_all_who_wait_for_their_turn_though_one_has_gone() -> None:
    class Away:
        async def get_records(self, *_: object, **__: object) -> list[Record]:
            await asyncio.sleep(0)
            raise StorageUnavailableError("away")

    pace = Pace(cast("Any", Away()), SetClock(START), "report", 1.0)
    turns = [asyncio.create_task(pace.next()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # they are asked for
    turns[0].cancel()
    found = await asyncio.gather(*turns, return_exceptions=True)
    assert [type(one) for one in found] == [asyncio.CancelledError, *[StorageUnavailableError] * 2]

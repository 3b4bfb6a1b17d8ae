"""Workflow classes on PostgreSQL: several servers host the same class, and only one of them drives a run."""

import asyncio
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from stepwell import App
from stepwell.core import history as h
from stepwell.core.status import Status
from stepwell.core.typed import EVENT_SIGNAL, TypedWorkflow
from stepwell.engine import Engine

from . import hosted
from .living import processes
from .nodes import PATIENCE_S, eventually, nodes
from .server import new_database

RUNS = 20


@pytest.fixture(scope="module")
def url() -> str:
    return new_database()


def calm(url: str, log: Path, *, drive: bool = True) -> App:
    """A node of this process: it is never taken for dead, however busy the machine is."""
    return hosted.app_on(url, str(log), "120", drive=drive)


async def start(engine: Engine, number: int, **fields: object) -> list[str]:
    return [(await engine.start("counted", {"run": str(n), **fields})).run_id for n in range(number)]


async def answer(engine: Engine, run_id: str, text: str) -> None:
    """What a door does with a posted event."""
    face: TypedWorkflow = (await engine.workflows.compiled((await engine.workflows.find("counted")).digest)).typed
    body = {"type": "Answer", "value": {"text": text}}
    await engine.signal(run_id, EVENT_SIGNAL, face.read_event(body))


def invocations(log: Path) -> Counter[tuple[str, str]]:
    return Counter((run, key) for run, key, _ in (line.split() for line in log.read_text().splitlines()))


async def waits(engine: Engine, run_id: str) -> bool:
    return (await engine.state(run_id)).status is Status.WAITING and not (await engine.store.load([run_id]))[0].live


async def test_two_servers_that_host_a_class_drive_each_run_once(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with nodes(calm(url, log), calm(url, log)) as engines:
        started = await asyncio.gather(*(start(engine, RUNS, side=side) for side, engine in enumerate(engines)))
        run_ids = [run_id for ids in started for run_id in ids]
        results = [await engines[0].result(run_id, timeout_s=PATIENCE_S) for run_id in run_ids]
        events = [event for run_id in run_ids for event in await engines[1].history(run_id)]

    assert [result.output for result in results] == [hosted.result()] * 2 * RUNS
    assert not [event for event in events if isinstance(event, h.AttemptStarted) and event.attempt > 1]
    assert set(invocations(log).values()) == {2}, "each number was started on both"


async def test_a_person_answers_through_the_other_server(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with nodes(calm(url, log), calm(url, log)) as engines:
        (run_id,) = await start(engines[0], 1, asks=True)
        await eventually(lambda: waits(engines[1], run_id))

        await answer(engines[1], run_id, "ada")

        assert (await engines[0].result(run_id, timeout_s=PATIENCE_S)).output == hosted.result("ada")


async def test_a_run_that_waits_is_answered_by_a_server_that_begins_later(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with nodes(calm(url, log)) as (engine,):
        (run_id,) = await start(engine, 1, asks=True)
        await eventually(lambda: waits(engine, run_id))
    async with nodes(calm(url, log, drive=False)) as (beside,):
        await answer(beside, run_id, "ada")

    async with nodes(calm(url, log)) as (engine,):
        assert (await engine.result(run_id, timeout_s=PATIENCE_S)).output == hosted.result("ada")


@pytest.mark.slow
async def test_runs_of_a_killed_server_go_on_and_count_nothing_twice(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    with processes(url, log, module="hosted_process") as started:
        async with nodes(hosted.app_on(url, str(log), drive=False)) as (engine,):
            await asyncio.gather(*(one.ready() for one in started))
            run_ids = await start(engine, RUNS, takes=0.2, asks=True)
            await eventually(lambda: begun(log))
            started[0].send(signal.SIGKILL)
            for run_id in run_ids:
                await eventually(partial(waits, engine, run_id))
                await answer(engine, run_id, "ada")

            results = [await engine.result(run_id, timeout_s=PATIENCE_S) for run_id in run_ids]

    assert [result.output for result in results] == [hosted.result("ada")] * RUNS
    assert max(invocations(log).values()) <= 2, "once more than without a kill"


async def begun(log: Path) -> bool:
    return log.exists() and len(invocations(log)) >= RUNS  # noqa: ASYNC240  # a small file

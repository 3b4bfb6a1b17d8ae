"""Runs that a node drives from their start: who sees to them when it cannot, stops or dies, and who hears of it."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import asyncpg
import pytest

from stepwell import App
from stepwell.core.errors import StepwellError
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.settings import Settings
from stepwell.store.model import ANY_RUN, Batch, CommitResult

from .nodes import eventually, node, nodes
from .server import new_database


@pytest.fixture
def url() -> str:
    return new_database()


def tells_nobody(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process died after each commit, before it told the others."""
    monkeypatch.setattr(engine.store._changes, "tell", lambda run_ids: None)  # type: ignore[attr-defined]  # noqa: ARG005


async def _is(engine: Engine, run_id: str, status: Status) -> bool:
    return (await engine.state(run_id)).status is status


async def test_node_holds_its_job_from_the_start(url: str) -> None:
    connection = await asyncpg.connect(url)
    async with nodes(node(url), node(url)):
        jobs = await connection.fetch("SELECT status FROM pgqueuer WHERE entrypoint = 'node'")
        assert [status for (status,) in jobs] == ["picked"] * 2, "else another one takes the node for dead"
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0, "both have ended theirs"
    await connection.close()


async def test_node_hands_out_what_it_cannot_drive(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    async with nodes(node(url)) as (engine,):
        compiled = engine.workflows.compiled

        async def not_at_once(definition: Any) -> Any:
            asked.append(definition)
            if len(asked) == 2:  # the first time it is asked for the start
                raise StepwellError("not now")
            return await compiled(definition)

        monkeypatch.setattr(engine.workflows, "compiled", not_at_once)
        run_id = (await engine.start("at_once", 7)).run_id
        await eventually(partial(_is, engine, run_id, Status.COMPLETED))
    assert len(asked) == 3


async def test_run_that_is_being_created_is_begun_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(node(url)) as (engine,):
        written, begun = asyncio.Event(), list[str]()
        commit, compiled, start = engine.store.commit, engine.workflows.compiled, engine._dispatch.start

        async def held(batches: Sequence[Batch]) -> Sequence[CommitResult]:
            await written.wait()
            return await commit(batches)

        async def read_late(definition: Any) -> Any:
            if begun:  # its driver asks
                await written.wait()
            return await compiled(definition)

        def counted(run_id: str, workflow: str) -> int:
            begun.append(run_id)
            return start(run_id, workflow)

        monkeypatch.setattr(engine.store, "commit", held)
        monkeypatch.setattr(engine._dispatch, "start", counted)
        monkeypatch.setattr(engine.workflows, "compiled", read_late)
        running = asyncio.create_task(engine.run("at_once", 7))
        await eventually(lambda: _true(bool(begun)))
        await engine.drivers.changed_outside(ANY_RUN)  # hints were lost meanwhile: each run in hand is looked at
        written.set()
        assert (await running).status is Status.COMPLETED
        assert len(begun) == 1


async def _true(found: bool) -> bool:
    return found


async def test_watchers_hear_of_what_a_dead_node_did_not_tell(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(node(url), node(url)) as (dying, watching):
        run_id = (await dying.start("waits")).run_id
        await eventually(partial(_is, watching, run_id, Status.WAITING))
        end = asyncio.create_task(watching.result(run_id))
        await asyncio.sleep(0)
        tells_nobody(dying, monkeypatch)
        await dying.signal(run_id, "go", 1)
        await eventually(partial(_is, dying, run_id, Status.COMPLETED))
        await watching.store.hand_over(dying._dispatch._presence.node)  # type: ignore[attr-defined]
        assert (await asyncio.wait_for(end, 10)).status == Status.COMPLETED


async def test_driver_hears_of_a_verb_whose_taker_died_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(node(url), node(url, drive=False)) as (driving, dying):
        run_id = (await driving.start("naps", 300)).run_id
        await eventually(partial(_is, dying, run_id, Status.RUNNING))
        tells_nobody(dying, monkeypatch)
        await dying.cancel(run_id)
        await asyncio.wait_for(driving.result(run_id), 10)


async def test_stopping_node_says_that_it_lives_while_it_ends_its_steps(url: str) -> None:
    begun, go, calls = asyncio.Event(), asyncio.Event(), list[str]()

    async def stays(ctx: Any, input: Any) -> Any:  # noqa: ARG001
        async def work(step: Any) -> str:
            calls.append(step.key)
            begun.set()
            await go.wait()
            return "done"

        return await ctx.step("/stays", work)

    stopping = App(settings=Settings(db=url, shutdown_grace_s=60, dead_after_s=2))
    stopping.add_workflow("stays", stays)
    connection = await asyncpg.connect(url)
    async with nodes(stopping) as (engine,):
        run_id = (await engine.start("stays")).run_id
        await begun.wait()
        stop = asyncio.create_task(engine.close(grace_s=60))
        for _ in range(2):  # the second one was said while it was stopping
            await eventually(partial(_newer, connection, await _said_at(connection)))
        go.set()
        await stop
    beside = node(url, drive=False)
    async with nodes(beside) as (reading,):
        assert "/stays" in (await reading.state(run_id)).steps
    assert calls == ["/stays"]
    assert await connection.fetchval("SELECT node FROM run") is None, "handed over"
    await connection.close()


async def _said_at(connection: Any) -> Any:
    return await connection.fetchval("SELECT heartbeat FROM pgqueuer WHERE entrypoint = 'node'")


async def _newer(connection: Any, than: Any) -> bool:
    return bool(await _said_at(connection) > than)

"""Runs spread over two databases: their ids decide, every node knows all of them, one that is away stops its own."""

import asyncio
from typing import Any

import asyncpg
import pytest

from stepwell import App
from stepwell.core.errors import StorageError
from stepwell.core.program import RunContext
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.settings import Settings, SettingsError
from stepwell.store.model import RunQuery

from .nodes import PATIENCE_S, at_once, eventually, nodes, waits
from .server import execute, name_of, new_database, server


async def has_children(ctx: RunContext, input: Any) -> Any:
    return [await ctx.child(f"/child/{number}", "at_once", number) for number in range(int(input))]


def _node(*urls: str, drive: bool = True) -> App:
    app = App(settings=Settings(db=urls[0], more_dbs=urls[1:], idle_s=0.05), drive=drive)
    for name, program in (("waits", waits), ("at_once", at_once), ("has_children", has_children)):
        app.add_workflow(name, program)
    return app


async def _in_each(urls: list[str]) -> list[set[str]]:
    """The ids of the runs in every database."""
    found = []
    for url in urls:
        connection = await asyncpg.connect(url)
        found.append({run_id for (run_id,) in await connection.fetch("SELECT uuid FROM run")})
        await connection.close()
    return found


async def test_runs_are_in_both_and_every_node_knows_all() -> None:
    urls = [new_database(), new_database()]
    async with nodes(_node(*urls), _node(*urls, drive=False)) as (driving, beside):
        families = [(await beside.start("has_children", 4)).run_id for _ in range(5)]
        waiting = [(await driving.start("waits", n)).run_id for n in range(20)]
        for run_id in families:
            assert (await beside.result(run_id, timeout_s=PATIENCE_S)).output == [0, 1, 2, 3]
        for n, run_id in enumerate(waiting):
            await beside.signal(run_id, "go", {"n": n})
        for n, run_id in enumerate(waiting):
            assert (await beside.result(run_id, timeout_s=PATIENCE_S)).output["data"]["data"] == {"n": n}
        listed = await _pages(beside)
        assert await beside.count_runs() == {
            ("has_children", "completed"): 5,
            ("at_once", "completed"): 20,
            ("waits", "completed"): 20,
        }
        first, second = await _in_each(urls)
        assert await driving.prune(ended_before=driving.clock.now() + 60) == 45
        assert await _in_each(urls) == [set(), set()]
    assert len(listed) == len(set(listed)) == 45
    assert {*families, *waiting} <= set(listed)
    assert first | second == set(listed)
    assert first
    assert second
    assert not first & second


async def _pages(engine: Engine) -> list[str]:
    """All runs, as a listing shows them page by page."""
    listed: list[str] = []
    while page := await engine.list_runs(RunQuery(limit=7, before=listed[-1] if listed else None)):
        listed += [row.run_id for row in page]
    return listed


async def test_a_start_key_starts_one_run_wherever_it_is_asked_for() -> None:
    urls = [new_database(), new_database()]
    async with nodes(_node(*urls), _node(*urls)) as engines:
        for number in range(10):
            key = f"key {number}"
            started = await asyncio.gather(*(engine.start("at_once", 1, start_key=key) for engine in engines * 3))
            assert len({one.run_id for one in started}) == 1
        assert sum(map(len, await _in_each(urls))) == 10


async def _shut(url: str, *, shut: bool) -> None:
    """Let nobody into a database any more, or again."""
    name = name_of(url)
    statements = [f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not shut}"]
    if shut:
        statements.append(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    await execute(server().get_uri(), *statements)


def _id_at(engine: Engine, place: int) -> str:
    while engine.store.place_of(run_id := engine.new_run_id()) != place:
        pass
    return run_id


async def test_database_that_is_away_stops_its_own_runs_only() -> None:
    urls = [new_database(), new_database()]
    async with nodes(_node(*urls)) as (engine,):
        here, there = [(await engine.start("waits", n, run_id=_id_at(engine, n))).run_id for n in range(2)]
        await _shut(urls[1], shut=True)
        with pytest.raises(StorageError):
            await engine.start("at_once", 1, run_id=_id_at(engine, 1))
        assert (await engine.run("at_once", 2, run_id=_id_at(engine, 0), timeout_s=PATIENCE_S)).output == 2
        await engine.signal(here, "go", 1)
        assert (await engine.result(here, timeout_s=PATIENCE_S)).status is Status.COMPLETED
        with pytest.raises(StorageError):
            await engine.list_runs()
        await _shut(urls[1], shut=False)
        await eventually(lambda: _signalled(engine, there))
        assert (await engine.result(there, timeout_s=PATIENCE_S)).status is Status.COMPLETED


async def _signalled(engine: Engine, run_id: str) -> bool:
    try:
        await engine.signal(run_id, "go", 1, id="once")
    except StorageError:
        return False
    return True


async def test_another_list_of_databases_is_refused() -> None:
    urls = [new_database(), new_database()]
    async with nodes(_node(*urls)):
        pass
    for others in ([urls[1], urls[0]], [urls[0]], [*urls, new_database()]):
        with pytest.raises(StorageError, match="of 2 databases that runs are spread over"):
            await _node(*others).open()


async def test_database_with_runs_cannot_be_spread_later() -> None:
    url = new_database()
    async with nodes(_node(url)) as (engine,):
        await engine.run("at_once", 1, timeout_s=PATIENCE_S)
    with pytest.raises(StorageError, match="begin with empty databases"):
        await _node(url, new_database()).open()


@pytest.mark.parametrize(
    "urls", [("sqlite:///a.db", "postgresql://b"), ("postgresql://b", "postgresql://b")], ids=["a file", "twice"]
)
async def test_databases_that_cannot_be_spread_over_are_refused(urls: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="more_dbs"):
        await _node(*urls).open()

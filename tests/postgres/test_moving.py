"""A SQLite database moved to PostgreSQL: everything is there, and the runs go on."""

import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import asyncpg
import pytest

from cli.commands import Shell
from stepwell import App
from stepwell.core.errors import StorageError
from stepwell.core.status import Status
from stepwell.moving import PAGE, move
from stepwell.settings import Settings
from stepwell.store.model import RunQuery

from .nodes import PATIENCE_S, at_once, eventually, node, nodes, waits
from .server import execute, make_tables, new_database

RUNS: Final = 8
ITEMS: Final = 3 * PAGE
_MANY_ITEMS: Final = f"""
    WITH RECURSIVE one (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM one WHERE n < {ITEMS})
    INSERT INTO stream (run, n, count, items) SELECT 0, n, 1, CAST('[' || n || ']' AS BLOB) FROM one
"""
_KEY: Final = 7
"""Of the advisory lock that a copy waits for in the middle of its second page."""
_STOP: Final = f"""
    CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock({_KEY}); RETURN NEW; END $$;
    CREATE TRIGGER stop BEFORE INSERT ON stream FOR EACH ROW WHEN (NEW.n = {PAGE * 3 // 2}) EXECUTE FUNCTION stop()
"""
_HELD: Final = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
_OTHERS: Final = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stepwell'"


async def _file_with_runs(folder: Path, name: str = "old.db") -> tuple[Path, list[str]]:
    """A database of a few runs that have ended, and some that wait for a signal."""
    path = folder / name
    app = App(settings=Settings(db=f"sqlite:///{path}", idle_s=0.05))
    app.add_workflow("waits", waits)
    app.add_workflow("at_once", at_once)
    async with app:
        for n in range(5):
            await app.engine.run("at_once", n, labels={"colour": "Blue"})
        waiting = [(await app.engine.start("waits", n)).run_id for n in range(3)]
        await app.engine.schedule("at_once", cron="0 4 * * *", id="nightly")
    return path, waiting


async def _half_moved(path: Path) -> str:
    """A database into which the file was moved up to its history, which could not be written."""
    url = new_database()
    await make_tables(url)
    await execute(url, "ALTER TABLE history ADD CONSTRAINT none CHECK (false)")
    with pytest.raises(StorageError, match="refuses a statement"):
        await move(str(path), url)
    await execute(url, "ALTER TABLE history DROP CONSTRAINT none")
    return url


async def _one(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _make_ready(url: str) -> None:
    """Ask a server whether it is ready, which leaves a record."""
    with urllib.request.urlopen(f"{url}/ready", timeout=PATIENCE_S) as answer:
        assert answer.status == 200


@asynccontextmanager
async def _holding(url: str) -> AsyncIterator[None]:
    """Meanwhile a copy of items stops in the middle of its second page."""
    await execute(url, _STOP)
    connection = await asyncpg.connect(url)
    await connection.execute(f"SELECT pg_advisory_lock({_KEY})")
    try:
        yield
    finally:
        await connection.close()
        await execute(url, "DROP TRIGGER stop ON stream")


async def test_runs_go_on_after_they_were_moved(tmp_path: Path) -> None:
    path, waiting = await _file_with_runs(tmp_path)
    url = new_database()
    copied = {one.table: one.rows for one in await move(str(path), url)}
    assert copied["run"] == RUNS
    async with nodes(node(url)) as (engine,):
        for run_id in waiting:
            await engine.signal(run_id, "go", {})
            assert (await engine.result(run_id, timeout_s=PATIENCE_S)).status is Status.COMPLETED
        assert len(await engine.list_runs(RunQuery(search="blue"))) == 5
        assert [rule.id for rule in await engine.list_schedules()] == ["nightly"]
        assert (await engine.run("at_once", "new", timeout_s=PATIENCE_S)).output == "new"


async def test_interrupted_move_goes_on(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = await _half_moved(path)
    assert await move(str(path), url) == await move(str(path), new_database())


async def test_half_moved_database_starts_no_server_until_the_rest_is_there(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = await _half_moved(path)
    said = f"holds only a part of {path}, .* 'stepwell migrate --from sqlite:///{path} --to ...', or name an empty"
    for app in (node(url), node(url, drive=False), App(settings=Settings(db=new_database(), more_dbs=(url,)))):
        with pytest.raises(StorageError, match=said):
            await app.open()
    await move(str(path), url)
    async with nodes(node(url)) as (engine,):
        assert (await engine.run("at_once", 1, timeout_s=PATIENCE_S)).output == 1


async def test_server_on_a_half_moved_database_ends_with_one_sentence(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    ran = Shell(tmp_path).run("serve", "--db", await _half_moved(path), "--port", "0")
    assert f"holds only a part of {path}, which is being moved there: finish that" in ran.sentence


@pytest.mark.slow
async def test_move_that_is_killed_within_a_table_goes_on(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    with apsw.Connection(str(path)) as file:
        file.execute(_MANY_ITEMS)
    url, shell = new_database(), Shell(tmp_path)
    await make_tables(url)
    async with _holding(url):
        with shell.background("migrate", "--from", f"sqlite:///{path}", "--to", url) as process:
            await eventually(lambda: _one(url, _HELD))
            process.send_signal(signal.SIGKILL)
            process.communicate()
    await eventually(lambda: _one(url, f"SELECT NOT EXISTS ({_OTHERS})"))
    assert await _one(url, "SELECT count(*) FROM stream WHERE run = 0") == PAGE
    resumed = shell.run("migrate", "--from", f"sqlite:///{path}", "--to", url)
    whole = shell.run("migrate", "--from", f"sqlite:///{path}", "--to", new_database())
    assert (resumed.code, resumed.out) == (0, whole.out)
    assert await _one(url, "SELECT count(*) FROM stream WHERE run = 0") == ITEMS


async def test_half_moved_database_takes_no_row_of_another_file(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    other, _ = await _file_with_runs(tmp_path, "other.db")
    url = await _half_moved(path)
    with pytest.raises(StorageError, match=rf"holds a part of {path}, nothing of {other} was copied"):
        await move(str(other), url)
    assert await _one(url, "SELECT count(*) FROM run") == RUNS
    assert await move(str(path), url)


@pytest.mark.parametrize("change", ["replaced", "gone on"])
async def test_half_moved_database_takes_no_row_of_a_file_that_changed(tmp_path: Path, change: str) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = await _half_moved(path)
    if change == "replaced":
        other, _ = await _file_with_runs(tmp_path, "other.db")
        other.rename(path)
    else:
        async with nodes(node(f"sqlite:///{path}")) as (engine,):
            await engine.run("at_once", 1)
    with pytest.raises(StorageError, match="as it was before it changed: name an empty database"):
        await move(str(path), url)
    assert await _one(url, "SELECT count(*) FROM run") == RUNS


async def test_moved_database_takes_nothing_any_more(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    other, _ = await _file_with_runs(tmp_path, "other.db")
    url = new_database()
    await move(str(path), url)
    async with nodes(node(url)) as (engine,):
        await engine.run("at_once", 1, timeout_s=PATIENCE_S)
        for file in (path, other):
            with pytest.raises(StorageError, match=f"has got all of {path} already, nothing was copied"):
                await move(str(file), url)
        assert await _one(url, "SELECT count(*) FROM run") == RUNS + 1


async def test_database_with_rows_of_its_own_is_refused(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = new_database()
    async with nodes(node(url)) as (engine,):
        await engine.schedule("at_once", cron="0 4 * * *", id="nightly")
    with pytest.raises(StorageError, match=r"holds rows of its own \(record 'schedule', definition\)"):
        await move(str(path), url)
    assert await _one(url, "SELECT count(*) FROM record WHERE kind = 'secret'"), "a refusal changes nothing"


@pytest.mark.slow
async def test_database_that_a_server_was_on_is_taken_once_that_is_stopped(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = new_database()
    with Shell(tmp_path).background("serve", "--db", url, "--port", "0") as server:
        assert server.stdout is not None
        _make_ready(server.stdout.readline().split()[-1])
        with pytest.raises(StorageError, match=rf"is in use by a server \(pid {server.pid} on "):
            await move(str(path), url)
        server.terminate()
        server.communicate(timeout=PATIENCE_S)
    assert {one.table: one.rows for one in await move(str(path), url)}["run"] == RUNS


async def test_difference_between_the_databases_is_noticed(tmp_path: Path) -> None:
    path, _ = await _file_with_runs(tmp_path)
    url = await _half_moved(path)
    await execute(url, "UPDATE run SET step = 'elsewhere' WHERE id = 1")
    with pytest.raises(StorageError, match=r"the table run differs: 8 rows in the file, 8 in PostgreSQL"):
        await move(str(path), url)


def test_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ran = Shell(tmp_path).run("migrate", "--from", "sqlite:///typo.db", "--to", "postgresql://localhost:9/no")
    assert ran.sentence == "stepwell: there is no file typo.db: name the database to copy with --from"
    assert list(tmp_path.iterdir()) == []


def test_folder_of_files_that_is_not_there_is_refused(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("old.db", "")
    ran = shell.run("migrate", "--from", "sqlite:///old.db", "--to", "postgresql://localhost:9/no", "--files", "none")
    assert ran.sentence == "stepwell: --files none: there is no such folder"

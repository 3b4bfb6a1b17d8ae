"""Files of runs on PostgreSQL: every node has them, and they go with their run."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from doors.kit.things import client_of
from stepwell import App
from stepwell.core.errors import StorageError
from stepwell.engine.duties.files import SweepFiles
from stepwell.engine.ids import new_id
from stepwell.files import BUFFERED, FileMissingError
from stepwell.files.database import DatabaseFiles
from stepwell.moving import move
from stepwell.settings import Settings
from stepwell.store.postgres import PostgresStore

from .nodes import PATIENCE_S
from .server import execute, make_tables, new_database

RUNS = "/api/v1/workflow-runs"


def _app(url: str, *, drive: bool) -> App:
    app = App(settings=Settings(db=url), drive=drive)

    @app.function
    async def count(file: Any) -> int:
        assert app.files is not None
        return len((await app.files.fetch(file)).read_bytes())

    @app.function
    def first(file: Any) -> str:
        assert app.files is not None
        return app.files.path(file).read_bytes()[:5].decode()

    return app


def _served(app: App) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    return client_of(app.asgi(), raising=True, base_url="http://localhost", timeout=PATIENCE_S)


def _step(name: str, function: str) -> dict[str, Any]:
    inputs = {"action": "function", "function": function, "args": {"file": "{{ inputs.paper }}"}}
    return {"name": name, "type": "activity", "inputs": inputs}


DEFINITION = {
    "name": "reads",
    "inputs": [{"name": "paper", "type": "file"}],
    "steps": [_step("count", "count"), _step("first", "first")],
    "output": {"count": "{{ steps.count.output }}", "first": "{{ steps.first.output }}"},
}


async def test_file_that_one_node_took_is_read_and_sent_by_another() -> None:
    url = new_database()
    paper = b"hello" + os.urandom(3 * BUFFERED)
    async with _served(_app(url, drive=False)) as taking, _served(driving := _app(url, drive=True)) as other:
        made = await taking.post("/api/v1/workflow-definitions", json=DEFINITION)
        assert made.is_success, made.text
        form = {"workflowId": made.json()["workflow"]["id"], "inputs": "{}"}
        files = {"paper": ("a.bin", paper, "application/octet-stream")}
        run = (await taking.post(f"{RUNS}/execute", data=form, files=files)).json()["workflowRun"]
        assert run["outputs"] == {"count": len(paper), "first": "hello"}
        (given,) = run["inputs"]
        place = f"{RUNS}/{run['id']}/files/{given['value']['objectId']}"
        assert (await other.get(place)).content == (await taking.get(place)).content == paper
        assert driving.files is not None
        brought = await driving.files.fetch(given["value"])
        assert await driving.engine.prune(ended_before=driving.engine.clock.now() + 60) == 1
        assert not brought.exists()
        with pytest.raises(FileMissingError):
            await driving.files.fetch(given["value"])
    assert not brought.parent.exists()


@pytest.fixture
async def files() -> AsyncIterator[DatabaseFiles]:
    url = new_database()
    store = PostgresStore(url)
    await store.open()
    await store.close()
    files = DatabaseFiles(url)
    await files.open()
    yield files
    await files.close()


@pytest.mark.parametrize("size", [0, 1, BUFFERED, BUFFERED + 1, 5 * BUFFERED])
async def test_file_is_read_back_as_it_was_written(files: DatabaseFiles, size: int) -> None:
    data = os.urandom(size)
    incoming = files.begin(new_id(1.0), filename="../a.pdf", content_type="application/pdf")
    for start in range(0, size, 100_000):
        await incoming.write(data[start : start + 100_000])
    reference = await incoming.finish()
    assert (reference.filename, reference.size) == ("a.pdf", size)
    assert (await files.fetch(reference)).read_bytes() == data
    assert (await asyncio.to_thread(files.path, reference.object_id)).read_bytes() == data


async def test_file_whose_run_never_came_to_be_is_swept(files: DatabaseFiles) -> None:
    store = PostgresStore(files.url)
    await store.open()
    try:
        reference = await files.begin(new_id(1.0), filename="a", content_type="").finish()
        young = await files.begin(new_id(5_000.0), filename="b", content_type="").finish()
        await SweepFiles(store, files).run_once(now=5_000.0)
    finally:
        await store.close()
    with pytest.raises(FileMissingError):
        await files.fetch(reference)
    assert (await files.fetch(young)).exists()


async def test_disk_of_a_node_keeps_a_bounded_number(files: DatabaseFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.files.database.KEPT_BYTES", 25)
    paths = []
    for _ in range(4):
        incoming = files.begin(new_id(1.0), filename="a", content_type="")
        await incoming.write(b"x" * 10)
        paths.append(await files.fetch(await incoming.finish()))
    assert [path.exists() for path in paths] == [False, False, True, True]


async def test_files_move_along_with_their_runs(tmp_path: Path) -> None:
    path, url = tmp_path / "old.db", new_database()
    async with App(settings=Settings(db=f"sqlite:///{path}")) as app:
        assert app.files is not None
        incoming = app.files.begin(new_id(time.time()), filename="a", content_type="")
        data = os.urandom(3 * BUFFERED + 7)
        await incoming.write(data)
        reference = await incoming.finish()
        empty = await app.files.begin(new_id(time.time()), filename="b", content_type="").finish()
    await make_tables(url)
    await execute(url, "ALTER TABLE file_chunk ADD CONSTRAINT first CHECK (n = 0)")
    with pytest.raises(StorageError, match="refuses a statement"):  # it is interrupted in the middle
        await move(str(path), url, files=Path(f"{path}.files"))
    await execute(url, "ALTER TABLE file_chunk DROP CONSTRAINT first")
    copied = await move(str(path), url, files=Path(f"{path}.files"))
    assert (copied[-1].table, copied[-1].rows) == ("file", 2)
    async with App(settings=Settings(db=url)) as app:
        assert app.files is not None
        assert (await app.files.fetch(reference)).read_bytes() == data
        assert (await app.files.fetch(empty)).read_bytes() == b""

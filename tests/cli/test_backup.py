"""`stepwell backup`: what was acknowledged before it is in the copy, and the copy goes on where it was."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.cli.backup import BackupError, copy_database
from stepwell.core.program import RunContext
from stepwell.core.run import fold
from stepwell.settings import Settings
from stepwell.store.model import RunQuery

from .commands import Shell


def app_of(folder: Path, name: str) -> stepwell.App:
    app = stepwell.App(settings=Settings(db=f"sqlite:///{folder}/{name}"))

    @app.workflow
    async def asks(ctx: RunContext, _input: Any) -> Any:
        found = await ctx.wait("word", "word")
        return None if found is None else found.data

    @app.workflow
    async def counts(ctx: RunContext, input: Any) -> Any:
        return await ctx.record("number", input)

    return app


async def test_copy_of_a_busy_database_is_whole_and_goes_on(tmp_path: Path) -> None:
    async with app_of(tmp_path, "runs.db") as app:
        waiting = (await app.engine.start("asks")).run_id
        before = [(await app.engine.run("counts", number)).run_id for number in range(50)]
        goes_on = True

        async def work() -> None:
            while goes_on:
                await asyncio.gather(*(app.engine.run("counts", number) for number in range(20)))

        working = asyncio.create_task(work())
        await asyncio.to_thread(copy_database, tmp_path / "runs.db", tmp_path / "copy.db")
        goes_on = False
        await working

    async with app_of(tmp_path, "copy.db") as restored:
        rows = await restored.engine.list_runs(RunQuery(limit=100_000))
        assert set(before) < {row.run_id for row in rows}
        for row in rows:
            state = fold(await restored.engine.history(row.run_id))
            assert (state.status, state.seq) == (row.status, row.seq)
        await restored.engine.signal(waiting, "word", "restored")
        assert (await restored.engine.result(waiting, timeout_s=20)).output == "restored"


def test_the_command_copies_files_and_checks(inside: Shell) -> None:
    inside.write(
        "flow.yaml", "document: {dsl: '1.0.3', namespace: n, name: n, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n"
    )
    assert inside.run("run", "flow.yaml", "--db", "sqlite:///my.db").code == 0
    inside.write("my.db.files/one/letter.txt", "Dear Ann")

    ran = inside.run("backup", "copy.db", "--db", "sqlite:///my.db", "--json")

    assert ran.code == 0, ran.err
    assert ran.json["files"] == 1
    assert (inside.folder / "copy.db.files/one/letter.txt").read_text() == "Dear Ann"
    listed = inside.run("runs", "list", "--db", "sqlite:///copy.db", "--json")
    assert len(listed.json if isinstance(listed.json, list) else listed.json["runs"]) == 1


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")

    with pytest.raises(BackupError, match="exists"):
        copy_database(tmp_path / "runs.db", tmp_path / "copy.db")

    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_database_that_is_none_is_refused(inside: Shell) -> None:
    assert "there is no database" in inside.run("backup", "copy.db", "--db", "sqlite:///none.db").sentence
    inside.write("text.db", "no database at all " * 100)
    assert "no SQLite database" in inside.run("backup", "copy.db", "--db", "sqlite:///text.db").sentence
    assert not list(inside.folder.glob("copy.db*"))

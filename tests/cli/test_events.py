"""`stepwell events send`: what it puts into the database, and what it says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from stepwell.app import App
from stepwell.cli.events import app
from stepwell.core.errors import InvalidInputError

HEAR = """document: {dsl: '1.0.3', namespace: test, name: hear, version: '1.0.0'}
do: [{l: {listen: {to: {any: []}, read: envelope}}}]
"""


def events(*arguments: str) -> None:
    app(arguments, exit_on_error=False, print_error=False, result_action="return_value")


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a run that listens."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/runs.db"

    async def prepare() -> None:
        async with App(db=url) as hosting:
            await hosting.engine.save(kind="flow", name="hear", version="1.0.0", text=HEAR)
            await hosting.engine.start("hear", start_key="it")

    asyncio.run(prepare())
    return url


def heard(db: str) -> Any:
    async def look() -> Any:
        async with App(db=db) as hosting:
            started = await hosting.engine.start("hear", start_key="it")
            return (await hosting.engine.result(started.run_id, timeout_s=30)).output[0]

    return asyncio.run(look())


def test_event_reaches_a_run(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    events(
        "send",
        "--type",
        "t",
        "--source",
        "/s",
        "--data",
        '{"x": 1}',
        "--id",
        "7",
        "--subject",
        "me",
        "--attribute",
        "room=5",
        "--db",
        db,
    )
    assert "event 7 is accepted" in capsys.readouterr().err
    found = heard(db)
    assert found.pop("time")
    assert found == {
        "specversion": "1.0",
        "id": "7",
        "source": "/s",
        "type": "t",
        "subject": "me",
        "room": "5",
        "data": {"x": 1},
    }


def test_event_gets_an_id_and_a_time(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    events("send", "--type", "t", "--source", "/s", "--json", "--db", db)
    printed = json.loads(capsys.readouterr().out)
    assert printed["id"]
    assert heard(db) == printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", ""], "source: expected a text"),
        (["--source", "a b"], "source: expected a URI reference, found 'a b'"),
        (["--source", "/s", "--attribute", "time=soon"], "time: expected an instant"),
        (["--source", "/s", "--attribute", "room"], "--attribute: expected name=value"),
        (["--source", "/s", "--attribute", "roomId=1"], "roomId: attribute names"),
        (["--source", "/s", "--data", "{"], "--data"),
    ],
)
def test_bad_event_is_refused(db: str, arguments: list[str], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        events("send", "--type", "t", *arguments, "--db", db)

"""The pages about event pipelines: commands are run in their order against a server and a real Kafka protocol, and
every function of the language gives what its table says.

`sh` blocks are run by bash; what follows is what they print, as on the page about the runs API.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from brokers.kafka import KafkaCluster
from doors.served import served
from stepwell.app import App
from stepwell.connections import read_connections
from stepwell.programs.flow.reading import read
from stepwell.programs.pipeline.compiling import compile_pipeline
from stepwell.programs.pipeline.functions import OWN
from stepwell.programs.pipeline.plain import PLAIN
from stepwell.programs.pipeline.simulating import simulate
from stepwell.settings import Settings

from .pages import FOLDER, blocks, compare, named, needed, shell

EXAMPLES = sorted((FOLDER.parent / "examples" / "pipelines").glob("*.yaml"))
STATE: dict[str, Any] = {"n": 7, "text": "Ada", "list": [3, 1, 2], "at": "2026-01-31T12:00:00Z"}
_ROW = re.compile(r"^\| (`\w+\(.*?) \| `(.*?)` \| (.*?) \|$", re.MULTILINE)


async def test_commands_give_what_the_page_says(tmp_path: Path) -> None:
    needed(shutil.which("curl"), "curl")
    cluster = KafkaCluster()
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/server.db"))
    commands = Path(sys.executable).parent
    async with app, served(app.asgi(), end_streams=app.engine.watchers.close) as url:
        names = {
            "URL": url,
            "KAFKA": cluster.bootstrap_servers,
            "PATH": f"{commands}:/usr/bin:/bin",
            "HOME": str(tmp_path),
        }
        for block in blocks("devset.md", "sh"):
            out = await shell(block["code"], tmp_path, names)
            compare(out, block)
            names |= named(block, out)


def test_the_file_of_connections_is_as_the_page_shows_it(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (FOLDER / "devset.md").read_text(), re.DOTALL)
    file = tmp_path / "connections.yaml"
    file.write_text(text)
    (tmp_path / "order.proto").write_text('syntax = "proto3"; message Order { string id = 1; }')
    found = read_connections(str(file), environ={})
    assert set(found.brokers) == {("kafka", "local-kafka"), ("rabbit", "local-rabbit")}
    assert (set(found.sources), set(found.schemas)) == ({"customers"}, {"order"})


def rows() -> list[tuple[str, str, str]]:
    """Functions, example and result of the tables."""
    return _ROW.findall((FOLDER / "pipelines.md").read_text())


def test_every_function_is_in_the_tables() -> None:
    listed = {name.lower() for names, _, _ in rows() for name in re.findall(r"`(\w+)\(", names)}
    assert listed == set(OWN) | set(PLAIN)


def document(stage: dict[str, Any], **more: Any) -> str:
    """The text of a document of one stage that emits."""
    return msgspec.json.encode(
        {"id": "d", "producerName": "p", "topic": "t", "pipeline": [{"stage": "s", "emit": True, **stage}], **more}
    ).decode()


@pytest.mark.parametrize("row", rows(), ids=[row[1] for row in rows()])
async def test_a_function_gives_what_its_row_says(row: tuple[str, str, str]) -> None:
    _, example, gives = row
    pipeline = compile_pipeline(read(document({"set": {"v": {"$fn": example}}}, state=STATE)))
    ((message,),) = await simulate(pipeline, seed="s", started_at=0.0)
    if gives != "~":
        assert msgspec.json.decode(message.payload)["v"] == msgspec.json.decode(gives)


def test_the_document_of_the_page_compiles() -> None:
    text = re.findall(r"```yaml\n(id: orders.*?)```", (FOLDER / "pipelines.md").read_text(), re.DOTALL)[0]
    assert len(compile_pipeline(read(text)).stages) == 2


@pytest.mark.parametrize("part", ["query", "expect", "wireFormat"])
def test_the_parts_of_the_page_compile(part: str) -> None:
    """In a document around them; protobuf only wants its schema."""
    (text,) = re.findall(rf"```yaml\n({part}:.*?)```", (FOLDER / "pipelines.md").read_text(), re.DOTALL)
    more = {"contentType": "protobuf"} if part == "wireFormat" else {}
    found = document(read(text).value, **more)
    if part == "wireFormat":
        with pytest.raises(Exception, match="wireFormat requires schemaId in stage"):
            compile_pipeline(read(found))
    else:
        compile_pipeline(read(found))


@pytest.mark.parametrize("text", [pytest.param(file.read_text(), id=file.stem) for file in EXAMPLES])
async def test_every_example_sends_something(text: str) -> None:
    found = await simulate(compile_pipeline(read(text)), seed="s", started_at=0.0, executions=3)
    assert all(found)

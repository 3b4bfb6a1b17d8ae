"""CloudEvents over HTTP: the smallest server, one request, one response; every bad input is problem JSON."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepwell.core.program import Programs
from stepwell.dispatch.local import LocalDispatch
from stepwell.doors.events import routes
from stepwell.doors.events.routes import MAX_BYTES
from stepwell.doors.server import build
from stepwell.engine import Engine
from stepwell.programs.flow import FlowPrograms
from stepwell.store.sqlite import SqliteStore

from ..acting import acting_as

URL = "/api/v1/cloudevents"
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
HEAD = "document: {dsl: '1.0.3', namespace: test, name: hear, version: '1.0.0'}\n"
LISTEN = HEAD + "do: [{l: {listen: {to: {any: []}, read: envelope}}}]"


class Server:
    def __init__(self, engine: Engine, client: httpx.AsyncClient) -> None:
        self.engine = engine
        self.client = client

    async def heard(self, headers: dict[str, str], content: bytes) -> Any:
        """What a run gets to see of what was sent."""
        await self.engine.save(kind="flow", name="hear", version="1.0.0", text=LISTEN)
        run_id = (await self.engine.start("hear")).run_id
        answer = await self.client.post(URL, headers=headers, content=content)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
        return (await self.engine.result(run_id, timeout_s=30)).output[0]


@asynccontextmanager
async def serving(path: Path, programs: Sequence[Programs] = (FlowPrograms(),)) -> AsyncIterator[Server]:
    engine = Engine(store=SqliteStore(str(path / "runs.db")), dispatch=LocalDispatch(), programs=programs)

    @asynccontextmanager
    async def opening() -> AsyncIterator[Engine]:
        await engine.open()
        try:
            yield engine
        finally:
            await engine.close()

    app = build(routes, opening=opening, middleware=[acting_as()])
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Server(engine, client)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("headers", "content", "event"),
    [
        (STRUCTURED, encoded({**EVENT, "data": {"x": 1}, "size": 5}), {**EVENT, "data": {"x": 1}, "size": 5}),
        (STRUCTURED, encoded({**EVENT, "subject": None, "data": None}), {**EVENT, "data": None}),
        (STRUCTURED, encoded({**EVENT, "data_base64": "AAE="}), {**EVENT, "data_base64": "AAE="}),
        (BATCH, encoded([{**EVENT, "data": 1}]), {**EVENT, "data": 1}),
        (BINARY, b"", EVENT),
        (
            {**BINARY, "Content-Type": "application/json", "CE-Subject": "a", "ce-time": "2024-01-01T00:00:00Z"},
            b'{"x": 1}',
            {
                **EVENT,
                "datacontenttype": "application/json",
                "subject": "a",
                "time": "2024-01-01T00:00:00Z",
                "data": {"x": 1},
            },
        ),
        (
            {**BINARY, "content-type": "text/plain; charset=latin-1"},
            b"gr\xfc\xdfe",
            {**EVENT, "datacontenttype": "text/plain; charset=latin-1", "data": "grüße"},
        ),
        (
            {**BINARY, "content-type": "image/png"},
            b"\x00\x01",
            {**EVENT, "datacontenttype": "image/png", "data_base64": base64.b64encode(b"\x00\x01").decode()},
        ),
        ({**BINARY, "ce-subject": "Euro%20%E2%82%AC%20%25"}, b"", {**EVENT, "subject": "Euro € %"}),
        ({**BINARY, "ce-subject": '"quo\\"ted"'}, b"", {**EVENT, "subject": 'quo"ted'}),
    ],
)
async def test_event_reaches_a_run_that_listens(
    tmp_path: Path, headers: dict[str, str], content: bytes, event: dict[str, Any]
) -> None:
    async with serving(tmp_path) as server:
        assert await server.heard(headers, content) == event


async def test_batch_is_accepted_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        two = encoded([EVENT, {**EVENT, "id": "2"}])
        assert (await server.client.post(URL, headers=BATCH, content=two)).json() == {"accepted": 2}
        assert (await server.client.post(URL, headers=BATCH, content=b"[]")).status_code == 202
        bad = encoded([{**EVENT, "id": "3"}, {**EVENT, "type": ""}])
        answer = await server.client.post(URL, headers=BATCH, content=bad)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("/1: type: expected a text")


@pytest.mark.parametrize(
    ("headers", "content", "status", "words"),
    [
        ({}, b"{}", 415, "found no content type without one"),
        ({"content-type": "application/json"}, b"{}", 415, "found application/json without one"),
        ({"content-type": "application/cloudevents+avro"}, b"", 415, "found application/cloudevents+avro"),
        ({"content-type": "application/cloudevents+json; charset=utf-16"}, b"", 415, "charset=utf-16"),
        (STRUCTURED, b"", 400, "expected JSON"),
        (STRUCTURED, b"\xff", 400, "expected JSON"),
        (STRUCTURED, b"[" * 100_000, 400, "expected JSON"),
        (STRUCTURED, b"[]", 400, "expected a CloudEvent (a JSON object), found an array"),
        (STRUCTURED, b"{}", 400, "specversion: expected 1.0"),
        (STRUCTURED, encoded({**EVENT, "specversion": "0.3"}), 400, "specversion: expected 1.0, found '0.3'"),
        (STRUCTURED, encoded({**EVENT, "id": 5}), 400, "id: expected a text"),
        (STRUCTURED, encoded({**EVENT, "source": None}), 400, "source: expected a text"),
        (STRUCTURED, encoded({**EVENT, "source": "a b"}), 400, "source: expected a URI reference"),
        (STRUCTURED, encoded({**EVENT, "roomId": "x"}), 400, "roomId: attribute names"),
        (STRUCTURED, encoded({**EVENT, "room": {}}), 400, "room: expected text"),
        (STRUCTURED, encoded({**EVENT, "room": 2**40}), 400, "room: expected text, a 32-bit number"),
        (STRUCTURED, encoded({**EVENT, "time": "yesterday"}), 400, "time: expected an instant"),
        (STRUCTURED, encoded({**EVENT, "time": "2024-13-01T00:00:00Z"}), 400, "time: expected an instant"),
        (STRUCTURED, encoded({**EVENT, "subject": ""}), 400, "subject: expected a text"),
        (STRUCTURED, encoded({**EVENT, "data": 1, "data_base64": ""}), 400, "data_base64: expected"),
        (STRUCTURED, encoded({**EVENT, "data_base64": "???"}), 400, "data_base64: expected base64"),
        (BATCH, b"{}", 400, "expected a JSON array of events, found an object"),
        (BATCH, b"[5]", 400, "/0: expected a CloudEvent"),
        (BATCH, encoded([EVENT] * 1001), 413, "at most 1000 events"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t"}, b"", 400, "source: expected a text"),
        ({**BINARY, "content-type": "application/json"}, b"{", 400, "expected JSON"),
        ({**BINARY, "content-type": "text/plain"}, b"\xff", 400, "expected text in utf-8"),
        ({**BINARY, "content-type": "text/plain; charset=odd"}, b"x", 400, "expected text in odd"),
        ({**BINARY, "ce-subject": "100%"}, b"", 400, "two hexadecimal digits"),
        ({**BINARY, "ce-subject": "%FF"}, b"", 400, "expected UTF-8"),
        ({**BINARY, "ce-data": "x"}, b"", 400, "ce-data: expected no such header"),
        (STRUCTURED, b" " * (MAX_BYTES + 1), 413, "a body of at most"),
    ],
)
async def test_bad_input_is_a_problem(
    tmp_path: Path, headers: dict[str, str], content: bytes, status: int, words: str
) -> None:
    async with serving(tmp_path) as server:
        answer = await server.client.post(URL, headers=headers, content=content)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
        assert words in answer.json()["detail"]
        assert not await server.engine.store.take_outbox(1e12, 10)


async def test_other_methods_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        answer = await server.client.put(URL)
        assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")


# --- the life of a run ----------------------------------------------------------------------------------------------


async def one_run(server: Server) -> str:
    await server.engine.save(kind="flow", name="hear", version="1.0.0", text=LISTEN)
    run_id = (await server.engine.start("hear")).run_id
    await server.client.post(URL, headers=STRUCTURED, content=encoded(EVENT))
    await server.engine.result(run_id, timeout_s=30)
    return run_id


def data_of(life: httpx.Response, kind: str) -> Any:
    """What the first event of a kind says."""
    return next(one["data"] for one in life.json() if one["type"].endswith(kind))


async def test_life_of_a_run_is_read_in_pages(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        run_id = await one_run(server)
        whole = await server.client.get(f"{URL}/{run_id}")
        assert whole.headers["content-type"] == "application/cloudevents-batch+json"
        assert "link" not in whole.headers
        started = data_of(whole, "workflow.started.v1")
        assert started["definition"] == {"name": "hear", "namespace": "test", "version": "1.0.0"}
        assert started["name"] == f"hear-{run_id}.test"
        names = [one["type"].split(".", 2)[2] for one in whole.json()]
        assert [name for name in names if "status-changed" not in name] == [
            "workflow.started.v1",
            "task.created.v1",
            "task.started.v1",
            "workflow.correlation-started.v1",
            "task.completed.v1",
            "workflow.correlation-completed.v1",
            "workflow.completed.v1",
        ]
        pages, url = [], f"{URL}/{run_id}?limit=2"
        while url:
            page = await server.client.get(url)
            pages += page.json()
            url = page.links.get("next", {}).get("url", "")
        assert pages == whole.json()


async def test_what_has_no_document_here_lives_in_the_default_namespace(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        run_id = await one_run(server)
    async with serving(tmp_path, programs=()) as server:
        life = await server.client.get(f"{URL}/{run_id}")
        assert data_of(life, "workflow.started.v1")["definition"]["namespace"] == "default"


async def test_life_of_a_run_is_streamed(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        run_id = await one_run(server)
        headers = {"accept": "text/event-stream"}
        answer = await server.client.get(f"{URL}/{run_id}", headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        messages = [message.splitlines() for message in answer.text.split("\n\n") if "data: " in message]
        events = [json.loads(message[-1].removeprefix("data: ")) for message in messages]
        assert events == (await server.client.get(f"{URL}/{run_id}")).json()
        last = [message[0] for message in messages if message[0].startswith("id: ")][-2].removeprefix("id: ")
        rest = await server.client.get(f"{URL}/{run_id}", headers={**headers, "last-event-id": last})
        assert rest.text.count("data: ") == len([one for one in events if int(one["sequence"]) > int(last)]) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nobody", 404),
        ("/01900000-0000-7000-8000-000000000001", 404),
        ("/x?after=-1", 400),
        ("/x?limit=0", 400),
        ("/x?limit=many", 400),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_bad_request_for_a_life_is_a_problem(tmp_path: Path, path: str, status: int, accept: str) -> None:
    async with serving(tmp_path) as server:
        answer = await server.client.get(URL + path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")

"""A database that cannot be used for a while: every door answers 503 with `Retry-After`, and goes on by itself."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from workflows import Workflow, step
from workflows.events import StartEvent, StopEvent

from doors.kit.things import SetClock, client_of
from stepwell import App
from stepwell.settings import Settings
from stepwell.store.postgres import clocks, connection

from .nodes import PATIENCE_S, eventually, waits
from .own_server import own_server
from .server import execute, name_of, new_database
from .wire import Wire

Json = dict[str, Any]
EVENT = {"specversion": "1.0", "id": "1", "source": "/test", "type": "test"}
STEP = {"name": "ask", "type": "human_review", "inputs": {"prompt": "Go on?"}}
PIPELINE = {
    "id": "slow",
    "messageType": "kafka",
    "producerName": "none",
    "topic": "t",
    "pipeline": [{"stage": "a", "source": "none", "wait": "60m", "set": {"x": 1}}],
}
DOORS: dict[str, tuple[str, Json]] = {
    "agents": ("/api/v1/workflow-templates", {"name": "ask", "steps": [{"key": "ask", "type": "approval"}]}),
    "runs": ("/api/v1/workflow-definitions", {"name": "ask", "steps": [STEP]}),
    "devset": ("/engine/execute", PIPELINE),
    "llama": ("/workflows/greeting/run-nowait", {"start_event": {}}),
    "events": ("/api/v1/cloudevents", EVENT),
}
"""A request of each door that is on record once it is answered."""


class Greeting(Workflow):
    @step
    async def greet(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.get('name')}")


@asynccontextmanager
async def house(url: str, clock: SetClock) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    app = App(settings=Settings(db=url, idle_s=0.05, shutdown_grace_s=0.0), clock=clock)
    app.add_workflow("greeting", Greeting())
    app.add_workflow("waits", waits)
    async with client_of(app.asgi(), raising=True, base_url="http://localhost", timeout=PATIENCE_S) as client:
        yield app, client


async def _asked(client: httpx.AsyncClient, door: str) -> httpx.Response:
    path, body = DOORS[door]
    structured = {"content-type": "application/cloudevents+json"}
    return await client.post(path, json=body, headers=structured if door == "events" else {})


async def _check_doors(client: httpx.AsyncClient, sentence: str) -> None:
    """All of them refuse with this sentence, in their own shapes; with others until lost connections are noticed."""
    asks = {door: partial(_asked, client, door) for door in DOORS} | {"operations": partial(client.get, "/ready")}
    for door, ask in asks.items():
        await eventually(partial(_refuses, door, ask, sentence))


async def _refuses(door: str, ask: Callable[[], Awaitable[httpx.Response]], sentence: str) -> bool:
    answer = await ask()
    assert answer.status_code == 503, (door, answer.text)
    assert int(answer.headers["retry-after"]) >= 1, door
    return re.search(sentence, _SAID[door](answer)) is not None


_SAID: dict[str, Callable[[httpx.Response], str]] = {
    "agents": lambda answer: str(answer.json()["errors"][0]["message"]),
    "runs": lambda answer: str(answer.json()["details"]),
    "devset": lambda answer: str(answer.json()["message"]),
    "llama": lambda answer: answer.text,
    "events": lambda answer: str(answer.json()["detail"]),
    "operations": lambda answer: answer.text,
}


async def _goes_on(app: App, client: httpx.AsyncClient, run_id: str) -> None:
    """Requests are served again, and a run that waited through the trouble is driven to its end."""

    async def ready() -> bool:
        return (await client.get("/ready")).status_code == 200

    await eventually(ready)
    for door in DOORS:
        answer = await _asked(client, door)
        assert answer.is_success, (door, answer.text)
    await app.engine.signal(run_id, "go", 1)
    assert (await app.engine.result(run_id, timeout_s=PATIENCE_S)).output["data"]["data"] == 1


async def _until(happens: Callable[[], Awaitable[httpx.Response]]) -> None:
    async def refused() -> bool:
        return (await happens()).status_code == 503

    await eventually(refused)


async def test_database_that_is_made_read_only() -> None:
    url = new_database()
    name = name_of(url)
    async with house(url, SetClock()) as (app, client):
        run_id = (await app.engine.start("waits", 1)).run_id
        await execute(
            url,
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()",
        )
        await _until(lambda: client.get("/ready"))
        await _check_doors(client, "can only be read")
        assert (await client.get("/api/v1/workflow-runs")).status_code == 200  # what can be done is done
        await execute(url, "SET default_transaction_read_only = off", f"ALTER DATABASE {name} RESET ALL")
        await _goes_on(app, client, run_id)


async def test_clock_that_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "COMPARED_EVERY_S", 0.05)
    clock = SetClock()
    async with house(new_database(), clock) as (app, client):
        run_id = (await app.engine.start("waits", 1)).run_id
        clock.ahead_s = -3600
        await _until(lambda: client.get("/ready"))
        await _check_doors(client, "the clock of this machine is 3600 s behind the database's")
        clock.ahead_s = 0.0
        await _goes_on(app, client, run_id)


@pytest.mark.slow
async def test_network_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STATEMENT_TIMEOUT_S", 3.0)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 1.0)
    async with Wire(new_database()).laid() as wire, house(wire.url, SetClock()) as (app, client):
        run_id = (await app.engine.start("waits", 1)).run_id
        wire.cut()
        await _check_doors(client, "the database does not answer|PostgreSQL at .* does not answer")
        monkeypatch.undo()
        wire.mend()
        await _goes_on(app, client, run_id)


@pytest.mark.slow
async def test_server_that_is_stopped() -> None:
    with own_server() as server:
        async with house(server.url, SetClock()) as (app, client):
            run_id = (await app.engine.start("waits", 1)).run_id
            await asyncio.to_thread(server.control, "stop")
            await _check_doors(client, "cannot be reached")
            await asyncio.to_thread(server.control, "restart")  # with the options it had before
            await _goes_on(app, client, run_id)

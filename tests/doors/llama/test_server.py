"""`stepwell.llama.WorkflowServer` stands in for the original's class."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.core.errors import StepwellError
from stepwell.llama import WorkflowServer

from .classes import Ask, Echo, Reply, Tick


def new_server(folder: Path, **options: Any) -> WorkflowServer:
    server = WorkflowServer(db=f"sqlite:///{folder}/runs.db", **options)
    server.add_workflow("echo", Echo())
    server.add_workflow("ask", Ask(), additional_events=[Tick])
    return server


def client_of(server: WorkflowServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=server.app), base_url="http://127.0.0.1")


async def test_started_server_answers_without_a_socket(tmp_path: Path) -> None:
    server = new_server(tmp_path)
    async with server.contextmanager(), client_of(server) as client:
        ran = await client.post("/workflows/echo/run", json={"start_event": {"x": 7}})
        events = (await client.get("/workflows/ask/events")).json()["events"]

    assert ran.json()["result"] == 7
    assert "Tick" in [schema["title"] for schema in events]


async def test_run_waits_for_its_answer_across_two_servers(tmp_path: Path) -> None:
    first = new_server(tmp_path)
    async with first.contextmanager(), client_of(first) as client:
        handler_id = (await client.post("/workflows/ask/run-nowait", json={})).json()["handler_id"]
    second = new_server(tmp_path)
    async with second.contextmanager(), client_of(second) as client:
        event = {"type": Reply.__name__, "value": {"text": "yes"}}
        sent = await client.post(f"/events/{handler_id}", json={"event": event})
        run_id = (await client.get(f"/llama/results/{handler_id}")).json()["run_id"]
        ended = await second.stepwell.engine.result(run_id, timeout_s=20)

    assert sent.json() == {"status": "sent"}
    assert ended.output == "got yes"


async def test_middleware_stands_before_everything(tmp_path: Path) -> None:
    class Named:
        def __init__(self, app: ASGIApp, name: str) -> None:
            self.app, self.name = app, name

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(self.name)
            await self.app(scope, receive, send)

    seen: list[str] = []
    server = new_server(tmp_path, middleware=[Middleware(Named, name="first"), Middleware(Named, name="second")])
    async with server.contextmanager(), client_of(server) as client:
        seen.clear()
        await client.get("/health")

    assert seen == ["first", "second"]


async def test_it_serves_on_a_socket_until_it_is_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = new_server(tmp_path)
    serving = asyncio.create_task(server.serve("127.0.0.1", port, {"root_path": "", "log_level": "error"}))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        while (answer := await asked(client)) is None:
            assert not serving.done(), serving.result()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    assert answer.json() == {"status": "healthy"}


async def asked(client: httpx.AsyncClient) -> httpx.Response | None:
    """An answer; None while nobody listens."""
    try:
        return await client.get("/health")
    except httpx.ConnectError:
        await asyncio.sleep(0.01)
        return None


async def test_address_that_strangers_reach_is_refused_without_credentials(tmp_path: Path) -> None:
    with pytest.raises(StepwellError, match="make an API key first"):
        await new_server(tmp_path).serve("0.0.0.0", 0)


def test_what_the_original_kept_runs_with_is_taken_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="workflow_store is not used: runs are kept in Stepwell's database"):
        new_server(tmp_path, workflow_store=object())
    with pytest.raises(TypeError, match="takes no 'wrong'"):
        new_server(tmp_path, wrong=1)


def test_its_schema_is_that_of_the_door(tmp_path: Path) -> None:
    assert "/workflows/{name}/run" in new_server(tmp_path).openapi_schema()["paths"]

"""Live streams over HTTP at a node that does not drive the run: each tells what happens when it does, and the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from doors.served import UndisturbedServer, served
from stepwell import App
from stepwell.core.program import StepContext
from stepwell.settings import Settings

from .nodes import PATIENCE_S
from .server import new_database

PACK = {"action": "function", "function": "pack"}
RUNS = {"name": "Pack", "steps": [{"id": "pack", "type": "activity", "inputs": PACK}]}
AGENTS = {"name": "pack", "steps": [{"key": "pack", "type": "task", "config": PACK}]}


class Halfway(Event):
    pass


class Cluster:
    """A node that drives runs, and one that does not; `gate` is what their steps wait for."""

    def __init__(self, gate: asyncio.Event, driving: str, beside: str, client: httpx.AsyncClient) -> None:
        self.gate = gate
        self.driving = driving
        self.beside = beside
        self.client = client

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """To the node that drives."""
        return (await self.client.post(f"{self.driving}{path}", json=body, headers=headers)).raise_for_status().json()

    async def told(self, path: str, *, until: str) -> str:
        """What a stream of the other node sends: the gate is opened once it has sent this, and then it must end."""
        headers = {"Accept": "text/event-stream"}
        async with self.client.stream("GET", f"{self.beside}{path}", headers=headers) as stream:
            stream.raise_for_status()
            text = ""
            async for chunk in stream.aiter_text():
                text += chunk
                if not self.gate.is_set() and until in text:
                    self.gate.set()
        assert self.gate.is_set(), f"{until} is not in {text}"
        return text


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    url, gate = new_database(), asyncio.Event()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE_S))
        driving = await stack.enter_async_context(_node(url, gate, drive=True))
        beside = await stack.enter_async_context(_node(url, gate, drive=False))
        yield Cluster(gate, driving, beside, client)
        gate.set()


@asynccontextmanager
async def _node(url: str, gate: asyncio.Event, *, drive: bool) -> AsyncIterator[str]:
    app = App(settings=Settings(db=url), drive=drive)

    @app.function
    async def pack(context: StepContext) -> str:
        context.think("halfway")
        await gate.wait()
        return "packed"

    class Packing(Workflow):
        @step
        async def pack(self, ctx: Context, ev: StartEvent) -> StopEvent:  # noqa: ARG002  # what it starts with
            ctx.write_event_to_stream(Halfway())
            await gate.wait()
            return StopEvent(result="packed")

    app.add_workflow("packing", Packing())
    async with served(app.asgi(), server_type=UndisturbedServer) as served_at:
        yield served_at


async def test_stream_of_the_runs_api(cluster: Cluster) -> None:
    workflow = (await cluster.post("/api/v1/workflow-definitions", RUNS))["workflow"]["id"]
    run = await cluster.post("/api/v1/workflow-runs/execute", {"workflowId": workflow}, Prefer="respond-async")
    text = await cluster.told(f"/api/v1/workflow-runs/{run['workflowRun']['id']}/stream", until="event: thinking")
    assert "event: result" in text.split("event: thinking")[1]


async def test_event_log_of_the_agents_api(cluster: Cluster) -> None:
    template = (await cluster.post("/api/v1/workflow-templates", AGENTS))["id"]
    await cluster.post(f"/api/v1/workflow-templates/{template}/publish")
    run = await cluster.post("/api/v1/workflows", {"template_id": template, "input": {}})
    text = await cluster.told(f"/api/v1/workflows/{run['id']}/events", until="event: step.started")
    assert "event: run.completed" in text.split("event: step.started")[1]


async def test_events_of_the_llama_server(cluster: Cluster) -> None:
    handler = await cluster.post("/workflows/packing/run-nowait", {"start_event": {}})
    text = await cluster.told(f"/events/{handler['handler_id']}?sse=true", until="Halfway")
    assert '"result":"packed"' in text.split("Halfway", 1)[1]

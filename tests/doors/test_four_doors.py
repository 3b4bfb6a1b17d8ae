"""One core, four doors: a run started through one is seen, and can be cancelled, through all of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from workflows import Context, Workflow, step
from workflows.events import HumanResponseEvent, StartEvent, StopEvent

import stepwell
from stepwell.engine.ids import workflow_uuid
from stepwell.settings import Settings

from .served import served

Json = dict[str, Any]

PATIENCE_S = 60.0
TEMPLATE: Json = {"name": "ask", "steps": [{"key": "ask", "type": "approval", "config": {"prompt": "Go on?"}}]}
DEFINITION: Json = {
    "name": "ask",
    "steps": [{"name": "ask", "type": "human_review", "inputs": {"prompt": "Go on?"}}],
}
PIPELINE: Json = {
    "id": "slow",
    "messageType": "kafka",
    "producerName": "none",
    "topic": "t",
    "pipeline": [{"stage": "a", "source": "none", "wait": "60m", "set": {"x": 1}}],
}


class Greeting(Workflow):
    """Needs nobody."""

    @step
    async def greet(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.get('name')}")


class Name(StartEvent):
    name: str


class Named(Workflow):
    """Needs a name."""

    @step
    async def greet(self, ev: Name) -> StopEvent:
        return StopEvent(result=f"hello {ev.name}")


class Asking(Workflow):
    """Waits for somebody to answer."""

    @step
    async def ask(self, ctx: Context, _ev: StartEvent) -> StopEvent:
        answer = await ctx.wait_for_event(HumanResponseEvent)
        return StopEvent(result=str(answer))


async def made(client: httpx.AsyncClient, path: str, body: Json) -> Json:
    answer = await client.post(path, json=body)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
    found: Json = answer.json()
    return found


# --- starting: each gives the run's id ------------------------------------------------------------------------------


async def start_devset(client: httpx.AsyncClient) -> str:
    answer = await made(client, "/engine/execute", PIPELINE)
    return str(answer["runId"])


async def start_agents(client: httpx.AsyncClient) -> str:
    template = (await made(client, "/api/v1/workflow-templates", TEMPLATE))["id"]
    await made(client, f"/api/v1/workflow-templates/{template}/publish", {})
    return str((await made(client, "/api/v1/workflows", {"template_id": template, "input": {}}))["id"])


async def start_runs(client: httpx.AsyncClient) -> str:
    definition = (await made(client, "/api/v1/workflow-definitions", DEFINITION))["workflow"]["id"]
    body = {"workflowId": definition, "inputs": {}}
    answer = await client.post("/api/v1/workflow-runs/execute", json=body, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202, answer.text
    return answer.headers["x-workflow-run-id"]


async def start_llama(client: httpx.AsyncClient) -> str:
    handler = await made(client, "/workflows/asking/run-nowait", {"start_event": {}})
    return str(handler["run_id"])


# --- seeing and cancelling: by the run's id -------------------------------------------------------------------------


async def handler_of(client: httpx.AsyncClient, run_id: str) -> Json:
    handlers = (await client.get("/handlers")).json()["handlers"]
    (found,) = [handler for handler in handlers if handler["run_id"] == run_id]
    assert isinstance(found, dict)
    return found


async def devset_status(client: httpx.AsyncClient, run_id: str) -> str:
    listed = (await client.get("/engine/runs")).json()
    (run,) = [run for run in listed["active"] + listed["completed"] if run["runId"] == run_id]
    assert (await client.get(f"/engine/runs/{run_id}")).json()["runId"] == run_id
    return str(run["status"])


async def agents_status(client: httpx.AsyncClient, run_id: str) -> str:
    listed = [run["id"] for run in (await client.get("/api/v1/workflows")).json()["data"]]
    assert run_id in listed
    return str((await client.get(f"/api/v1/workflows/{run_id}")).json()["status"])


async def runs_status(client: httpx.AsyncClient, run_id: str) -> str:
    listed = (await client.get("/api/v1/workflow-runs")).json()["workflowRuns"]
    assert run_id in [run["id"] for run in listed]
    return str((await client.get(f"/api/v1/workflow-runs/{run_id}")).json()["workflowRun"]["status"])


async def llama_status(client: httpx.AsyncClient, run_id: str) -> str:
    handler = await handler_of(client, run_id)
    assert (await client.get(f"/llama/handlers/{handler['handler_id']}")).json()["run_id"] == run_id
    return str(handler["status"])


async def cancel_devset(client: httpx.AsyncClient, run_id: str) -> None:
    await made(client, f"/engine/runs/{run_id}/stop", {})


async def cancel_agents(client: httpx.AsyncClient, run_id: str) -> None:
    await made(client, f"/api/v1/workflows/{run_id}/cancel", {})


async def cancel_runs(client: httpx.AsyncClient, run_id: str) -> None:
    answer = await made(client, "/api/v1/workflow-runs/cancel", {"runIds": [run_id]})
    assert answer["results"][0]["status"] == "cancelled"


async def cancel_llama(client: httpx.AsyncClient, run_id: str) -> None:
    handler = await handler_of(client, run_id)
    await made(client, f"/handlers/{handler['handler_id']}/cancel", {})


START: dict[str, Callable[[httpx.AsyncClient], Awaitable[str]]] = {
    "devset": start_devset,
    "agents": start_agents,
    "runs": start_runs,
    "llama": start_llama,
}
STATUS: dict[str, Callable[[httpx.AsyncClient, str], Awaitable[str]]] = {
    "devset": devset_status,
    "agents": agents_status,
    "runs": runs_status,
    "llama": llama_status,
}
CANCEL: dict[str, Callable[[httpx.AsyncClient, str], Awaitable[None]]] = {
    "devset": cancel_devset,
    "agents": cancel_agents,
    "runs": cancel_runs,
    "llama": cancel_llama,
}


OPEN = {"pending", "running", "waiting", "waiting_approval", "awaiting_approval"}


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[stepwell.App, httpx.AsyncClient]]:
    app = stepwell.App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))
    app.add_workflow("asking", Asking(timeout=None))
    app.add_workflow("greeting", Greeting())
    app.add_workflow("named", Named())
    async with (
        app,
        served(app.asgi(), end_streams=app.engine.watchers.close) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client,
    ):
        yield app, client


@pytest.mark.parametrize("cancelled_by", CANCEL)
@pytest.mark.parametrize("started_by", START)
async def test_a_run_of_one_door_is_seen_and_cancelled_through_another(
    started_by: str, cancelled_by: str, house: tuple[stepwell.App, httpx.AsyncClient]
) -> None:
    app, client = house
    run_id = await START[started_by](client)
    before = {door: await status(client, run_id) for door, status in STATUS.items()}
    await CANCEL[cancelled_by](client, run_id)
    await app.engine.result(run_id, timeout_s=PATIENCE_S)
    after = {door: await status(client, run_id) for door, status in STATUS.items()}
    assert (before["devset"], before["llama"]) == ("RUNNING", "running")
    assert {before["agents"], before["runs"]} <= OPEN
    assert after == {"devset": "STOPPED", "agents": "cancelled", "runs": "cancelled", "llama": "cancelled"}


async def test_a_hosted_class_can_be_started_through_the_doors_of_documents(
    house: tuple[stepwell.App, httpx.AsyncClient],
) -> None:
    app, client = house
    id = workflow_uuid("greeting")
    executed = await made(client, "/api/v1/workflow-runs/execute", {"workflowId": id, "inputs": {"name": "Ann"}})
    assert (executed["workflowRun"]["status"], executed["workflowRun"]["outputs"]) == ("completed", "hello Ann")
    begun = await made(client, "/api/v1/workflows", {"template_id": id, "input": {"name": "Eve"}})
    assert (await app.engine.result(begun["id"], timeout_s=PATIENCE_S)).output == "hello Eve"


@pytest.mark.parametrize(
    ("input", "at"),
    [({}, "name"), ({"name": 5}, "name"), ({"name": "Ann", "__context__": {"version": 99}}, "__context__")],
)
async def test_a_hosted_class_is_started_with_what_it_takes_or_not_at_all(
    house: tuple[stepwell.App, httpx.AsyncClient], input: Json, at: str
) -> None:
    _, client = house
    id = workflow_uuid("named")
    executed = await client.post("/api/v1/workflow-runs/execute", json={"workflowId": id, "inputs": input})
    begun = await client.post("/api/v1/workflows", json={"template_id": id, "input": input})
    assert (executed.status_code, [one["path"] for one in executed.json()["details"]]) == (400, [f"inputs.{at}"])
    assert (begun.status_code, f"input.{at}" in begun.text) == (422, True)
    assert (await client.get("/api/v1/workflow-runs")).json()["workflowRuns"] == []


async def test_steps_of_a_hosted_class_show_what_they_returned_through_every_door(
    house: tuple[stepwell.App, httpx.AsyncClient],
) -> None:
    _, client = house
    run_id = (await made(client, "/workflows/greeting/run", {"start_event": {"name": "Ann"}}))["run_id"]
    (activity,) = (await client.get(f"/api/v1/workflow-runs/{run_id}")).json()["workflowRun"]["activityRuns"]
    run = (await client.get(f"/api/v1/workflows/{run_id}")).json()
    returned = {"result": "hello Ann"}
    assert (activity["stepName"], activity["outputs"]) == ("greet", returned)
    assert [step["output"] for step in run["steps"]] == [returned]
    assert list(run["context"].values()) == [returned]

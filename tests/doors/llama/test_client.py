"""The published client of the newest server, with nothing but a `base_url`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from llama_agents.client import WorkflowClient
from workflows.events import StartEvent

from .classes import Greeting, Reply
from .door import opened
from .test_typed import new_app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowClient]:
    async with opened(new_app(tmp_path_factory.mktemp("client"))) as door:
        yield WorkflowClient(base_url=f"{door.client.base_url}/llama")


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def stream(client: WorkflowClient, handler_id: str, **options: Any) -> list[str]:
    """The types of all events."""
    return [event.type async for event in client.get_workflow_events(handler_id, **options)]


async def test_workflows_are_found_and_described(client: WorkflowClient) -> None:
    graph = (await client.get_workflow_graph("ask")).graph

    assert (await client.is_healthy()).status == "healthy"
    assert "greet" in (await client.list_workflows()).workflows
    assert (await client.get_workflow_schema("greet")).start["title"] == "Greeting"
    assert len((await client.get_workflow_events_schema("greet")).events) == 2
    assert {node.id for node in graph.nodes} >= {"ask", "end", "Question", "Reply"}


async def test_run_is_started_with_an_event_a_dict_or_nothing(client: WorkflowClient) -> None:
    greeted = await client.run_workflow("greet", start_event=Greeting(name="Bo"))
    echoed = await client.run_workflow("echo", start_event={"x": 5})
    nothing = await client.run_workflow("echo")
    typed = await client.run_workflow_nowait("echo", start_event=StartEvent.model_validate({"x": 6}))
    waited = await client.wait_for_handler(typed.handler_id, timeout=20)

    assert greeted.result is not None
    assert greeted.result.value == {"text": "hello Bo"}
    assert echoed.result is not None
    assert echoed.result.value == {"result": 5}
    assert nothing.status == waited.status == "completed"


async def test_events_are_streamed_live_late_and_from_a_number(client: WorkflowClient) -> None:
    handler = await client.run_workflow_nowait("ticks", start_event={"count": 3})
    live = await stream(client, handler.handler_id)
    late = await stream(client, handler.handler_id)
    behind = await stream(client, handler.handler_id, after_sequence=2)

    assert live == late == ["Tick", "Tick", "Tick", "StopEvent"]
    assert behind == ["Tick", "StopEvent"]


async def test_person_answers_and_the_run_completes(client: WorkflowClient) -> None:
    handler = await client.run_workflow_nowait("ask")
    events = aiter(client.get_workflow_events(handler.handler_id))
    asked = await anext(events)
    sent = await client.send_event(handler.handler_id, Reply(text="yes"), step="end")
    rest = [event.type async for event in events]

    assert asked.type == "Question"
    assert sent.status == "sent"
    assert rest == ["StopEvent"]
    assert (await client.get_result(handler.handler_id)).status == "completed"


async def test_run_goes_on_by_its_handler_id(client: WorkflowClient) -> None:
    first = await client.run_workflow("count")
    second = await client.run_workflow("count", handler_id=first.handler_id)

    assert second.handler_id == first.handler_id
    assert second.result is not None
    assert second.result.value == {"result": 2}


async def test_handlers_are_listed_cancelled_and_purged(client: WorkflowClient) -> None:
    handler = await client.run_workflow_nowait("ask")
    running = await client.get_handlers(status=["running"], workflow_name=["ask"])
    cancelled = await client.cancel_handler(handler.handler_id)
    purged = await client.cancel_handler(handler.handler_id, purge=True)

    assert handler.handler_id in {one.handler_id for one in running.handlers}
    assert (cancelled.status, purged.status) == ("cancelled", "deleted")

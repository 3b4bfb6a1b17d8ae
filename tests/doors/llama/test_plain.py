"""Flows, pipelines and programs through the llama door: listed, described, run, watched, answered."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from stepwell.brokers.port import Delivery
from stepwell.doors.llama.envelopes import plain_events
from stepwell.engine.watching import Seen
from stepwell.programs.pipeline.reporting import Batch, Counts, Item, Sent
from stepwell.store.model import StreamItem

from .door import SHOUT, Door, new_app, opened


@pytest_asyncio.fixture(params=["", "/llama"], ids=["root", "new"])
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(new_app(tmp_path), request.param) as found:
        yield found


async def test_every_workflow_is_listed_by_its_name(door: Door) -> None:
    await door.client.post("/engine/execute", json=SHOUT)

    assert (await door.get("/workflows")).json() == {"workflows": ["say", "fail", "ask", "hear", "hello", "shout"]}


async def test_start_schema_is_that_of_the_input(door: Door) -> None:
    schemas = (await door.get("/workflows/hello/schema")).json()

    assert schemas["start"] == {
        "title": "StartEvent",
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    }
    assert schemas["stop"]["title"] == "StopEvent"


async def test_events_are_those_that_a_run_shows_and_takes(door: Door) -> None:
    found = (await door.get("/workflows/hear/events")).json()["events"]
    names = [schema["title"] for schema in found]

    assert names in (sorted(names), ["StartEvent", *sorted(set(names) - {"StartEvent"})])
    assert {"StartEvent", "StopEvent", "ApprovalRequested", "ApprovalResponse", "com.example.paid"} <= set(names)


async def test_graph_has_a_node_for_every_task(door: Door) -> None:
    graph = (await door.get("/workflows/hello/representation")).json()["graph"]

    assert [(node["node_type"], node["label"]) for node in graph["nodes"]] == [
        ("event", "StartEvent"),
        ("step", "greet"),
        ("event", "StopEvent"),
    ]
    ways = [(edge["source"], edge["target"]) for edge in graph["edges"]]
    assert ways == [("StartEvent", "n0"), ("n0", "StopEvent")]


async def test_graph_of_a_pipeline_has_its_stages(door: Door) -> None:
    await door.client.post("/engine/execute", json=SHOUT)
    graph = (await door.get("/workflows/shout/representation")).json()["graph"]

    assert [node["label"] for node in graph["nodes"]] == ["StartEvent", "a", "StopEvent"]


@pytest.mark.parametrize(
    "start",
    [{"name": "Bo"}, '{"name": "Bo"}', {"type": "StartEvent", "value": {"name": "Bo"}}],
    ids=["fields", "text", "envelope"],
)
async def test_flow_runs_with_its_output_as_the_result(door: Door, start: object) -> None:
    answer = await door.run("hello", {"start_event": start})
    result = answer.json()["result"]

    assert answer.status_code == 200
    assert (result if door.prefix == "" else result["value"]["result"]) == {"text": "hello Bo"}
    assert answer.json()["status"] == "completed"


async def test_input_that_is_not_of_the_schema_is_refused(door: Door) -> None:
    answer = await door.run("hello", {})

    assert answer.status_code == 400
    assert "'name' is a required property" in answer.text


async def test_pipeline_runs_no_more_executions_than_the_server_allows(door: Door) -> None:
    await door.client.post("/engine/execute", json=SHOUT)
    answer = await door.run("shout", {"start_event": {"executions": 10_000_001}})

    assert (answer.status_code, "executions must be" in answer.text) == (400, True)


async def test_what_steps_say_is_on_the_stream(door: Door) -> None:
    handler_id = await door.start("say", text="x")
    events = await door.events(handler_id)

    assert [(event["type"], event["value"].get("data")) for event in events[:-1]] == [
        ("Thinking", "well"),
        ("Progress", 0.5),
        ("Item", {"said": 1}),
    ]
    assert (events[-1]["type"], events[-1]["value"]) == ("StopEvent", {"result": "x"})


def test_each_message_of_a_pipeline_is_an_event() -> None:
    sent = [Sent(execution=1, n=n, stage="a", payload={"x": n}) for n in (1, 2)]
    batch = Batch(delivery=Delivery(topic="t", partition=0, offset=3), count=2, at=1.0)
    data = msgspec.to_builtins(Item(counts=Counts(messages=2), messages=sent, batches=[batch]))
    item = StreamItem(type="item", data=data, key="range", n=1)

    events = [seen.envelope for seen in plain_events(Seen(seq=3, item_number=1, item=item), None)]

    assert [(event.type, event.value["stage"], event.value["payload"]) for event in events] == [
        ("Message", "a", {"x": 1}),
        ("Message", "a", {"x": 2}),
    ]


async def test_person_answers_an_approval_with_an_event(door: Door) -> None:
    handler_id = await door.start("ask")
    refused = await door.post(f"/events/{handler_id}", {"event": {"type": "ApprovalResponse", "value": {}}})
    async with door.client.stream("GET", f"{door.prefix}/events/{handler_id}?after_sequence=-1&sse=false") as stream:
        asked = await anext(stream.aiter_lines())
    event = {"type": "ApprovalResponse", "value": {"approved": True, "comment": "go"}}
    sent = await door.post(f"/events/{handler_id}", {"event": event})
    ended = await door.ended(handler_id)

    assert refused.status_code == 400
    assert '"ApprovalRequested"' in asked
    assert (sent.status_code, sent.json()) == (200, {"status": "sent"})
    assert ended.json()["result"] == {"decision": "approved", "comment": "go", "data": None}


async def test_flow_that_listens_takes_the_event_of_its_type(door: Door) -> None:
    handler_id = await door.start("hear")
    await door.post(f"/events/{handler_id}", {"event": {"type": "com.example.paid", "value": {"n": 1}}})
    ended = await door.ended(handler_id)

    assert ended.json()["result"] == [{"n": 1}]


async def test_run_of_another_door_is_a_handler_too(door: Door) -> None:
    started = await door.app.engine.start("say", {"text": "x"}, door="runs")
    await door.app.engine.result(started.run_id, timeout_s=20)
    listed = (await door.get("/handlers")).json()["handlers"]
    by_alias = await door.get(f"/results/{listed[0]['handler_id']}")
    by_id = await door.get(f"/results/{started.run_id}")

    assert [(one["run_id"], len(one["handler_id"])) for one in listed] == [(started.run_id, 10)]
    assert by_alias.json()["run_id"] == by_id.json()["run_id"] == started.run_id
    assert by_alias.json()["result"] == "x"

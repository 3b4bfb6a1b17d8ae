"""What is wrong with a request, in the words and the shape of this API."""

from pathlib import Path
from typing import Any

import pytest

from .house import House, housed, pipeline

PREFIXES = ("/engine", "/api/engine")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("operation", ["execute", "simulate"])
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "expected a workflow as JSON, found an empty body"),
        (b'{"id": ', 400, "expected"),
        (b"\xff\xfe", 400, "expected JSON in UTF-8"),
        (b"[1]", 400, "workflow must be an object (got [1])"),
        (b'{"id": 1}', 400, "id must be a text (got 1)"),
        (b"{}", 400, "id must not be blank"),
        (b'{"id": "a", "id": "b"}', 400, ""),
    ],
)
async def test_a_body_that_is_no_pipeline(
    house: House, prefix: str, operation: str, body: bytes, status: int, said: str
) -> None:
    answer = await house.client.post(
        f"{prefix}/{operation}", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
    assert said in answer.json()["message"]


async def test_every_fault_has_its_pointer_and_line(house: House) -> None:
    text = '{"id": "a",\n "producerName": "p",\n "pipeline": [\n  {"stage": "s", "wait": "soon",\n   "emit": 1}]}'
    answer = await house.client.post("/engine/simulate", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "emit must be boolean or object",
        "errors": [
            {"path": "/pipeline/0/emit", "line": 5, "message": "emit must be boolean or object"},
            {"path": "/pipeline/0/wait", "line": 4, "message": "Unsupported wait duration: soon"},
        ],
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/engine/runs/nowhere", 404, "Workflow run not found: nowhere"),
        ("GET", "/engine/runs/nowhere/events", 404, "Workflow run not found: nowhere"),
        ("POST", "/engine/runs/nowhere/stop", 404, "Workflow run not found: nowhere"),
        ("GET", "/engine/runs/01a2027e-7f3a-7ac3-ab2b-b93018305a63", 404, "Workflow run not found: 01a2"),
        ("GET", "/engine/nowhere", 404, ""),
        ("GET", "/engine/execute", 405, ""),
        ("DELETE", "/engine/runs", 405, ""),
        ("GET", "/engine/runs?limit=0", 400, "limit"),
        ("GET", "/engine/runs?limit=many", 400, "limit"),
        ("POST", "/engine/simulate?executions=0", 400, "executions"),
        ("DELETE", "/connectors/configurations/kafka/nobody", 404, "Kafka connector not found: nobody"),
        ("DELETE", "/connectors/configurations/rabbit/nobody", 404, "RabbitMQ connector not found: nobody"),
        ("DELETE", "/api/db/connectors/configurations/csv/nobody", 404, "CSV connector not found: nobody"),
        ("DELETE", "/api/schemas/nothing", 404, "Schema not found: nothing"),
        ("GET", "/api/workflows/nothing", 404, "Workflow not found: nothing"),
        ("DELETE", "/api/workflows/nothing", 404, "Workflow not found: nothing"),
    ],
)
async def test_what_is_not_there(house: House, method: str, path: str, status: int, said: str) -> None:
    body: Any = pipeline({}) if method == "POST" else None
    answer = await house.client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert said in answer.json()["message"]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_another_media_type_is_refused(house: House, prefix: str) -> None:
    answer = await house.client.post(
        f"{prefix}/execute", content="id: a", headers={"content-type": "application/yaml"}
    )
    assert (answer.status_code, answer.headers["accept"]) == (415, "application/json")
    assert "application/json" in answer.json()["message"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"topic": None}, "topic must not be blank"),
        (
            {"messageType": "rabbit", "topic": None},
            "For rabbit workflow, provide topic (queue), routingKey or exchange",
        ),
    ],
)
async def test_a_run_needs_somewhere_to_send_to(house: House, more: dict[str, Any], said: str) -> None:
    answer = await house.client.post("/engine/execute", json=pipeline({}, **more))
    mistake = {"path": "/topic", "line": 1, "message": said}
    assert (answer.status_code, answer.json()) == (400, {"message": said, "errors": [mistake]})


async def test_a_run_of_too_many_executions_is_told_where_it_says_so(tmp_path: Path) -> None:
    async with housed(tmp_path, max_executions_per_run=10) as house:
        answer = await house.client.post("/engine/execute", json=pipeline({}, executions=11))
        assert answer.status_code == 400
        (mistake,) = answer.json()["errors"]
        assert mistake == {"path": "/executions", "line": 1, "message": "executions must be <= 10"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"topic": " "}, "Missing config 'topic' for step: s1-1-send"),
        (
            {"messageType": "rabbit", "topic": None},
            "Rabbit send requires topic (queue), routingKey or exchange for step: s1-1-send",
        ),
    ],
)
async def test_a_simulation_says_it_at_the_stage_that_emits(house: House, more: dict[str, Any], said: str) -> None:
    answer = await house.client.post("/engine/simulate", json=pipeline({}, **more))
    assert (answer.status_code, answer.json()) == (400, {"message": said})
    silent = pipeline({"emit": False}, **more)
    assert (await house.client.post("/engine/simulate", json=silent)).status_code == 200


async def test_a_producer_that_nobody_configured_fails_every_execution(house: House) -> None:
    run_id = await house.execute(pipeline({}, producerName="other", executions=3))
    run = await house.ended(run_id)
    assert (run["status"], run["failedExecutions"]) == ("FAILED", 3)
    assert run["errorMessage"] == "Producer not found: other"
    rabbit = await house.execute(pipeline({}, producerName="other", messageType="rabbit"))
    assert (await house.ended(rabbit))["errorMessage"] == "RabbitMQ producer not found: other"


async def test_a_failed_simulation_shows_what_came_before_to_who_asks(house: House) -> None:
    document = pipeline({"set": {"a": 1}}, {"set": {"b": {"$ref": "nothing"}}})
    said = "State path not found: state.nothing"
    answer = await house.client.post("/engine/simulate", json=document)
    assert (answer.status_code, answer.json()) == (400, {"message": said})
    partial = await house.client.post("/engine/simulate?executions=2&partial=true", json=document)
    event = {"stageName": "s1", "header": {}, "payload": {"a": 1}}
    group = {"executionIndex": 1, "eventCount": 1, "events": [event]}
    assert (partial.status_code, partial.json()) == (400, {"message": said, "executions": [group]})

"""Streaming execution over real HTTP: every event of the API, their order, their ids, and coming back."""

import asyncio
from random import Random
from typing import Any

import httpx
import pytest

from stepwell.core.status import Status

from .serving import (
    NOBODY,
    RUNS,
    House,
    Sent,
    details_of,
    heard,
    json_of,
    listening,
    parse_events,
    review,
    step,
    without_pings,
)


async def stream_of(house: House, workflow_id: str, **more: Any) -> list[Sent]:
    """All messages of a streaming execution."""
    body = {"workflowId": workflow_id, **more}
    async with listening(house, "POST", f"{RUNS}/execute/stream", json=body) as stream:
        return await stream.whole()


def shorter(message: Sent) -> tuple[Any, ...]:
    """A message as tests compare it."""
    content = message.data.get("content")
    match message.event:
        case "activity-run":
            return (content["stepId"], content["attempt"], content["status"])
        case "workflow-run":
            return ("run", content["status"])
        case "thinking":
            return ("thinking", content)
        case _:
            return (message.event,)


async def test_every_event_of_a_run_is_told_in_its_order(house: House) -> None:
    id = await house.define(
        step("flaky", id="try", name="Try"),
        step("think", {"texts": ["hm", "ah"]}, id="muse"),
        name="Story",
    )
    async with listening(house, "POST", f"{RUNS}/execute/stream", json={"workflowId": id}) as stream:
        response = stream.response
        messages = await stream.whole()
        assert stream.text.startswith("retry: 3000\n\nevent: workflow-run\nid: ")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    run_id = response.headers["x-workflow-run-id"]
    assert [shorter(message) for message in messages] == [
        ("run", "scheduled"),
        ("run", "running"),
        ("try", 1, "running"),
        ("try", 1, "failed"),
        ("try", 2, "running"),
        ("try", 2, "failed"),
        ("try", 3, "running"),
        ("try", 3, "completed"),
        ("muse", 1, "running"),
        ("thinking", "hm"),
        ("thinking", "ah"),
        ("muse", 1, "completed"),
        ("run", "completed"),
        ("result",),
    ]
    run = await house.get(run_id)
    ids = {(one["stepId"], one["attempt"]): one["id"] for one in run["activityRuns"]}
    assert messages[0].data == {"content": {"workflowRunId": run_id, "status": "scheduled", "workflowId": id}}
    assert messages[3].data == {
        "content": {
            "workflowRunId": run_id,
            "status": "failed",
            "activityRunId": ids["try", 1],
            "stepId": "try",
            "stepName": "Try",
            "attempt": 1,
            "error": "busy 1",
        }
    }
    assert messages[9].data == {"content": "hm", "stepId": "muse", "activityRunId": ids["muse", 1], "seq": 1}
    assert messages[-1].data == {"success": True, "workflowRun": run}
    seen = [message.id for message in messages]
    assert all(seen)
    assert len(set(seen)) == len(seen)


async def test_failed_run_ends_with_an_error(house: House) -> None:
    id = await house.define(step("fail", {"text": "no rope left"}))
    messages = await stream_of(house, id)
    run_id = messages[0].data["content"]["workflowRunId"]
    assert [shorter(message) for message in messages][-3:] == [
        ("work", 1, "failed"),
        ("run", "failed"),
        ("error",),
    ]
    assert messages[-2].data["content"]["reason"] == "no rope left"
    assert messages[-1].data == {
        "error": "Workflow run failed",
        "details": "no rope left",
        "workflowRunId": run_id,
        "code": "out-of-stock",
    }


async def test_cancelled_run_ends_with_an_error(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    async with listening(house, "POST", f"{RUNS}/execute/stream", json={"workflowId": id}) as stream:
        run_id = stream.response.headers["x-workflow-run-id"]
        await house.gates.reached("a")
        await house.client.post(f"{RUNS}/cancel", json={"runIds": [run_id], "reason": "too late"})
        messages = await stream.whole()
    assert [shorter(message) for message in messages][-3:] == [
        ("work", 1, "cancelled"),
        ("run", "cancelled"),
        ("error",),
    ]
    assert messages[-2].data["content"]["reason"] == "too late"
    assert messages[-1].data == {
        "error": "Workflow run cancelled",
        "details": "too late",
        "workflowRunId": run_id,
        "code": "cancelled",
    }


async def test_waiting_does_not_end_a_stream(house: House) -> None:
    id = await house.define(review(), step("add", {"a": 1, "b": 2}, id="add"))
    async with listening(house, "POST", f"{RUNS}/execute/stream", json={"workflowId": id}) as stream:
        run_id = stream.response.headers["x-workflow-run-id"]
        await house.until(run_id, Status.WAITING)
        (form,) = json_of(await house.client.get("/api/v1/user-forms"))["userForms"]
        await house.client.post(f"/api/v1/user-forms/{form['id']}/submit", json={"action": "approve"})
        messages = await stream.whole()
    assert [shorter(message) for message in messages] == [
        ("run", "scheduled"),
        ("run", "running"),
        ("review", 1, "waiting"),
        ("run", "waiting"),
        ("review", 1, "completed"),
        ("run", "running"),
        ("add", 1, "running"),
        ("add", 1, "completed"),
        ("run", "completed"),
        ("result",),
    ]
    assert messages[3].data["content"]["reason"] == "approval"


@pytest.mark.slow
async def test_ping_comes_every_nine_seconds_also_while_the_run_waits(house: House) -> None:
    id = await house.define(review())
    async with listening(house, "POST", f"{RUNS}/execute/stream", json={"workflowId": id}) as stream:
        loop = asyncio.get_running_loop()
        began = loop.time()
        messages = await stream.until("ping")
        took_s = loop.time() - began
    assert messages[-1] == Sent("ping", {"content": "ping"}, "")
    assert 8.5 < took_s < 12
    assert [message.event for message in messages].count("ping") == 1


async def test_steps_inside_others_have_activity_runs_of_their_own(house: House) -> None:
    each = {
        "id": "each",
        "name": "Each",
        "type": "foreach",
        "inputs": {
            "items": "{{ inputs.items }}",
            "steps": [step("add", {"a": "{{ item }}", "b": 1}, id="plus")],
            "max_parallel": 1,
        },
    }
    skip = step("echo", {"value": 1}, id="never", condition="false")
    id = await house.define(each, skip, inputs=[{"name": "items", "type": "array"}])
    messages = await stream_of(house, id, inputs={"items": [10, 20]})
    assert [shorter(message) for message in messages if message.event == "activity-run"] == [
        ("each", 1, "running"),
        ("each@0/plus", 1, "running"),
        ("each@0/plus", 1, "completed"),
        ("each@1/plus", 1, "running"),
        ("each@1/plus", 1, "completed"),
        ("each", 1, "completed"),
    ]
    same_as_shown(messages)


def same_as_shown(messages: list[Sent]) -> None:
    """What the stream has told of activities at its end is what the run shows."""
    told = {
        message.data["content"]["activityRunId"]: message.data["content"]["status"]
        for message in messages
        if message.event == "activity-run"
    }
    shown = messages[-1].data["workflowRun"]["activityRuns"]
    assert told == {one["id"]: one["status"] for one in shown}


async def test_what_a_stream_tells_is_what_the_run_shows(house: House) -> None:
    steps = [
        step("flaky", id="try"),
        step("fail", {"text": "never mind"}, id="bad", onError="continue"),
        {"id": "nap", "type": "wait", "inputs": {"seconds": 0.01}},
        {"id": "choose", "type": "condition", "inputs": {"if": "true", "then": ["yes"], "else": ["no"]}},
        step("add", {"a": 1, "b": 1}, id="yes"),
        step("add", {"a": 1, "b": 2}, id="no"),
        {"id": "child", "type": "subworkflow", "inputs": {"workflow_id": "", "input": {}}},
    ]
    steps[-1]["inputs"]["workflow_id"] = await house.define(step("add", {"a": 2, "b": 3}), name="Child")
    messages = await stream_of(house, await house.define(*steps))
    assert messages[-1].event == "result"
    same_as_shown(messages)


# --- coming back ----------------------------------------------------------------------------------------------------


async def _long_run(house: House) -> tuple[str, list[Sent]]:
    """A run with many messages, and all of them."""
    thinker = step("think", {"texts": [f"thought {n}" for n in range(30)]}, id="muse")
    id = await house.define(step("flaky", id="try"), thinker, step("echo", {"value": 1}, id="end"))
    run_id = (await house.run(id))["id"]
    messages = await heard(house, run_id)
    assert len(messages) > 40
    return run_id, messages


async def test_whoever_comes_back_misses_nothing_and_sees_nothing_twice(house: House) -> None:
    run_id, messages = await _long_run(house)
    for number in range(len(messages) - 1):
        assert await heard(house, run_id, messages[number].id) == messages[number + 1 :]


async def test_whoever_has_had_the_last_message_gets_none(house: House) -> None:
    run_id, messages = await _long_run(house)
    headers = {"Last-Event-ID": messages[-1].id}
    answer = await house.client.get(f"{RUNS}/{run_id}/stream", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_random_cuts_of_a_running_stream_leave_no_gap_and_no_repeat(house: House) -> None:
    rng = Random(5)
    gates = [step("gate", {"name": f"g{n}"}, id=f"g{n}") for n in range(6)]
    thoughts = [step("think", {"texts": ["a", "b", "c"]}, id=f"t{n}") for n in range(6)]
    id = await house.define(*(one for pair in zip(gates, thoughts, strict=True) for one in pair))
    run_id = await house.begin(id)

    async def open_gates() -> None:
        for n in range(6):
            await house.gates.reached(f"g{n}")
            house.gates.open(f"g{n}")

    opening = asyncio.create_task(open_gates())
    got: list[Sent] = []
    while not got or got[-1].event not in ("result", "error"):
        headers = {"Last-Event-ID": got[-1].id} if got else {}
        async with listening(house, "GET", f"{RUNS}/{run_id}/stream", headers=headers) as stream:
            wanted = rng.randint(1, 7)
            while len(new := without_pings(parse_events(stream.text))) < wanted:
                chunk = await anext(stream._chunks, None)
                if chunk is None:
                    break
                stream.text += chunk
            got += new[:wanted] if len(new) >= wanted else without_pings(parse_events(stream.text))
    await opening
    assert got == await heard(house, run_id)


async def test_stream_of_a_run_that_is_retried_goes_on(house: House) -> None:
    id = await house.define(step("fail", {"text": "no"}), name="Fails")
    run_id = (await house.run(id))["id"]
    first = await heard(house, run_id)
    await house.app.engine.retry(run_id)
    await house.app.engine.result(run_id, timeout_s=10)
    again = await heard(house, run_id, first[-1].id)
    assert [shorter(message) for message in again] == [
        ("run", "scheduled"),
        ("run", "running"),
        ("work", 2, "running"),
        ("work", 2, "failed"),
        ("run", "failed"),
        ("error",),
    ]


@pytest.mark.parametrize("id", ["x", "-1.0", "1", "1.2.3.4", "1.2.end.3", "1" * 20 + ".0"])
async def test_id_that_is_none_of_ours_is_refused(house: House, id: str) -> None:
    run_id, _ = await _long_run(house)
    answer = await house.client.get(f"{RUNS}/{run_id}/stream", headers={"Last-Event-ID": id})
    assert "expected the id of a message like 17.3" in details_of(answer)["Last-Event-ID"]


async def test_id_beyond_the_end_is_the_end(house: House) -> None:
    run_id, messages = await _long_run(house)
    assert [message.event for message in await heard(house, run_id, "999.999")] == ["result"]
    assert messages[-1].event == "result"


@pytest.mark.parametrize("run_id", [NOBODY, "x", "execute"])
async def test_stream_of_a_run_that_is_not_there_is_not_found(house: House, run_id: str) -> None:
    answer = await house.client.get(f"{RUNS}/{run_id}/stream")
    assert (answer.status_code, answer.json()["error"]) == (404, "Not found")


# --- clients that go away, or do not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "status"), [("continue", "completed"), ("cancel", "cancelled")])
async def test_client_that_closes_its_stream_decides_beforehand_what_becomes_of_the_run(
    house: House, asked: str, status: str
) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    body = {"workflowId": id, "onDisconnect": asked}
    async with (
        httpx.AsyncClient(base_url=house.url) as client,
        listening(house, "POST", f"{RUNS}/execute/stream", client=client, json=body) as stream,
    ):
        run_id = stream.response.headers["x-workflow-run-id"]
        await house.gates.reached("a")
    if asked == "continue":
        house.gates.open("a")
    assert (await house.ended(run_id))["status"] == status


async def test_stream_that_is_read_to_its_end_cancels_nothing(house: House) -> None:
    id = await house.define(step("echo", {"value": 1}))
    messages = await stream_of(house, id, onDisconnect="cancel")
    assert messages[-1].event == "result"


async def test_client_that_does_not_read_delays_no_other_run_and_misses_nothing(house: House) -> None:
    id = await house.define(step("ponder", {"times": 800, "size": 20_000}))
    body = b'{"workflowId": "%s"}' % id.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]), limit=1024)
    head = f"POST {RUNS}/execute/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    await reader.readuntil(b"\r\n\r\n")
    (run,) = json_of(await house.client.get(RUNS))["workflowRuns"]
    assert (await house.ended(run["id"]))["status"] == "completed"
    assert (await house.run(await house.define(step("add", {"a": 1, "b": 1}))))["outputs"] == 2
    unread = (await reader.read()).decode()
    writer.close()
    assert [line for line in unread.split("\n") if line.startswith('data: {"content":"799 ')]
    assert unread.count("event: thinking") == 800
    assert unread.count("event: result") == 1


async def test_streams_end_when_the_server_stops(house: House) -> None:
    id = await house.define(review())
    async with listening(house, "POST", f"{RUNS}/execute/stream", json={"workflowId": id}) as stream:
        await stream.until("activity-run")
        house.app.engine.watchers.close()
        messages = await stream.whole()
    assert not [message for message in messages if message.event in ("result", "error")]

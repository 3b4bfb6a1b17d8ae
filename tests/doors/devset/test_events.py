"""The messages of a run: whole, by page, and as they are acknowledged."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from stepwell.brokers.port import Outgoing, Settled

from .house import ONE, House, pipeline
from .recording import RecordingBroker


@pytest.fixture
async def run_id(house: House) -> str:
    """A run of 1,200 executions with a message each, in their order."""
    run_id = await house.execute(pipeline({"set": {"n": 1}}, executions=1_200))
    await house.ended(run_id)
    return run_id


async def test_all_messages_are_there_by_execution(house: House, run_id: str) -> None:
    found = await house.events(run_id)
    assert (found["runId"], found["status"], found["executionCount"]) == (run_id, "COMPLETED", 1_200)
    assert [group["executionIndex"] for group in found["executions"]] == list(range(1, 1_201))
    assert found["executions"][0] == {
        "executionIndex": 1,
        "eventCount": 1,
        "events": [{"stageName": "s1", "header": {}, "payload": {"n": 1}}],
    }
    assert "next" not in found


@pytest.mark.parametrize("limit", [1, 499, 500, 501, 1_199, 1_200, 5_000])
async def test_pages_follow_each_other_without_gap(house: House, run_id: str, limit: int) -> None:
    since, seen = 0, []
    while since is not None:
        page = await house.events(run_id, since=since, limit=limit)
        groups = [group["executionIndex"] for group in page["executions"] if group["events"]]
        assert len(groups) <= limit
        seen += groups
        since = page.get("next")
        if limit == 1 and len(seen) > 3:
            return
    assert seen == list(range(1, 1_201))


@pytest.mark.parametrize("since", [0, 1, 498, 499, 500, 501, 777, 1_000, 1_199])
async def test_a_page_begins_after_any_message(house: House, run_id: str, since: int) -> None:
    page = await house.events(run_id, since=since, limit=1)
    assert [group["executionIndex"] for group in page["executions"]] == [since + 1]
    assert page.get("next") == (since + 1 if since < 1_199 else None)


async def test_after_the_last_message_there_is_nothing(house: House, run_id: str) -> None:
    for since in (1_200, 10**9):
        page = await house.events(run_id, since=since)
        assert (page["executions"], page["executionCount"]) == ([], 1_200)


@pytest.mark.parametrize("query", [{"since": -1}, {"since": "x"}, {"limit": 0}, {"details": "maybe"}])
async def test_a_page_that_cannot_be(house: House, run_id: str, query: dict[str, Any]) -> None:
    answer = await house.client.get(f"/engine/runs/{run_id}/events", params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["message"]


async def test_details_say_what_the_broker_acknowledged(house: House) -> None:
    stage = {**ONE, "key": {"$ref": "n"}, "headers": {"part": {"$fn": "percent(1, 3)"}, "big": 10**25}}
    run_id = await house.execute(pipeline(stage))
    await house.ended(run_id)
    (group,) = (await house.events(run_id, details=True))["executions"]
    (event,) = group["events"]
    assert event["header"] == {"part": 33.3333, "big": 10**25}
    assert (event["n"], event["messageId"]) == (1, f"{run_id}/1/1")
    assert event["key"] == str(event["payload"]["n"])
    assert event["delivery"] == {"topic": "t", "partition": 0, "offset": 0}
    assert event["sentAt"].endswith("Z")


class Backwards(RecordingBroker):
    """Acknowledges the first message after the second, as two partitions may."""

    def __init__(self) -> None:
        super().__init__()
        self.first: tuple[Outgoing, Settled] | None = None

    def take(self, message: Outgoing, settled: Settled) -> None:
        if self.first is None:
            self.first = message, settled
            return
        super().take(message, settled)
        super().take(*self.first)


async def test_messages_of_an_execution_are_in_its_order_however_they_were_acknowledged(house: House) -> None:
    house.brokers.by_name["kafka", "p"] = Backwards()
    run_id = await house.execute(pipeline(ONE, ONE))
    await house.ended(run_id)
    (group,) = (await house.events(run_id))["executions"]
    assert [event["stageName"] for event in group["events"]] == ["s1", "s2"]


async def test_a_queues_confirm_is_shown_with_where_it_went(house: House) -> None:
    house.brokers.by_name["rabbit", "mq"] = RecordingBroker()
    document = pipeline({}, topic=None, messageType="rabbit", producerName="mq", exchange="x", routingKey="a.b")
    run_id = await house.execute(document)
    await house.ended(run_id)
    (group,) = (await house.events(run_id, details=True))["executions"]
    assert group["events"][0]["delivery"] == {"exchange": "x", "routingKey": "a.b", "confirmed": True}


async def test_large_integers_stay_what_they_are(house: House) -> None:
    document = pipeline({"set": {"n": {"$fn": "add(state.n, 1)"}}}, state={"n": 10**40})
    run_id = await house.execute(document)
    await house.ended(run_id)
    simulated = (await house.client.post("/engine/simulate", json=document)).json()
    for found in (simulated, await house.events(run_id)):
        assert found["executions"][0]["events"][0]["payload"] == {"n": 10**40 + 1}


# --- as they come ---------------------------------------------------------------------------------------------------


async def messages(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream: `event`, `id` and `data`."""
    fields: dict[str, Any] = {}
    async for line in response.aiter_lines():
        if not line and fields:
            yield {**fields, "data": json.loads(fields["data"])}
            fields = {}
        name, _, value = line.partition(": ")
        if name in ("event", "id", "data"):
            fields[name] = value


def streamed(house: House, run_id: str, **headers: str) -> Any:
    return house.client.stream(
        "GET", f"/engine/runs/{run_id}/events", headers={"accept": "text/event-stream", **headers}
    )


async def test_a_stream_shows_messages_before_the_run_has_ended(house: House) -> None:
    run_id = await house.execute(pipeline({**ONE, "wait": "5m"}))
    async with asyncio.timeout(30), streamed(house, run_id) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = messages(response)
        first = await anext(stream)
        assert (first["event"], first["data"]["executionIndex"], first["data"]["n"]) == ("message", 1, 1)
        await house.client.post(f"/engine/runs/{run_id}/stop")
        last = [message async for message in stream][-1]
    assert (last["event"], last["data"]["status"]) == ("run", "STOPPED")


async def test_a_stream_goes_on_after_what_was_seen(house: House, run_id: str) -> None:
    async with streamed(house, run_id) as response:
        found = [message async for message in messages(response)]
    assert [message["data"]["executionIndex"] for message in found[:-1]] == list(range(1, 1_201))
    place = next(place for place, message in enumerate(found) if "id" in message and place > 100)
    async with streamed(house, run_id, **{"last-event-id": found[place]["id"]}) as response:
        rest = [message async for message in messages(response)]
    assert rest == found[place + 1 :]

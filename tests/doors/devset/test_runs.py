"""Runs of pipelines: what they send, how they stand, how they are stopped, and what a restart leaves of them."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stepwell.brokers.port import BrokerError, Outgoing, Settled

from .house import ONE, House, housed, pipeline
from .recording import RecordingBroker


def ids(house: House) -> list[str]:
    """What the broker has, by message id."""
    return [message.message_id for message in house.brokers.only.taken]


async def test_each_message_has_an_id_of_its_run_execution_and_number(house: House) -> None:
    run_id = await house.execute(pipeline(ONE, ONE, executions=2))
    assert (await house.ended(run_id))["status"] == "COMPLETED"
    assert sorted(ids(house)) == [f"{run_id}/{index}/{n}" for index in (1, 2) for n in (1, 2)]


async def test_a_seed_makes_two_runs_send_the_same(house: House) -> None:
    document = pipeline({"set": {"id": {"$fn": "uuid()"}, "n": {"$fn": "int(1,1000)"}}}, executions=5, seed="a seed")
    bodies = []
    for _ in range(2):
        await house.ended(await house.execute(document))
        bodies.append([message.body for message in house.brokers.only.taken])
        house.brokers.forget()
    assert bodies[0] == bodies[1]
    assert len(set(bodies[0])) == 5
    simulated = (await house.client.post("/engine/simulate?executions=5", json=document)).json()
    assert [group["events"][0]["payload"] for group in simulated["executions"]] == [
        msgspec.json.decode(body) for body in bodies[0]
    ]


async def test_without_a_seed_no_two_runs_send_the_same(house: House) -> None:
    for _ in range(2):
        await house.ended(await house.execute(pipeline({"set": {"id": {"$fn": "uuid()"}}})))
    first, second = house.brokers.only.taken
    assert first.body != second.body


async def test_the_same_idempotency_key_starts_one_run(house: House) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await house.execute(pipeline(ONE), headers=headers)
    assert await house.execute(pipeline(ONE), headers=headers) == first
    await house.ended(first)
    other = await house.client.post("/engine/execute", json=pipeline(ONE, ONE), headers=headers)
    assert other.status_code == 409
    assert len(ids(house)) == 1


async def test_runs_are_listed_by_page(house: House) -> None:
    run_ids = [await house.execute(pipeline(ONE)) for _ in range(3)]
    for run_id in run_ids:
        await house.ended(run_id)
    first = (await house.client.get("/engine/runs", params={"limit": 2})).json()
    assert [run["runId"] for run in first["completed"]] == run_ids[:0:-1]
    assert first["active"] == []
    rest = (await house.client.get("/engine/runs", params={"before": run_ids[1]})).json()
    assert [run["runId"] for run in rest["completed"]] == run_ids[:1]
    assert (await house.client.get("/api/engine/runs")).json()["completed"][0]["runId"] == run_ids[2]


async def test_a_concurrency_of_one_runs_one_execution_after_the_other(house: House) -> None:
    stages: list[dict[str, Any]] = [{**ONE, "wait": "20ms"}, ONE]
    run_id = await house.execute(pipeline(*stages, executions=4, concurrency=1))
    await house.ended(run_id)
    assert ids(house) == [f"{run_id}/{index}/{n}" for index in range(1, 5) for n in (1, 2)]


async def test_executions_that_wait_do_so_together(house: House) -> None:
    stages: list[dict[str, Any]] = [{**ONE, "wait": "20ms"}, ONE]
    run_id = await house.execute(pipeline(*stages, executions=4))
    await house.ended(run_id)
    assert ids(house)[:4] == [f"{run_id}/{index}/1" for index in range(1, 5)]


async def test_a_rate_spreads_the_messages(house: House) -> None:
    run_id = await house.execute(pipeline(ONE, executions=8, rate=40))
    await house.ended(run_id)
    groups = (await house.events(run_id, details=True))["executions"]
    times = sorted(datetime.fromisoformat(event["sentAt"]) for group in groups for event in group["events"])
    assert times[-1] - times[0] >= timedelta(seconds=7 / 40 - 0.05)


# --- stopping -------------------------------------------------------------------------------------------------------


async def test_a_stop_cuts_a_wait_and_begins_nothing_more(house: House) -> None:
    run_id = await house.execute(pipeline({**ONE, "wait": "5m"}, ONE, executions=3, concurrency=1))
    await house.brokers.posted(1)
    stopping = await house.client.post(f"/engine/runs/{run_id}/stop")
    assert stopping.status_code == 202
    assert stopping.json()["status"] in ("STOPPING", "STOPPED")
    run = await house.ended(run_id)
    assert (run["status"], run["completedExecutions"], run["failedExecutions"]) == ("STOPPED", 0, 0)
    assert (run["submittedExecutions"], ids(house)) == (1, [f"{run_id}/1/1"])


async def test_a_stop_cuts_what_is_expected(house: House) -> None:
    stage = {**ONE, "expect": {"topic": "answers", "within": "5m"}}
    run_id = await house.execute(pipeline(stage))
    await house.brokers.posted(1)
    await house.client.post(f"/engine/runs/{run_id}/stop")
    assert (await house.ended(run_id))["status"] == "STOPPED"


async def test_a_stop_ends_the_attempts_at_a_broker_that_is_away(house: House) -> None:
    house.brokers.only.down = True
    run_id = await house.execute(pipeline(ONE, onBrokerDown="wait"))
    await house.until(run_id, lambda run: run["errorMessage"])
    await house.client.post(f"/engine/runs/{run_id}/stop")
    assert (await house.ended(run_id))["status"] == "STOPPED"
    assert ids(house) == []


# --- a broker that is away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["fail", "wait"])
async def test_what_a_broker_cannot_take_is_sent_again(house: House, policy: str) -> None:
    house.brokers.only.down = True
    run_id = await house.execute(pipeline(ONE, ONE, executions=3, onBrokerDown=policy))
    run = await house.until(run_id, lambda run: run["errorMessage"])
    assert (run["status"], run["errorMessage"]) == ("RUNNING", "the broker is away")
    house.brokers.only.down = False
    run = await house.ended(run_id)
    assert (run["status"], run["completedExecutions"], run["errorMessage"]) == ("COMPLETED", 3, None)
    assert ids(house) == [f"{run_id}/{index}/{n}" for index in (1, 2, 3) for n in (1, 2)]


async def test_after_the_time_for_it_the_run_fails_and_says_why(tmp_path: Path) -> None:
    async with housed(tmp_path, broker_retry_s=0.0) as house:
        house.brokers.only.down = True
        run_id = await house.execute(pipeline(ONE, executions=2))
        run = await house.ended(run_id)
        assert (run["status"], run["failedExecutions"]) == ("FAILED", 2)
        assert run["errorMessage"] == "the broker is away"
        assert (await house.events(run_id))["executions"] == [
            {"executionIndex": index, "eventCount": 0, "events": []} for index in (1, 2)
        ]


class Reluctant(RecordingBroker):
    """Hears of each message twice, and refuses it the first time once it has been handed over."""

    def __init__(self, *, retryable: bool) -> None:
        super().__init__()
        self.heard: set[str] = set()
        self.retryable = retryable

    def take(self, message: Outgoing, settled: Settled) -> None:
        if message.message_id in self.heard:
            super().take(message, settled)
            return
        self.heard.add(message.message_id)
        fault = BrokerError("not now", retryable=self.retryable)
        asyncio.get_running_loop().call_soon(settled, [message], fault)


@pytest.mark.parametrize("stages", [[ONE], [ONE, ONE, ONE], [ONE, {**ONE, "wait": "1ms"}, ONE]])
async def test_what_was_refused_behind_an_execution_is_sent_again_in_its_order(
    house: House, stages: list[dict[str, Any]]
) -> None:
    house.brokers.by_name["kafka", "p"] = Reluctant(retryable=True)
    run_id = await house.execute(pipeline(*stages, executions=3))
    run = await house.ended(run_id)
    assert (run["status"], run["submittedExecutions"], run["completedExecutions"]) == ("COMPLETED", 3, 3)
    for index in (1, 2, 3):
        sent = [id for id in ids(house) if id.startswith(f"{run_id}/{index}/")]
        assert sent == [f"{run_id}/{index}/{n}" for n in range(1, len(stages) + 1)]


async def test_what_is_refused_for_good_behind_an_execution_fails_it(house: House) -> None:
    house.brokers.by_name["kafka", "p"] = Reluctant(retryable=False)
    run_id = await house.execute(pipeline(ONE, ONE, executions=3))
    run = await house.ended(run_id)
    assert (run["status"], run["failedExecutions"], run["errorMessage"]) == ("FAILED", 3, "not now")
    assert ids(house) == []


# --- expecting ------------------------------------------------------------------------------------------------------


async def test_an_expected_message_is_waited_for_and_kept(house: House) -> None:
    stages: list[dict[str, Any]] = [
        {"set": {"id": 7}, "expect": {"topic": "answers", "match": {"of": {"$ref": "id"}}, "as": "state.answer"}},
        {"set": {"got": {"$ref": "state.answer.text"}}},
    ]
    run_id = await house.execute(pipeline(*stages))
    await house.brokers.posted(1)
    for content in ({"of": 8, "text": "no"}, "no object", {"of": 7, "text": "yes"}):
        house.brokers.only.coming.put_nowait(content)
    assert (await house.ended(run_id))["status"] == "COMPLETED"
    assert house.brokers.only.taken[1].body == b'{"got":"yes"}'


async def test_what_does_not_come_in_time_fails_the_execution(house: House) -> None:
    run_id = await house.execute(pipeline({**ONE, "expect": {"topic": "answers", "within": "50ms"}}))
    run = await house.ended(run_id)
    assert run["status"] == "FAILED"
    assert run["errorMessage"] == "Expected a matching message on answers within 0.05 s, found none for stage: s1"


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_a_run_goes_on_after_a_restart_with_what_it_had(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name\nAda\n")
    stages: list[dict[str, Any]] = [
        {"query": {"source": "people", "select": {"state.name": "name"}}, "set": {"n": {"$fn": "uuid()"}}},
        {"wait": "1s", "set": {"of": {"$ref": "state.name"}}},
        {"set": {"at": {"$fn": "now()"}, "of": {"$ref": "state.name"}}},
    ]
    async with housed(tmp_path, shutdown_grace_s=0.0) as house:
        source = {"type": "csv", "name": "people", "path": str(tmp_path / "people.csv")}
        assert (await house.client.post("/api/db/connectors/configurations", json=source)).status_code == 200
        run_id = await house.execute(pipeline(*stages, seed="s"))
        await house.brokers.posted(2)
        while len((await house.events(run_id))["executions"][0]["events"]) < 2:  # noqa: ASYNC110  until on disk
            await asyncio.sleep(0.01)
    (tmp_path / "people.csv").write_text("name\nGrace\n")
    async with housed(tmp_path) as house:
        assert (await house.ended(run_id))["status"] == "COMPLETED"
        (message,) = house.brokers.only.taken  # the others are on record
        assert message.message_id == f"{run_id}/1/3"
        assert msgspec.json.decode(message.body)["of"] == "Ada"
        (group,) = (await house.events(run_id))["executions"]
        assert group["eventCount"] == 3


async def test_a_run_of_another_kind_counts_as_one_execution(house: House) -> None:
    text = "document: {dsl: '1.0.3', namespace: a, name: plain, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]\n"
    await house.app.engine.save(kind="flow", name="a/plain", version="1.0.0", text=text)
    result = await house.app.engine.run("a/plain")
    run = (await house.client.get(f"/engine/runs/{result.run_id}")).json()
    counts = {name: run[f"{name}Executions"] for name in ("requested", "submitted", "completed", "failed")}
    assert (run["status"], counts) == ("COMPLETED", {"requested": 1, "submitted": 1, "completed": 1, "failed": 0})
    assert (await house.events(result.run_id))["executionCount"] == 1

"""Callbacks over HTTP: whoever has the token answers once, says that it is alive, and is told when it is too late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ..served import served
from .door import CALLBACKS, NOW, Door, Json, callback, error_of, new_app, open_door, step_of

DONE: Json = {"status": "completed", "output": {"rows": 3}}


class Vendor:
    """What a vendor's server was told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Json] = asyncio.Queue()
        self.url = ""


@asynccontextmanager
async def vendor_served() -> AsyncIterator[Vendor]:
    vendor = Vendor()

    async def start(request: Request) -> JSONResponse:
        vendor.told.put_nowait({"body": await request.json(), "key": request.headers.get("idempotency-key")})
        return JSONResponse({}, 202)

    async with served(Starlette(routes=[Route("/start", start, methods=["POST"])])) as url:
        vendor.url = f"{url}/start"
        yield vendor


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with vendor_served() as vendor:
        yield vendor


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(new_app(tmp_path, egress_allow=("127.0.0.0/8",))) as door:
        yield door


async def handed_out(door: Door, vendor: Vendor, **step: Any) -> tuple[str, str]:
    """A run that waits for the vendor, and the token that the vendor got."""
    config = {"url": vendor.url, "payload": {"n": 1}, **step.pop("config", {})}
    run_id = await door.start(callback(config=config, **step), NOW)
    told = await asyncio.wait_for(vendor.told.get(), 20)
    await door.until(run_id, lambda run: step_of(run, "vendor")["status"] == "waiting")
    return run_id, str(told["body"]["callback"]["token"])


async def answer(door: Door, token: str, body: Json) -> Any:
    return await door.client.post(f"{CALLBACKS}/{token}", json=body)


async def test_vendor_is_told_where_to_answer_and_its_answer_is_the_output(door: Door, vendor: Vendor) -> None:
    run_id = await door.start(callback(config={"url": vendor.url, "payload": {"n": 1}, "timeout_seconds": 60}), NOW)
    told = await asyncio.wait_for(vendor.told.get(), 20)
    body = told["body"]
    assert (body["run_id"], body["step_key"], body["attempt"], body["payload"]) == (run_id, "vendor", 1, {"n": 1})
    assert told["key"] == f"{run_id}/vendor/callback/post/1"
    assert body["callback"]["url"].endswith(f"{CALLBACKS}/{body['callback']['token']}")
    assert body["callback"]["expires_at"] is not None
    answered = await answer(door, body["callback"]["token"], DONE)
    assert (answered.status_code, answered.json()) == (200, {"status": "accepted"})
    run = await door.ended(run_id)
    assert (run["status"], run["context"]["vendor"]) == ("completed", {"rows": 3})
    assert {"callback.sent", "callback.received"} <= {event["type"] for event in run["events"]}
    (received,) = [event for event in run["events"] if event["type"] == "callback.received"]
    assert received["actor"] == {"type": "callback", "id": "callback", "ip": "127.0.0.1"}


async def test_token_may_come_in_the_header(door: Door, vendor: Vendor) -> None:
    run_id, token = await handed_out(door, vendor)
    headers = {"authorization": f"Bearer {token}"}
    assert (await door.client.post(CALLBACKS, json=DONE, headers=headers)).status_code == 200
    assert (await door.ended(run_id))["status"] == "completed"


async def test_token_is_enough_also_where_everybody_else_needs_a_credential(door: Door, vendor: Vendor) -> None:
    anna = await door.of("anna")
    config = {"url": vendor.url}
    run_id = await anna.start(callback(config=config))
    token = (await asyncio.wait_for(vendor.told.get(), 20))["body"]["callback"]["token"]
    assert (await door.client.get("/api/v1/workflows")).status_code == 401
    assert (await answer(door, token, DONE)).status_code == 200
    assert (await anna.ended(run_id))["status"] == "completed"


async def test_same_answer_again_is_fine_and_another_is_refused(door: Door, vendor: Vendor) -> None:
    run_id, token = await handed_out(door, vendor)
    assert (await answer(door, token, DONE)).status_code == 200
    assert (await answer(door, token, DONE)).status_code == 200
    await door.ended(run_id)
    assert (await answer(door, token, DONE)).status_code == 200
    for other in ({"status": "completed", "output": 1}, {"status": "failed"}, {"status": "heartbeat"}):
        refused = await answer(door, token, other)
        assert (refused.status_code, error_of(refused)["code"]) == (409, "CALLBACK_ALREADY_ANSWERED")
        assert token not in refused.text


async def test_failure_fails_the_step_with_what_the_vendor_says(door: Door, vendor: Vendor) -> None:
    run_id, token = await handed_out(door, vendor)
    error = {"code": "E42", "message": "out of stock"}
    assert (await answer(door, token, {"status": "failed", "error": error})).status_code == 200
    run = await door.ended(run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "callback_failed")
    assert run["error"]["details"] == error
    assert "out of stock" in run["error"]["message"]


async def test_heartbeat_moves_the_heartbeats_deadline_only(door: Door, vendor: Vendor) -> None:
    limits = {"config": {"timeout_seconds": 3600}, "heartbeat_timeout_seconds": 600}
    run_id, token = await handed_out(door, vendor, **limits)
    before = (await door.app.engine.state(run_id)).steps["vendor"]
    due_at, deadline = before.due_at or 0.0, before.deadline
    assert (await answer(door, token, {"status": "heartbeat", "progress": 0.4})).json() == {"status": "accepted"}
    after = (await door.app.engine.state(run_id)).steps["vendor"]
    assert ((after.due_at or 0.0) > due_at, after.deadline) == (True, deadline)
    run = await door.run(run_id)
    assert step_of(run, "vendor")["last_heartbeat_at"] == run["last_heartbeat_at"] is not None
    assert run["events"][-1]["data"] == {"progress": 0.4}
    assert run["status"] == "running"


async def test_missed_heartbeat_fails_the_step(door: Door, vendor: Vendor) -> None:
    run_id, token = await handed_out(door, vendor, heartbeat_timeout_seconds=2)
    run = await door.ended(run_id)
    assert run["failure_reason"] == "heartbeat_timeout"
    assert "step.heartbeat_missed" in [event["type"] for event in run["events"]]
    assert (await answer(door, token, DONE)).status_code == 404


async def test_answer_after_the_run_was_cancelled_is_not_found_and_on_record_once(door: Door, vendor: Vendor) -> None:
    run_id, token = await handed_out(door, vendor)
    await door.tell(run_id, "cancel")
    for _ in range(2):
        refused = await answer(door, token, DONE)
        assert (refused.status_code, error_of(refused)["code"]) == (404, "NOT_FOUND")
    log = [event["type"] for event in (await door.run(run_id))["events"]]
    assert log.count("step.late_result_discarded") == 1


async def test_retry_hands_out_another_token(door: Door, vendor: Vendor) -> None:
    run_id, old = await handed_out(door, vendor)
    await answer(door, old, {"status": "failed"})
    await door.ended(run_id)
    await door.tell(run_id, "retry", status=202)
    new = (await asyncio.wait_for(vendor.told.get(), 20))["body"]["callback"]["token"]
    assert new != old
    assert (await answer(door, old, DONE)).status_code == 404
    assert (await answer(door, new, DONE)).status_code == 200
    assert (await door.ended(run_id))["status"] == "completed"


@pytest.mark.parametrize("token", ["x", "01900000-0000-7000-8000-000000000000.AAAA", "a.b.c", "%20", "..%2F"])
async def test_unknown_token_is_not_found_and_not_repeated(door: Door, token: str) -> None:
    refused = await answer(door, token, DONE)
    assert (refused.status_code, error_of(refused)["details"]) == (404, {})
    assert token not in refused.text
    assert (await door.client.post(CALLBACKS, json=DONE)).status_code == 404


async def test_token_of_a_run_with_a_wrong_mac_is_not_found(door: Door, vendor: Vendor) -> None:
    _, token = await handed_out(door, vendor)
    assert (await answer(door, token[:-2] + "xx", DONE)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "status"),
        ({"status": "done"}, "status"),
        ({"status": "heartbeat", "progress": 2}, "progress"),
        ({"status": "heartbeat", "progress": "half"}, "progress"),
        ({"status": "completed", "outputs": 1}, "outputs"),
        ({"status": "failed", "error": 5}, "error"),
    ],
)
async def test_answer_that_is_wrong_is_refused_with_the_field(
    door: Door, vendor: Vendor, body: Json, field: str
) -> None:
    run_id, token = await handed_out(door, vendor)
    refused = await answer(door, token, body)
    assert (refused.status_code, list(error_of(refused)["details"])) == (422, [field])
    assert step_of(await door.run(run_id), "vendor")["status"] == "waiting"


async def test_token_is_in_no_answer_and_no_log(
    door: Door, vendor: Vendor, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id, token = await handed_out(door, vendor)
    shown = (await door.send("GET", f"/api/v1/workflows/{run_id}")).text
    await answer(door, token, DONE)
    await door.ended(run_id)
    shown += (await door.send("GET", f"/api/v1/workflows/{run_id}")).text
    out, err = capfd.readouterr()
    assert token not in shown + out + err

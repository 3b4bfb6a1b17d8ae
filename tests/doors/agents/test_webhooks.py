"""Webhooks end to end: endpoints over HTTP, and a real receiver that verifies with the standard's own library."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import stepwell
from stepwell.doors.agents.webhook_wire import EventPattern
from stepwell.security.keys import ApiKeys, new_key
from stepwell.store.model import Record
from stepwell.webhooks.signing import new_secret
from stepwell.webhooks.types import PATTERNS, TYPES

from ..served import served
from .door import LATER, NOW, Door, Json, ask, error_of, new_app, open_door

HOOKS = "/api/v1/webhooks"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Mailbox:
    """A receiver: keeps what comes, verifies it, answers `status` with `headers`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.secret = new_secret()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.verified: list[Json] = []
        self.ids: list[str] = []
        self._news = asyncio.Event()

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.verified.append(Webhook(self.secret).verify(body, dict(request.headers)))
        self.ids.append(request.headers["webhook-id"])
        self._news.set()
        return Response(None, self.status, self.headers)

    async def got(self, number: int) -> list[Json]:
        """What came, once it is so much."""
        async with asyncio.timeout(20):
            while len(self.verified) < number:
                self._news.clear()
                await self._news.wait()
        return self.verified


@asynccontextmanager
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox("")

    async def take(request: Request) -> Response:
        return await box.take(request)

    async with served(Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])) as url:
        box.url = url
        yield box


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as box:
        yield box


@pytest.fixture
def app(tmp_path: Path, box: Mailbox) -> stepwell.App:
    """An operator who lets the receiver be called."""
    return new_app(
        tmp_path, egress_allow=(box.url.removeprefix("http://"),), public_url="https://engine.example.com/"
    )


async def added(door: Door, box: Mailbox, *events: str, **more: Any) -> Json:
    body = {"url": f"{box.url}/in", "events": list(events) or ["*"], "secret": box.secret, **more}
    found: Json = await door.post(HOOKS, body, status=201)
    return found


async def delivered(door: Door, hook: Json, **params: Any) -> Json:
    """The endpoint's deliveries, once none of them is pending."""
    async with asyncio.timeout(20):
        while True:
            found: Json = await door.get(f"{HOOKS}/{hook['id']}/deliveries", **params)
            if found["data"] and all(one["status"] != "pending" for one in found["data"]):
                return found
            await asyncio.sleep(0.02)


# --- what is told ---------------------------------------------------------------------------------------------------


async def test_a_receiver_verifies_what_happens_to_a_run(door: Door, box: Mailbox) -> None:
    hook = await added(door, box, "workflow.run.*", "workflow.approval.*")
    run_id = await door.start(NOW, ask())
    approval_id = await door.asked(run_id)
    await door.decide(run_id, "approve")
    await door.ended(run_id)
    told = await box.got(5)
    assert {one["type"] for one in told} == {
        "workflow.run.started",
        "workflow.run.waiting_approval",
        "workflow.approval.requested",
        "workflow.approval.approved",
        "workflow.run.completed",
    }
    assert {one["data"]["link"] for one in told} == {f"https://engine.example.com/api/v1/workflows/{run_id}"}
    run = await door.run(run_id)
    assert {one["data"]["workflow"]["id"] for one in told} == {run["template"]["id"]}
    assert {one["data"]["workflow"]["name"] for one in told} == {"Import"}
    requested = next(one for one in told if one["type"] == "workflow.approval.requested")
    assert (requested["data"]["approval_id"], requested["data"]["step_key"]) == (approval_id, "review")
    deliveries = await delivered(door, hook)
    assert {one["webhook_id"] for one in deliveries["data"]} == set(box.ids)


async def test_steps_of_a_template_are_told_once_each_under_their_own_keys(app: stepwell.App, box: Mailbox) -> None:
    tries: list[int] = []

    @app.function
    async def flaky() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise ValueError("not yet")
        return 1

    task = {"key": "task", "type": "task", "config": {"action": "function", "function": "flaky"}}
    retry = {"max_attempts": 3, "initial_ms": 10}
    each = {"key": "each", "type": "foreach", "config": {"items": [1, 2], "steps": [NOW]}}
    async with open_door(app) as door:
        hook = await added(door, box, "workflow.step.*")
        run_id = await door.start({**task, "retry": retry}, each, ask("review", timeout_seconds=0.05))
        run = await door.ended(run_id)
        assert run["status"] == "failed"
        await delivered(door, hook, limit=100)
        told = [(one["type"].removeprefix("workflow.step."), one["data"]["step_key"]) for one in box.verified]
        assert sorted(told) == sorted(
            [
                *(("started", "task"), ("retrying", "task"), ("started", "task"), ("completed", "task")),
                *((what, f"each@{n}/now") for n in range(2) for what in ("started", "completed")),
                *(("completed", "each"), ("started", "review"), ("failed", "review")),
            ]
        )


async def test_a_run_calls_its_own_address_back_with_the_owners_secret(door: Door, box: Mailbox) -> None:
    callbacks = await door.post(f"{HOOKS}/callbacks/rotate-secret", {"secret": box.secret})
    assert (callbacks["id"], callbacks["url"], callbacks["secret"]) == ("callbacks", None, box.secret)
    run_id = await door.start(NOW, callback_url=f"{box.url}/back")
    (told,) = await box.got(1)
    assert (told["type"], told["data"]["run_id"]) == ("workflow.run.completed", run_id)
    (one,) = (await delivered(door, callbacks))["data"]
    assert (one["url"], one["status"], one["run_id"]) == (f"{box.url}/back", "delivered", run_id)
    again = await door.send("POST", f"{HOOKS}/callbacks/deliveries/{one['id']}/redeliver")
    assert again.status_code == 202
    await box.got(2)
    assert box.ids == [one["webhook_id"]] * 2


async def test_a_callback_address_that_may_not_be_called_starts_nothing(door: Door) -> None:
    template_id = await door.template(NOW)
    for url in (
        "http://169.254.169.254/latest",
        "https://127.0.0.1/",
        "ftp://example.com/",
        "https://u:p@example.com/",
    ):
        answer = await door.send("POST", "/api/v1/workflows", {"template_id": template_id, "callback_url": url})
        assert answer.status_code == 422, url
        assert list(error_of(answer)["details"]) == ["callback_url"]
    assert (await door.get("/api/v1/workflows"))["data"] == []


# --- endpoints ------------------------------------------------------------------------------------------------------


def test_all_types_and_patterns_are_in_the_shape() -> None:
    assert set(get_args(EventPattern)) == {*TYPES, *PATTERNS}


async def test_a_secret_is_shown_when_it_is_made_and_never_again(door: Door, box: Mailbox) -> None:
    made = await door.post(HOOKS, {"url": box.url, "events": ["*"]}, status=201)
    assert made["secret"].startswith("whsec_")
    rotated = await door.post(f"{HOOKS}/{made['id']}/rotate-secret", {"overlap_seconds": 0})
    assert rotated["secret"] not in ("", made["secret"])
    listed = await door.get(HOOKS)
    one = await door.get(f"{HOOKS}/{made['id']}")
    assert listed["data"] == [one]
    assert "secret" not in one
    assert rotated == {**one, "secret": rotated["secret"]}


async def test_a_receiver_changes_over_to_a_new_secret_while_both_sign(door: Door, box: Mailbox) -> None:
    hook = await added(door, box)
    new = (await door.post(f"{HOOKS}/{hook['id']}/rotate-secret"))["secret"]
    for secret in (box.secret, new):
        box.secret = secret
        assert (await door.post(f"{HOOKS}/{hook['id']}/test"))["status"] == "delivered"
    assert [one["type"] for one in box.verified] == ["webhook.test"] * 2


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://hunter2:hunter2@example.com/"}, "url"),
        ({"url": "https://example.com:8443/"}, "url"),
        ({"url": 5}, "url"),
        ({"events": ["workflow.run.exploded"]}, "events.0"),
        ({"events": []}, "events"),
        ({"secret": "hunter2"}, "secret"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_endpoint_that_cannot_be_is_refused_by_field(door: Door, changed: Json, field: str) -> None:
    body = {"url": "https://example.com/in", "events": ["*"], **changed}
    answer = await door.send("POST", HOOKS, body)
    error = error_of(answer)
    assert (answer.status_code, error["code"], list(error["details"])) == (422, "VALIDATION_ERROR", [field])
    assert "hunter2" not in answer.text
    assert (await door.get(HOOKS))["data"] == []


async def test_an_endpoint_is_changed_switched_off_and_removed(door: Door, box: Mailbox) -> None:
    hook = await added(door, box)
    path = f"{HOOKS}/{hook['id']}"
    answer = await door.send("PATCH", path, {"enabled": False, "description": "mine"})
    off = answer.json()
    assert (off["enabled"], off["disabled_reason"], off["description"]) == (False, "owner", "mine")
    await door.ended(await door.start(NOW))
    assert (await door.get(f"{path}/deliveries"))["data"] == []
    assert (await door.send("DELETE", path)).status_code == 204
    assert (await door.send("GET", path)).status_code == 404
    assert (await door.send("DELETE", path)).status_code == 404


async def test_410_switches_an_endpoint_off_and_its_delivery_can_be_sent_again(door: Door, box: Mailbox) -> None:
    hook = await added(door, box, "workflow.run.completed")
    box.status = 410
    await door.start(NOW)
    (dead,) = (await delivered(door, hook, status="failed"))["data"]
    assert dead["attempts"][0]["response_status"] == 410
    off = await door.get(f"{HOOKS}/{hook['id']}")
    assert (off["enabled"], off["disabled_reason"]) == (False, "gone")
    path = f"{HOOKS}/{hook['id']}/deliveries/{dead['id']}/redeliver"
    refused = await door.send("POST", path)
    assert (refused.status_code, error_of(refused)["details"]["reason"]) == (409, "disabled")
    box.status = 204
    await door.send("PATCH", f"{HOOKS}/{hook['id']}", {"enabled": True})
    assert (await door.send("POST", path)).json()["status"] == "pending"
    (taken,) = (await delivered(door, hook))["data"]
    assert (taken["status"], len(taken["attempts"])) == ("delivered", 2)
    assert box.ids == [dead["webhook_id"]] * 2


async def test_a_redirect_is_not_followed_and_not_a_success(door: Door, box: Mailbox) -> None:
    hook = await added(door, box)
    box.status, box.headers = 302, {"location": f"{box.url}/elsewhere"}
    tested = await door.post(f"{HOOKS}/{hook['id']}/test")
    assert (tested["status"], tested["attempts"][0]["response_status"]) == ("failed", 302)
    assert len(box.verified) == 1


async def test_an_address_that_stops_being_allowed_is_not_called(tmp_path: Path, box: Mailbox) -> None:
    async with open_door(new_app(tmp_path, egress_allow=(box.url.removeprefix("http://"),))) as door:
        hook = await added(door, box)
    async with open_door(new_app(tmp_path)) as door:
        tested = await door.post(f"{HOOKS}/{hook['id']}/test")
        assert tested["status"] == "failed"
        assert "scheme_not_allowed" in tested["attempts"][0]["error"]
    assert box.verified == []


async def test_deliveries_come_in_pages(door: Door, box: Mailbox) -> None:
    hook = await added(door, box, "workflow.run.completed")
    runs = [await door.start(NOW) for _ in range(5)]
    for run_id in runs:
        await door.ended(run_id)
    await box.got(5)
    seen: list[str] = []
    params: Json = {"limit": 2, "status": "delivered"}
    await delivered(door, hook)
    while True:
        page = await door.get(f"{HOOKS}/{hook['id']}/deliveries", **params)
        seen += [one["run_id"] for one in page["data"]]
        assert page["meta"]["pagination"]["total_count"] == 5
        if not page["meta"]["pagination"]["has_more"]:
            break
        params["cursor"] = page["meta"]["pagination"]["cursor"]
    assert sorted(seen) == sorted(runs)
    assert (await door.get(f"{HOOKS}/{hook['id']}/deliveries", status="failed"))["data"] == []
    wrong = await door.send("GET", f"{HOOKS}/{hook['id']}/deliveries", params={"status": "lost"})
    assert (wrong.status_code, list(error_of(wrong)["details"])) == (422, ["status"])


async def test_endpoints_come_in_pages(door: Door, box: Mailbox) -> None:
    made = [(await added(door, box))["id"] for _ in range(3)]
    first = await door.get(HOOKS, limit=2)
    rest = await door.get(HOOKS, limit=2, cursor=first["meta"]["pagination"]["cursor"])
    assert [one["id"] for one in [*first["data"], *rest["data"]]] == made
    assert rest["meta"]["pagination"] == {"total_count": 3, "has_more": False, "cursor": None}


# --- whose they are -------------------------------------------------------------------------------------------------


async def test_everything_of_an_endpoint_is_its_owners_alone(app: stepwell.App, box: Mailbox) -> None:
    async with open_door(app) as door:
        anna, bert = await door.of("anna"), await door.of("bert")
        hook = await added(anna, box, "workflow.run.completed")
        await bert.ended(await bert.start(NOW))
        mine = await anna.start(NOW)
        (told,) = await box.got(1)
        assert told["data"]["run_id"] == mine
        (delivery,) = (await delivered(anna, hook))["data"]
        one = f"{HOOKS}/{hook['id']}"
        for method, path, body in (
            ("GET", one, None),
            ("PATCH", one, {"enabled": False}),
            ("DELETE", one, None),
            ("POST", f"{one}/test", None),
            ("POST", f"{one}/rotate-secret", None),
            ("GET", f"{one}/deliveries", None),
            ("POST", f"{one}/deliveries/{delivery['id']}/redeliver", None),
        ):
            answer = await bert.send(method, path, body)
            unknown = await bert.send(method, path.replace(hook["id"], NOBODY), body)
            assert (answer.status_code, error_of(answer)["code"]) == (404, "NOT_FOUND"), path
            assert error_of(unknown)["code"] == "NOT_FOUND"
        assert (await bert.get(HOOKS))["data"] == []
        assert (await bert.get(f"{HOOKS}/callbacks/deliveries"))["data"] == []
        assert len(box.verified) == 1


async def test_reading_needs_read_and_changing_needs_write(app: stepwell.App, box: Mailbox) -> None:
    async with open_door(app) as door:
        key, text = new_key("reader", now=app.engine.clock.now(), scopes=("read",))
        await ApiKeys(app.engine.store, row=Record).create(key)
        reader = Door(app, door.client, **{"x-api-key": text})
        assert (await reader.get(HOOKS))["data"] == []
        answer = await reader.send("POST", HOOKS, {"url": box.url, "events": ["*"]})
        assert answer.status_code == 403
        assert (await door.send("GET", HOOKS)).status_code == 401


@pytest.mark.parametrize("id", ["nobody", "callbacks:anna", NOBODY, "%00"])
async def test_ids_that_are_none_are_not_found(door: Door, id: str) -> None:
    for path in (id, f"{id}/deliveries"):
        answer = await door.send("GET", f"{HOOKS}/{path}")
        assert answer.status_code == 404


async def test_callbacks_cannot_be_changed_removed_or_tested(door: Door) -> None:
    for method, path in (("DELETE", ""), ("PATCH", ""), ("POST", "/test")):
        answer = await door.send(method, f"{HOOKS}/callbacks{path}", {} if method == "PATCH" else None)
        assert answer.status_code == 404, method


async def test_one_key_adds_one_endpoint(door: Door, box: Mailbox) -> None:
    body = {"url": box.url, "events": ["*"]}
    headers = {"Idempotency-Key": "k1"}
    first, second = [await door.send("POST", HOOKS, body, headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    assert len((await door.get(HOOKS))["data"]) == 1


async def test_a_run_that_waits_is_cancelled_and_told(door: Door, box: Mailbox) -> None:
    await added(door, box, "workflow.run.cancelled")
    run_id = await door.start(LATER)
    await door.tell(run_id, "cancel", {"reason": "enough"})
    (told,) = await box.got(1)
    assert told["data"]["run_id"] == run_id


async def test_who_is_at_the_other_end_is_not_told_our_secrets(door: Door, box: Mailbox) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.post(box.url, json={})).status_code == 500  # the receiver refuses what is not signed
    assert box.verified == []
    await added(door, box)
    assert box.secret not in str(box.verified)

"""Runs over HTTP: started in every way, refused with the field that is wrong, listed, read."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import stepwell
from stepwell.core.approvals import ApprovalRequest
from stepwell.engine.ids import new_id, workflow_uuid

from .door import LATER, NOW, RUNS, TEMPLATES, Door, Json, ask, call, error_of, new_app, open_door, step_of

UNKNOWN = "01900000-0000-7000-8000-000000000000"
VARIABLES = [
    {"name": "source", "type": "string", "required": True},
    {"name": "rows", "type": "integer", "default": 10},
    {"name": "password", "type": "secret"},
]


async def refused(door: Door, body: Any, *, status: int = 422, code: str = "VALIDATION_ERROR") -> Json:
    """The details of the refusal of a start."""
    answer = await door.send("POST", RUNS, body)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code), answer.text
    found: Json = error_of(answer)["details"]
    return found


# --- starting -------------------------------------------------------------------------------------------------------


async def test_run_of_a_template_begins_pending_and_knows_its_template(door: Door) -> None:
    template_id = await door.template(NOW, name="Import and review", variables=VARIABLES)
    answer = await door.send("POST", RUNS, {"template_id": template_id, "input": {"source": "s3://a"}})
    run = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{RUNS}/{run['id']}"
    shown = {name: run[name] for name in ("status", "template", "trigger_type", "input", "attempt", "started_at")}
    assert shown == {
        "status": "pending",
        "template": {"id": template_id, "name": "Import and review", "version": 1},
        "trigger_type": "api",
        "input": {"source": "s3://a"},
        "attempt": 1,
        "started_at": None,
    }
    assert run["created_at"] == run["inserted_at"]
    assert (await door.ended(run["id"]))["status"] == "completed"


async def test_run_is_pinned_to_the_version_that_was_published_at_its_start(door: Door) -> None:
    template_id = await door.template(ask("first"))
    old = await door.post(RUNS, {"template_id": template_id}, status=201)
    await door.publish(template_id, ask("second"), name="Renamed")
    new = await door.post(RUNS, {"template_id": template_id}, status=201)
    chosen = await door.post(RUNS, {"template_id": template_id, "template_version": 1}, status=201)
    found = [
        (run["template"]["version"], run["template"]["name"], run["current_step"]["key"])
        for run in [await door.until(run["id"], lambda run: run["current_step"]) for run in (old, new, chosen)]
    ]
    assert found == [(1, "Import", "first"), (2, "Renamed", "second"), (1, "Import", "first")]


async def test_older_body_runs_steps_of_its_own(door: Door) -> None:
    steps = [{"name": "Ask them", "type": "approval", "config": {}}, {**NOW, "key": None, "name": "Then"}]
    started = await door.post(RUNS, {"name": "By hand", "steps": steps, "input": {"any": 1}}, status=201)
    assert started["template"]["version"] == 1
    assert started["template"]["name"] == "By hand"
    await door.decide(started["id"], "approve")
    run = await door.ended(started["id"])
    assert [(step["key"], step["name"], step["type"]) for step in run["steps"]] == [
        ("ask-them", "Ask them", "approval"),
        ("then", "Then", "wait"),
    ]
    assert (await door.get(TEMPLATES))["data"] == []
    assert (await door.send("GET", f"{TEMPLATES}/{started['template']['id']}")).status_code == 404


async def test_older_body_is_refused_with_the_place_of_the_fault(door: Door) -> None:
    details = await refused(door, {"name": "By hand", "steps": [{"name": "A", "type": "taks", "config": {}}]})
    assert list(details) == ["steps.0.type"]
    assert list(await refused(door, {"steps": [NOW]})) == ["name"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["template_id", "steps"]),
        ({"template_id": UNKNOWN, "steps": []}, ["template_id", "steps"]),
        ({"template_id": UNKNOWN, "name": "x"}, ["name"]),
        ({"name": "x", "steps": [NOW], "template_version": 1}, ["template_version"]),
        ({"template_id": 5}, ["template_id"]),
        ({"template_id": UNKNOWN, "template_version": 0}, ["template_version"]),
        ({"template_id": UNKNOWN, "input": []}, ["input"]),
        ({"template_id": UNKNOWN, "inputs": {}}, ["inputs"]),
        ({"template_id": UNKNOWN, "timeout_seconds": 0}, ["timeout_seconds"]),
        ({"template_id": UNKNOWN, "timeout_seconds": "long"}, ["timeout_seconds"]),
        ({"template_id": UNKNOWN, "scheduled_at": "tomorrow"}, ["scheduled_at"]),
        ({"template_id": UNKNOWN, "scheduled_at": "2026-04-07T12:00:00"}, ["scheduled_at"]),
        ({"template_id": UNKNOWN, "metadata": "x"}, ["metadata"]),
        ({"name": "x", "steps": [NOW], "metadata": {"a": "x" * 20_000}}, ["metadata"]),
    ],
)
async def test_body_that_is_wrong_is_refused_with_the_field(door: Door, body: Json, fields: list[str]) -> None:
    assert list(await refused(door, body)) == fields


async def test_body_that_is_no_json_is_refused(door: Door) -> None:
    headers = {"content-type": "application/json"}
    answer = await door.client.post(RUNS, content=b'{"template_id": ', headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "BAD_REQUEST")
    answer = await door.client.post(RUNS, content=b"template_id=1", headers={"content-type": "text/plain"})
    assert (answer.status_code, error_of(answer)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    answer = await door.client.post(RUNS, content=b"x" * (2 << 20), headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_input_is_checked_against_the_declared_variables(door: Door) -> None:
    template_id = await door.template(NOW, variables=VARIABLES)
    given = {"rows": "many", "target": "b"}
    details = await refused(door, {"template_id": template_id, "input": given})
    assert list(details) == ["input.source", "input.rows", "input.target"]
    assert (await door.get(RUNS))["data"] == []


async def test_secret_input_is_shown_nowhere(door: Door) -> None:
    template_id = await door.template(ask(), variables=VARIABLES)
    body = {"template_id": template_id, "input": {"source": "a", "password": "open sesame"}}
    answer = await door.send("POST", RUNS, body)
    run_id = answer.json()["id"]
    await door.asked(run_id)
    shown = [answer, await door.send("GET", f"{RUNS}/{run_id}"), await door.send("GET", RUNS)]
    assert all("sesame" not in one.text for one in shown)
    assert (await door.run(run_id))["input"]["password"] != "open sesame"


async def test_secret_input_is_masked_in_the_history_when_somebody_repeats_it(door: Door) -> None:
    template_id = await door.template(ask(), variables=VARIABLES)
    body = {"template_id": template_id, "input": {"source": "a", "password": "open sesame"}}
    run_id = (await door.send("POST", RUNS, body)).json()["id"]
    await door.decide(run_id, "approve", comment="I said open sesame")
    history = await door.send("GET", f"/api/v1/remote/runs/{run_id}/history")
    assert "I said" in history.text
    assert "sesame" not in history.text


async def test_only_published_templates_start_runs(door: Door) -> None:
    draft = (await door.post(TEMPLATES, {"name": "x", "steps": [NOW]}, status=201))["id"]
    assert await refused(door, {"template_id": draft}) == {"template_id": ["is not published, but draft"]}
    await door.post(f"{TEMPLATES}/{draft}/publish")
    details = await refused(door, {"template_id": draft, "template_version": 2})
    assert details == {"template_version": ["expected 1 to 1, found 2"]}
    await door.post(f"{TEMPLATES}/{draft}/archive")
    assert await refused(door, {"template_id": draft}) == {"template_id": ["is not published, but archived"]}


@pytest.mark.parametrize("id", [UNKNOWN, "x", "", "nothing"])
async def test_unknown_template_is_not_found(door: Door, id: str) -> None:
    await refused(door, {"template_id": id}, status=404, code="NOT_FOUND")


async def test_scheduled_run_is_pending_until_its_time(door: Door) -> None:
    run_id = await door.start(NOW, scheduled_at="2099-01-01T02:00:00+02:00")
    run = await door.run(run_id)
    assert (run["status"], run["scheduled_at"], run["started_at"]) == ("pending", "2099-01-01T00:00:00.000Z", None)
    past = await door.start(NOW, scheduled_at="2001-01-01T00:00:00Z")
    assert (await door.ended(past))["status"] == "completed"


async def test_run_has_the_time_it_was_given(door: Door) -> None:
    template_id = await door.template(LATER, timeout_seconds=3600)
    slow = await door.post(RUNS, {"template_id": template_id}, status=201)
    run = await door.until(slow["id"], lambda run: run["timeout_at"])
    assert run["timeout_at"] > run["started_at"]
    quick = await door.post(RUNS, {"template_id": template_id, "timeout_seconds": 0.05}, status=201)
    failed = await door.ended(quick["id"])
    assert (failed["status"], failed["failure_reason"]) == ("failed", "run_timeout")
    assert [event["type"] for event in failed["events"]][-2:] == ["run.timed_out", "run.failed"]


async def test_metadata_come_back_as_they_were(door: Door) -> None:
    metadata = {"order": "42", "lines": [1, {"x": None}], "ä": "ö"}
    run_id = await door.start(NOW, metadata=metadata)
    assert (await door.run(run_id))["metadata"] == metadata
    assert (await door.get(RUNS))["data"][0]["metadata"] == metadata


async def test_callback_url_must_be_one_that_may_be_called(door: Door) -> None:
    body = {"name": "x", "steps": [NOW], "callback_url": "http://127.0.0.1:1/x"}
    answer = await door.send("POST", RUNS, body)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "VALIDATION_ERROR")
    started = await door.post(RUNS, {**body, "callback_url": "https://example.com/hook"}, status=201)
    assert started["callback_url"] == "https://example.com/hook"


FLOW = "document: {dsl: '1.0.3', namespace: test, name: greet, version: '1.2.0'}\ndo:\n- hello: {set: {a: 1}}"


async def test_workflows_of_the_operator_are_started_by_their_uuid_too(tmp_path: Path) -> None:
    (tmp_path / "greet.yaml").write_text(FLOW)
    app = new_app(tmp_path)
    app.load(tmp_path / "greet.yaml")

    @app.workflow(name="count")
    async def count(ctx: stepwell.RunContext, input: Any) -> Any:
        return await ctx.record("/n", input["n"] + 1)

    async with open_door(app) as door:
        flow = await door.post(RUNS, {"template_id": workflow_uuid("greet")}, status=201)
        assert flow["template"] == {"id": workflow_uuid("greet"), "name": "greet", "version": "1.2.0"}
        assert (await door.ended(flow["id"]))["output"] == {"a": 1}
        python = await door.post(RUNS, {"template_id": workflow_uuid("count"), "input": {"n": 1}}, status=201)
        assert (await door.ended(python["id"]))["output"] == 2
        await refused(door, {"template_id": "count"}, status=404, code="NOT_FOUND")
        found = await door.get(RUNS, template_id=workflow_uuid("count"))
        assert [run["id"] for run in found["data"]] == [python["id"]]


async def test_run_that_another_door_started_is_shown(tmp_path: Path) -> None:
    app = new_app(tmp_path)

    @app.workflow(name="ask")
    async def program(ctx: stepwell.RunContext, _input: Any) -> Any:
        outcome = await ctx.approve("/approve", ApprovalRequest(prompt="?"), name="approve")
        return outcome.decision

    async with open_door(app) as door:
        run_id = (await app.engine.start("ask", {"a": 1})).run_id
        approval = (await door.decide(run_id, "approve"))["approval"]
        assert (approval["step_key"], approval["status"]) == ("/approve", "approved")
        run = await door.ended(run_id)
        assert (run["output"], run["trigger_type"], run["template"]["name"]) == ("approved", "manual", "ask")
        assert step_of(run, "/approve")["type"] == "approval"


# --- reading --------------------------------------------------------------------------------------------------------


async def test_failed_run_says_which_step_failed_and_why(tmp_path: Path) -> None:
    app = new_app(tmp_path)

    @app.function
    def fail() -> None:
        raise ValueError("no more paper")

    retry = {"max_attempts": 3, "initial_ms": 1, "jitter": 0}
    async with open_door(app) as door:
        run = await door.ended(await door.start(NOW, call("print", "fail", retry=retry)))
        assert (run["status"], run["failure_reason"], run["output"]) == ("failed", "retries_exhausted", None)
        error = run["error"]
        assert (error["code"], error["step_key"], error["attempt"]) == ("runtime", "print", 3)
        assert "no more paper" in error["message"]
        step = step_of(run, "print")
        assert [(one["attempt"], one["status"]) for one in step["attempts"]] == [(n, "failed") for n in (1, 2, 3)]
        assert (step["attempt"], step["max_attempts"], step["status"]) == (3, 3, "failed")
        assert run["progress"] == {"total": 2, "completed": 1, "failed": 1, "skipped": 0, "in_flight": 0}
        (listed,) = (await door.get(RUNS))["data"]
        assert (listed["failure_reason"], listed["error"]["code"]) == ("step_failed", "runtime")


async def test_long_run_is_shown_with_its_first_500_events(tmp_path: Path) -> None:
    app = new_app(tmp_path)

    @app.workflow(name="long")
    async def long(ctx: stepwell.RunContext, _input: Any) -> None:
        for number in range(600):
            await ctx.record(f"/{number}", number)

    async with open_door(app) as door:
        run_id = (await app.engine.start("long")).run_id
        await app.engine.result(run_id)
        run = await door.run(run_id)
        assert (len(run["events"]), run["events_truncated"]) == (500, True)


@pytest.mark.parametrize("id", [UNKNOWN, "x", "templates", "123", "%7Bid%7D"])
async def test_unknown_run_is_not_found(door: Door, id: str) -> None:
    answer = await door.send("GET", f"{RUNS}/{id}")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "NOT_FOUND")


async def test_answer_comes_in_the_envelope_when_that_is_asked_for(door: Door) -> None:
    run_id = await door.start(NOW)
    accept = {"accept": 'application/json; profile="envelope"'}
    found = (await door.send("GET", f"{RUNS}/{run_id}", headers=accept)).json()
    assert (found["data"]["id"], found["errors"]) == (run_id, [])


# --- listing --------------------------------------------------------------------------------------------------------


async def made(door: Door, count: int) -> list[str]:
    """Ids of runs, newest first."""
    template_id = await door.template(LATER)
    return [(await door.post(RUNS, {"template_id": template_id}, status=201))["id"] for _ in range(count)][::-1]


async def test_list_goes_on_by_cursor_and_by_offset(door: Door) -> None:
    ids = await made(door, 5)
    first = await door.get(RUNS, limit=2)
    assert [run["id"] for run in first["data"]] == ids[:2]
    assert {**first["meta"]["pagination"], "cursor": None} == {"total_count": 5, "has_more": True, "cursor": None}
    second = await door.get(RUNS, limit=2, cursor=first["meta"]["pagination"]["cursor"], offset=4)
    assert [run["id"] for run in second["data"]] == ids[2:4]
    third = await door.get(RUNS, limit=2, cursor=second["meta"]["pagination"]["cursor"])
    assert [run["id"] for run in third["data"]] == ids[4:]
    assert third["meta"]["pagination"] == {"total_count": 5, "has_more": False, "cursor": None}
    by_offset = await door.get(RUNS, limit=2, offset=3)
    assert [run["id"] for run in by_offset["data"]] == ids[3:]


async def test_pages_miss_nothing_and_repeat_nothing_while_runs_are_started(door: Door) -> None:
    ids = await made(door, 6)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        starting = asyncio.create_task(made(door, 2))
        page = await door.get(RUNS, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [run["id"] for run in page["data"]]
        cursor = page["meta"]["pagination"]["cursor"]
        await starting
    assert len(seen) == len(set(seen))
    assert [id for id in seen if id in ids] == ids


async def test_list_is_filtered(tmp_path: Path) -> None:
    app = new_app(tmp_path)

    @app.function
    async def work() -> None:
        await asyncio.Event().wait()

    async with open_door(app) as door:
        asking = await door.start(ask())
        later = await door.start(LATER)
        busy = await door.start(call("work", "work"))
        done = await door.start(NOW)
        scheduled = await door.start(NOW, scheduled_at="2099-01-01T00:00:00Z")
        manual = (await app.engine.start((await door.run(done))["template"]["id"])).run_id
        await door.asked(asking)
        for run_id in (later, busy):
            await door.until(run_id, lambda run: run["current_step"])
        for run_id in (done, manual):
            await door.ended(run_id)
        template_id = (await door.run(later))["template"]["id"]
        middle = (await door.run(busy))["created_at"]

        async def ids(**query: Any) -> set[str]:
            found = await door.get(RUNS, limit=100, **query)
            listed = {run["id"] for run in found["data"]}
            assert found["meta"]["pagination"]["total_count"] == len(listed)
            return listed

        everything = {asking, later, busy, done, scheduled, manual}
        assert await ids() == everything
        assert await ids(status="waiting_approval") == {asking}
        assert await ids(status="running") == {later, busy}
        assert await ids(status="running,waiting_approval") == {asking, later, busy}
        assert await ids(status="completed,pending") == {done, scheduled, manual}
        assert await ids(status="failed") == set()
        assert await ids(template_id=template_id) == {later}
        assert await ids(template_id=template_id, status="waiting_approval") == set()
        assert await ids(template_id=UNKNOWN) == set()
        assert await ids(trigger_type="api") == everything - {manual}
        assert await ids(trigger_type="manual,schedule") == {manual}
        assert await ids(created_after=middle) == {busy, done, scheduled, manual}
        assert await ids(created_before=middle) == {asking, later}


@pytest.mark.parametrize(
    "query",
    [
        {"status": "waiting"},
        {"status": "running,broken"},
        {"trigger_type": "magic"},
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "many"},
        {"offset": "-1"},
        {"cursor": "!!"},
        {"created_after": "yesterday"},
    ],
)
async def test_parameter_that_is_wrong_is_refused_with_its_name(door: Door, query: dict[str, str]) -> None:
    answer = await door.send("GET", RUNS, params=query)
    (name,) = query
    assert (answer.status_code, error_of(answer)["code"]) == (422, "VALIDATION_ERROR")
    assert [field.partition(".")[0] for field in error_of(answer)["details"]] == [name]


async def test_child_run_is_one_that_a_run_started(door: Door) -> None:
    child = await door.template(NOW, name="Child")
    parent = await door.ended(
        await door.start({"key": "sub", "type": "subworkflow", "config": {"template_id": child}})
    )
    (found,) = (await door.get(RUNS, trigger_type="subworkflow"))["data"]
    assert found["id"] == step_of(parent, "sub")["child_run_id"]
    assert found["template"]["name"] == "Child"


# --- once -----------------------------------------------------------------------------------------------------------


async def test_200_clients_with_one_key_start_one_run(door: Door) -> None:
    template_id = await door.template(LATER)
    body, headers = {"template_id": template_id}, {"idempotency-key": new_id(0)}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=door.client.base_url, limits=limits, timeout=60) as client:
        answers = await asyncio.gather(*(client.post(RUNS, json=body, headers=headers) for _ in range(200)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert (await door.get(RUNS))["meta"]["pagination"]["total_count"] == 1


async def test_key_of_another_request_is_refused(door: Door) -> None:
    template_id = await door.template(LATER)
    headers = {"x-idempotency-key": "k"}
    await door.send("POST", RUNS, {"template_id": template_id}, headers=headers)
    answer = await door.send("POST", RUNS, {"template_id": template_id, "input": {}}, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "IDEMPOTENCY_MISMATCH")

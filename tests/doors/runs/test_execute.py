"""Blocking execution over real HTTP: what comes back, when, and what becomes of the run when the client goes."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from stepwell.core.errors import StorageUnavailableError
from stepwell.core.status import Status
from stepwell.engine.ids import workflow_uuid

from .serving import NOBODY, RUNS, House, details_of, housed, json_of, review, step

SUM: dict[str, Any] = {
    "name": "Sum",
    "inputs": [
        {"name": "a", "type": "number", "required": True},
        {"name": "b", "type": "number", "default": 2},
    ],
}
ADD = step("add", {"a": "{{ inputs.a }}", "b": "{{ inputs.b }}"}, id="add", name="Add")


async def test_completed_run_is_shown_with_every_field(house: House) -> None:
    id = await house.define(ADD, **SUM)
    answer = await house.execute(id, inputs={"a": 1})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    run = body["workflowRun"]
    (activity,) = run.pop("activityRuns")
    times = [run.pop("createdAt"), activity.pop("createdAt"), activity.pop("startedAt")]
    ends = [run.pop("updatedAt"), activity.pop("updatedAt"), activity.pop("completedAt")]
    assert all(time.endswith("Z") for time in times + ends)
    assert times == sorted(times)
    assert ends[1] == ends[2] <= ends[0]
    assert len(activity.pop("id")) == 36
    assert body == {
        "success": True,
        "workflowRun": {
            "id": answer.headers["x-workflow-run-id"],
            "workflowId": id,
            "workflowName": "Sum",
            "status": "completed",
            "inputs": [{"name": "a", "type": "number", "value": 1}, {"name": "b", "type": "number", "value": 2}],
            "outputs": 3,
            "error": None,
        },
    }
    assert activity == {
        "stepId": "add",
        "stepName": "Add",
        "status": "completed",
        "outputs": {"value": 3},
        "attempt": 1,
        "error": None,
        "inputs": {"a": 1, "b": 2},
    }


async def test_form_without_files_is_the_same_as_json(house: House) -> None:
    id = await house.define(ADD, **SUM)
    parts = {"workflowId": (None, id), "inputs": (None, '{"a": 5}'), "envs": (None, "")}
    answer = await house.client.post(f"{RUNS}/execute", files=parts)
    assert json_of(answer)["workflowRun"]["outputs"] == 7


async def test_failed_run_is_a_call_that_worked(house: House) -> None:
    id = await house.define(step("fail", {"text": "no rope left"}))
    answer = await house.execute(id)
    body = json_of(answer)
    assert (answer.status_code, body["success"], body["error"]) == (200, False, "Workflow run failed")
    assert body["workflowRun"]["status"] == "failed"
    assert body["workflowRun"]["outputs"] is None
    assert "no rope left" in body["details"]
    assert body["details"] == body["workflowRun"]["error"] == body["workflowRun"]["activityRuns"][0]["error"]


async def test_each_attempt_is_an_activity_run(house: House) -> None:
    id = await house.define(step("flaky"), step("echo", {"value": {"x": 1}}, id="last", name="Last"))
    run = await house.run(id)
    assert [(one["stepId"], one["attempt"], one["status"]) for one in run["activityRuns"]] == [
        ("work", 1, "failed"),
        ("work", 2, "failed"),
        ("work", 3, "completed"),
        ("last", 1, "completed"),
    ]
    assert [one["error"] for one in run["activityRuns"]] == ["busy 1", "busy 2", None, None]
    assert [one["outputs"] for one in run["activityRuns"]] == [None, None, {"value": 3}, {"x": 1}]
    assert len({one["id"] for one in run["activityRuns"]}) == 4
    assert run["outputs"] == {"x": 1}


async def test_run_that_is_cancelled_meanwhile_is_told(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    waiting = asyncio.create_task(house.execute(id))
    await house.gates.reached("a")
    (run,) = json_of(await house.client.get(RUNS))["workflowRuns"]
    await house.client.post(f"{RUNS}/cancel", json={"runIds": [run["id"]], "reason": "not today"})
    body = json_of(await waiting)
    assert (body["success"], body["error"], body["details"]) == (False, "Workflow run cancelled", "not today")
    assert (body["workflowRun"]["status"], body["workflowRun"]["error"]) == ("cancelled", "not today")
    assert [one["status"] for one in body["workflowRun"]["activityRuns"]] == ["cancelled"]


# --- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefer", ["wait=0", "respond-async", "respond-async, wait=0", 'WAIT="0"'])
async def test_client_that_does_not_wait_is_told_where_the_run_is(house: House, prefer: str) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    answer = await house.execute(id, headers={"Prefer": prefer})
    run = answer.json()["workflowRun"]
    assert (answer.status_code, answer.json()["success"]) == (202, True)
    assert answer.headers["location"] == f"{RUNS}/{run['id']}"
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["x-workflow-run-id"] == run["id"]
    assert run["status"] in ("scheduled", "running")
    house.gates.open("a")
    assert (await house.ended(run["id"]))["status"] == "completed"


async def test_server_bounds_the_wait_whatever_the_client_prefers(tmp_path: Path) -> None:
    async with housed(tmp_path, execute_wait_s=0.05) as house:
        id = await house.define(step("gate", {"name": "a"}))
        for headers in ({}, {"Prefer": "wait=100"}):
            assert (await house.execute(id, headers=headers)).status_code == 202


async def test_run_that_waits_for_people_is_waiting(house: House) -> None:
    id = await house.define(review())
    run_id = await house.begin(id)
    await house.until(run_id, Status.WAITING)
    run = await house.get(run_id)
    assert run["status"] == "waiting"
    assert [(one["stepId"], one["stepName"], one["status"]) for one in run["activityRuns"]] == [
        ("review", "Review", "waiting")
    ]


async def test_run_exists_before_the_answer(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    waiting = asyncio.create_task(house.execute(id))
    await house.gates.reached("a")
    assert [run["status"] for run in json_of(await house.client.get(RUNS))["workflowRuns"]] == ["running"]
    house.gates.open("a")
    assert json_of(await waiting)["workflowRun"]["status"] == "completed"


@pytest.mark.parametrize("asked", [{}, {"Idempotency-Key": "once"}])
async def test_head_comes_at_once_where_silent_connections_are_kept_alive(
    tmp_path: Path, asked: dict[str, str]
) -> None:
    async with housed(tmp_path, execute_keep_alive_s=0.02) as house:
        body = {"workflowId": await house.define(step("gate", {"name": "a"}))}
        async with house.client.stream("POST", f"{RUNS}/execute", json=body, headers=asked) as answer:
            chunks = answer.aiter_text()
            text = await anext(chunks)
            assert (answer.status_code, set(text)) == (200, {"\n"}), "white space while the run is at work"
            run_id = answer.headers["x-workflow-run-id"]
            assert answer.headers["location"] == f"{RUNS}/{run_id}"
            house.gates.open("a")
            async for chunk in chunks:
                text += chunk
        shown = msgspec.json.decode(text)
        assert (shown["success"], shown["workflowRun"]["status"]) == (True, "completed")
        assert shown["workflowRun"]["id"] == run_id


async def test_answer_that_was_kept_alive_tells_by_the_status_that_the_time_is_up(tmp_path: Path) -> None:
    async with housed(tmp_path, execute_keep_alive_s=0.02, execute_wait_s=0.3) as house:
        id = await house.define(step("gate", {"name": "a"}))
        answer = await house.execute(id)
        run = answer.json()["workflowRun"]
        assert (answer.status_code, run["status"]) == (200, "running")
        short = await house.execute(id, headers={"Prefer": "wait=0"})
        assert short.status_code == 202, "who does not wait has no connection to keep alive"


async def test_server_that_stops_tells_where_the_run_is(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    waiting = asyncio.create_task(house.execute(id))
    await house.gates.reached("a")
    house.app.engine.watchers.close()
    async with asyncio.timeout(10):
        answer = await waiting
    run = answer.json()["workflowRun"]
    assert (answer.status_code, run["status"]) == (202, "running")
    assert answer.headers["location"] == f"{RUNS}/{run['id']}"


async def test_failure_after_the_start_names_the_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def view(_run_id: str) -> None:
        raise StorageUnavailableError("the disk is on fire")

    id = await house.define(step("gate", {"name": "a"}))
    monkeypatch.setattr(house.app.engine, "view", view)
    answer = await house.execute(id, headers={"Prefer": "wait=0"})
    house.gates.open("a")
    assert (answer.status_code, answer.json()["success"]) == (503, False)
    (run,) = json_of(await house.client.get(RUNS))["workflowRuns"]
    assert answer.headers["x-workflow-run-id"] == run["id"]


async def test_failure_behind_a_head_that_was_sent_is_told_in_the_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def view(_run_id: str) -> None:
        raise StorageUnavailableError("the disk is on fire")

    async with housed(tmp_path, execute_keep_alive_s=0.02, execute_wait_s=0.3) as house:
        id = await house.define(step("gate", {"name": "a"}))
        monkeypatch.setattr(house.app.engine, "view", view)
        answer = await house.execute(id)
    assert (answer.status_code, answer.json()["success"], answer.json()["error"]) == (200, False, "Not ready")


# --- clients that go away -------------------------------------------------------------------------------------------


async def _go_away(house: House, body: dict[str, Any]) -> str:
    """Begin a blocking execution, and close the connection while it runs; the run's id."""
    request = httpx.Request("POST", f"{house.url}{RUNS}/execute", json=body)
    lines = [f"POST {RUNS}/execute HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    _, writer = await asyncio.open_connection("127.0.0.1", request.url.port, family=socket.AF_INET)
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + request.content)
    await house.gates.reached("a")
    writer.close()
    await writer.wait_closed()
    (run,) = json_of(await house.client.get(RUNS))["workflowRuns"]
    return str(run["id"])


@pytest.mark.parametrize("asked", [{}, {"onDisconnect": "continue"}])
async def test_run_goes_on_without_its_client(house: House, asked: dict[str, str]) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    run_id = await _go_away(house, {"workflowId": id, **asked})
    house.gates.open("a")
    assert (await house.ended(run_id))["status"] == "completed"


async def test_run_is_cancelled_with_its_client_if_it_asked_for_that(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    run_id = await _go_away(house, {"workflowId": id, "onDisconnect": "cancel"})
    run = await house.ended(run_id)
    assert (run["status"], run["error"]) == ("cancelled", "the client that started it has gone")


# --- inputs and envs ------------------------------------------------------------------------------------------------


TYPED: list[dict[str, Any]] = [
    {"name": "text", "type": "string", "required": True},
    {"name": "number", "type": "number"},
    {"name": "yes", "type": "boolean"},
    {"name": "list", "type": "array"},
    {"name": "thing", "type": "object"},
    {"name": "paper", "type": "file"},
    {"name": "colour", "type": "string", "enum": ["red", "blue"], "pattern": "^[a-z]+$"},
]


async def test_inputs_of_every_type_reach_the_steps(house: House) -> None:
    inputs = {"text": "a", "number": 1.5, "yes": True, "list": [1], "thing": {"a": None}, "colour": "red"}
    id = await house.define(step("echo", {"value": "{{ inputs }}"}), inputs=TYPED)
    run = await house.run(id, inputs=inputs)
    assert run["outputs"] == {**inputs, "paper": None}
    assert run["inputs"] == [
        {"name": "text", "type": "string", "value": "a"},
        {"name": "number", "type": "number", "value": 1.5},
        {"name": "yes", "type": "boolean", "value": True},
        {"name": "list", "type": "array", "value": [1]},
        {"name": "thing", "type": "object", "value": {"a": None}},
        {"name": "colour", "type": "string", "value": "red"},
    ]


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        ({}, "inputs.text", "expected a value, found none"),
        ({"text": 1}, "inputs.text", "expected text, found the number 1"),
        ({"text": "a", "number": "1"}, "inputs.number", "expected a number, found '1'"),
        ({"text": "a", "yes": 1}, "inputs.yes", "expected true or false, found the number 1"),
        ({"text": "a", "list": {}}, "inputs.list", "expected a list, found an empty object"),
        ({"text": "a", "thing": []}, "inputs.thing", "expected an object, found an empty list"),
        ({"text": "a", "colour": "green"}, "inputs.colour", "expected one of 'red', 'blue', found 'green'"),
        ({"text": "a", "txet": "b"}, "inputs.txet", "is not a declared variable; did you mean 'text'?"),
        (
            {"text": "a", "paper": {"objectId": "x"}},
            "inputs.paper",
            "expected a file, which comes as a part of a multipart form, found a value",
        ),
    ],
)
async def test_input_that_is_not_what_is_declared_is_refused(
    house: House, inputs: dict[str, Any], path: str, message: str
) -> None:
    id = await house.define(step("echo", {"value": 1}), inputs=TYPED)
    assert details_of(await house.execute(id, inputs=inputs)) == {path: message}
    assert json_of(await house.client.get(RUNS))["pagination"]["total"] == 0


SECRETIVE: dict[str, Any] = {
    "inputs": [{"name": "password", "type": "string", "secret": True}, {"name": "user", "type": "string"}],
    "envs": [{"name": "BASE_URL", "value": "https://one.example"}, {"name": "TOKEN", "value": "t0p-s3cret-token"}],
}
SECRETIVE["envs"][1]["secret"] = True


async def test_envs_are_overridden_for_one_run_and_shown_nowhere(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BASE_URL", raising=False)
    steps = [
        step("echo", {"value": {"length": "{{ env.BASE_URL }}/x"}}, id="see"),
        step("host_env", {"name": "BASE_URL"}, id="host"),
    ]
    id = await house.define(*steps, output={"url": "{{ steps.see.output.length }}"}, **SECRETIVE)
    assert (await house.run(id))["outputs"] == {"url": "https://one.example/x"}
    run = await house.run(id, envs={"BASE_URL": "https://two.example", "TOKEN": "another-secret-token"})
    assert run["outputs"] == {"url": "https://two.example/x"}
    assert run["activityRuns"][1]["outputs"] is None, "it is no variable of the server's process"
    shown = [
        (await house.client.get(path)).text
        for path in (f"{RUNS}/{run['id']}", RUNS, f"{RUNS}/{run['id']}/stream", f"/api/v1/workflows/{run['id']}")
    ]
    assert not any("another-secret-token" in text or "$env" in text for text in shown)


async def test_secret_input_is_masked_wherever_it_would_be_shown(house: House) -> None:
    id = await house.define(step("echo", {"value": "{{ inputs.user }}:{{ inputs.password }}"}), **SECRETIVE)
    run = await house.run(id, inputs={"password": "correct horse battery", "user": "ann"})
    assert run["inputs"] == [
        {"name": "password", "type": "string", "value": "********"},
        {"name": "user", "type": "string", "value": "ann"},
    ]
    for path in (f"{RUNS}/{run['id']}", RUNS, f"{RUNS}/{run['id']}/stream"):
        assert "correct horse" not in (await house.client.get(path)).text


@pytest.mark.parametrize(
    ("envs", "details"),
    [
        ({"OTHER": "x"}, {"envs.OTHER": "is not declared (there are: BASE_URL, TOKEN)"}),
        ({"BASE_URL": 1}, {"envs.BASE_URL": "expected text, found 1"}),
        ({"PATH": "x"}, {"envs.PATH": "is not declared (there are: BASE_URL, TOKEN)"}),
        ([], {"envs": "expected an object, found an array of 0"}),
    ],
)
async def test_envs_that_are_not_declared_are_refused(house: House, envs: Any, details: dict[str, str]) -> None:
    id = await house.define(step("echo", {"value": 1}), **SECRETIVE)
    assert details_of(await house.execute(id, envs=envs)) == details


# --- other workflows ------------------------------------------------------------------------------------------------


async def test_python_workflow_is_executed_by_the_uuid_of_its_name(house: House) -> None:
    answer = await house.execute(workflow_uuid("double"), inputs={"n": 21})
    run = json_of(answer)["workflowRun"]
    assert (run["workflowName"], run["workflowId"], run["outputs"]) == ("double", workflow_uuid("double"), 42)
    assert run["inputs"] == [{"name": "n", "type": "number", "value": 21}]
    assert [(one["stepId"], one["stepName"]) for one in run["activityRuns"]] == [("twice", "Twice")]
    refused = await house.execute(workflow_uuid("double"), envs={"A": "b"})
    assert details_of(refused) == {"envs.A": "is not declared (the workflow declares none)"}


async def test_flow_is_executed_by_the_uuid_of_its_name(house: House) -> None:
    flow = {
        "document": {"dsl": "1.0.1", "namespace": "t", "name": "greet", "version": "1.0.0"},
        "do": [{"say": {"set": {"text": '${ "hello " + .name }'}}}],
    }
    await house.app.engine.save(kind="flow", name="greet", version="1.0.0", text=msgspec.json.encode(flow).decode())
    run = await house.run(workflow_uuid("greet"), inputs={"name": "ann"})
    assert (run["workflowName"], run["outputs"]) == ("greet", {"text": "hello ann"})


async def test_published_template_is_executed_by_its_id(house: House) -> None:
    template = {
        "name": "Adder",
        "variables": [{"name": "a", "type": "integer", "required": True}],
        "steps": [{"key": "add", "type": "task", "config": {"action": "function", "function": "add",
                                                             "args": {"a": "{{ input.a }}", "b": 1}}}],
    }  # fmt: skip
    made = json_of(await house.client.post("/api/v1/workflow-templates", json=template))
    assert (await house.execute(made["id"], inputs={"a": 1})).status_code == 404
    await house.client.post(f"/api/v1/workflow-templates/{made['id']}/publish")
    run = await house.run(made["id"], inputs={"a": 1})
    assert (run["workflowName"], run["outputs"]) == ("Adder", 2)
    assert details_of(await house.execute(made["id"])) == {"inputs.a": "expected a value, found none"}
    await house.client.post(f"/api/v1/workflow-templates/{made['id']}/archive")
    assert (await house.execute(made["id"], inputs={"a": 1})).status_code == 409


# --- what is wrong with a request -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["execute", "execute/stream"])
@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({}, {"workflowId": "is required"}),
        ({"workflowId": "x"}, {"workflowId": "expected"}),
        ({"workflowId": NOBODY, "inputs": []}, {"inputs": "expected an object, found an array of 0"}),
        ({"workflowId": NOBODY, "input": {}}, {"input": "is not known"}),
        ({"workflowId": NOBODY, "onDisconnect": "stop"}, {"onDisconnect": "expected one of continue, cancel"}),
        ([], {"": "expected an object, found an array of 0"}),
    ],
)
async def test_body_of_another_shape_is_refused(house: House, path: str, body: Any, details: dict[str, str]) -> None:
    found = details_of(await house.client.post(f"{RUNS}/{path}", json=body))
    assert found.keys() == details.keys()
    assert all(found[path].startswith(message) for path, message in details.items()), found


@pytest.mark.parametrize("path", ["execute", "execute/stream"])
async def test_body_that_is_no_json_or_form_is_refused(house: House, path: str) -> None:
    async def post(content: bytes, media: str) -> httpx.Response:
        return await house.client.post(f"{RUNS}/{path}", content=content, headers={"content-type": media})

    assert "expected JSON" in details_of(await post(b"{", "application/json"))[""]
    for twice in (b'{"workflowId": "a", "workflowId": "b"}', b'{"a": ' * 70 + b"1" + b"}" * 70):
        assert (await post(twice, "application/json")).status_code == 400
    answer = await post(b"a=b", "text/csv")
    assert (answer.status_code, answer.json()["error"]) == (415, "Unsupported content type")
    assert answer.json()["details"] == (
        "Content-Type: expected multipart/form-data or application/json, found text/csv"
    )
    large = await post(b'{"workflowId": "' + b"x" * 1024 * 1024 + b'"}', "application/json")
    assert (large.status_code, large.json()["error"]) == (413, "Payload too large")


async def test_workflow_that_is_not_there_is_not_found(house: House) -> None:
    for path in ("execute", "execute/stream"):
        answer = await house.client.post(f"{RUNS}/{path}", json={"workflowId": NOBODY})
        assert (answer.status_code, answer.json()) == (
            404,
            {"success": False, "error": "Not found", "details": f"there is no workflow {NOBODY}"},
        )


# --- idempotency ----------------------------------------------------------------------------------------------------


async def test_same_key_is_one_run(house: House) -> None:
    id = await house.define(ADD, **SUM)
    headers = {"Idempotency-Key": "k1"}
    first = await house.execute(id, inputs={"a": 1}, headers=headers)
    again = await house.execute(id, inputs={"a": 1}, headers=headers)
    other = await house.execute(id, inputs={"a": 2}, headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status_code == 409
    assert json_of(await house.client.get(RUNS))["pagination"]["total"] == 1


async def test_repeat_with_the_same_key_waits_for_the_run_that_went_on(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    headers = {"Idempotency-Key": "k3"}
    first = await house.execute(id, headers={**headers, "Prefer": "wait=0"})
    again = asyncio.create_task(house.execute(id, headers=headers))
    await house.gates.reached("a")
    house.gates.open("a")
    ended = (await again).json()["workflowRun"]
    assert (first.status_code, ended["status"]) == (202, "completed")
    assert ended["id"] == first.headers["x-workflow-run-id"]
    once_more = await house.execute(id, headers=headers)
    assert (once_more.json()["workflowRun"], once_more.headers["idempotency-replayed"]) == (ended, "true")


async def test_repeats_wait_beside_the_first_and_may_ask_for_the_id_alone(house: House) -> None:
    id = await house.define(step("gate", {"name": "a"}))
    headers = {"Idempotency-Key": "k4"}
    first = asyncio.create_task(house.execute(id, headers=headers))
    await house.gates.reached("a")
    beside = asyncio.create_task(house.execute(id, headers=headers))
    async with asyncio.timeout(5):
        asked = await house.execute(id, headers={**headers, "Prefer": "respond-async"})
    assert (asked.status_code, asked.json()["workflowRun"]["status"]) == (202, "running")
    house.gates.open("a")
    answers = [(await first).json()["workflowRun"], (await beside).json()["workflowRun"]]
    assert [(run["id"], run["status"]) for run in answers] == [(asked.headers["x-workflow-run-id"], "completed")] * 2
    assert json_of(await house.client.get(RUNS))["pagination"]["total"] == 1


async def test_same_key_of_a_form_is_one_run_and_its_files_are_kept_once(house: House) -> None:
    reader = step("read", {"file": "{{ inputs.paper }}"})
    id = await house.define(reader, inputs=[{"name": "paper", "type": "file"}])
    form: Any = {"workflowId": (None, id), "paper": ("a.txt", b"hello")}

    async def post(form: Any) -> httpx.Response:
        headers = {"Idempotency-Key": "k2"}
        return await house.client.post(f"{RUNS}/execute", files=form, headers=headers)

    first, again, other = [await post(form), await post(form), await post({**form, "paper": ("a.txt", b"other")})]
    assert first.json() == again.json()
    assert other.status_code == 409
    assert house.app.files is not None
    assert await house.app.files.run_ids() == [first.json()["workflowRun"]["id"]]

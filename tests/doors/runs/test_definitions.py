"""Definitions over real HTTP: made, changed by versions, chosen, deleted, with values of their envs."""

from typing import Any

import pytest

from .serving import DEFINITIONS, NOBODY, QUICK, House, details_of, json_of, review, step

ECHO = step("echo", {"value": 1})
WHOLE: dict[str, Any] = {
    "name": "Invoice intake",
    "description": "Reads invoices",
    "services": ["mail"],
    "inputs": [
        {"name": "invoice", "label": "Invoice", "type": "file", "accept": ["application/pdf"]},
        {"name": "limit", "type": "number", "default": 10},
        {"name": "password", "type": "string", "secret": True, "default": "letmein99"},
    ],
    "envs": [{"name": "BASE_URL", "value": "https://a.example"}, {"name": "KEY", "value": "k3y", "secret": True}],
    "steps": [
        step("flaky", id="read", service="mail", retry=QUICK, timeout="PT5M", heartbeat="PT1M"),
        {**review(title="Sure?"), "dependsOn": ["read"]},
    ],
    "output": "{{ steps.read.output }}",
    "timeout": "PT1H",
    "maxParallel": 2,
}  # fmt: skip


async def test_definition_is_made_with_its_default_version_at_once(house: House) -> None:
    answer = await house.client.post(DEFINITIONS, json=WHOLE)
    assert answer.status_code == 201
    made = answer.json()["workflow"]
    assert answer.headers["location"] == f"{DEFINITIONS}/{made['id']}"
    assert len(made.pop("versionId")) == 36
    assert made.pop("createdAt") == made.pop("updatedAt")
    assert answer.json()["success"] is True
    inputs = [*WHOLE["inputs"][:2], {**WHOLE["inputs"][2], "default": "********"}]
    assert made == {
        **WHOLE,
        "id": made["id"],
        "inputs": inputs,
        "envs": [
            {"name": "BASE_URL", "value": "https://a.example", "secret": False},
            {"name": "KEY", "value": "********", "secret": True},
        ],
        "version": 1,
        "isDefault": True,
        "isDraft": False,
        "schedule": None,
        "scheduleStatus": None,
        "sharedTeamKeys": [],
    }
    assert json_of(await house.client.get(f"{DEFINITIONS}/{made['id']}")) == answer.json()


async def test_same_key_makes_one_definition(house: House) -> None:
    answers = [await house.client.post(DEFINITIONS, json=WHOLE, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert json_of(await house.client.get(DEFINITIONS))["pagination"]["total"] == 1


async def test_definitions_are_listed_newest_first_and_found_by_name(house: House) -> None:
    ids = [await house.define(ECHO, name=f"Flow {n}") for n in range(3)]
    page = json_of(await house.client.get(f"{DEFINITIONS}?limit=2"))
    assert [one["id"] for one in page["workflows"]] == ids[:0:-1]
    assert page["pagination"] == {"page": 1, "limit": 2, "total": 3, "totalPages": 2}
    assert list(page["workflows"][0]) == [
        "id", "name", "description", "services", "createdAt", "updatedAt", "scheduleStatus", "sharedTeamKeys",
        "version", "isDraft",
    ]  # fmt: skip
    found = json_of(await house.client.get(f"{DEFINITIONS}?search=FLOW 1"))
    assert [one["id"] for one in found["workflows"]] == [ids[1]]
    assert json_of(await house.client.get(f"{DEFINITIONS}?isDraft=true"))["workflows"] == []


async def test_update_is_a_new_version_and_runs_keep_theirs(house: House) -> None:
    old = step("gate", {"name": "g"})
    id = await house.define(old, name="One")
    run_id = await house.begin(id)
    await house.gates.reached("g")
    answer = json_of(await house.client.put(f"{DEFINITIONS}/{id}", json={"name": "Two", "steps": [ECHO]}))
    assert (answer["workflow"]["version"], answer["workflow"]["name"]) == (2, "Two")
    assert (await house.run(id))["outputs"] == 1
    house.gates.open("g")
    kept = await house.ended(run_id)
    assert (kept["outputs"], kept["workflowName"]) == ("g", "One")


async def test_default_version_is_chosen(house: House) -> None:
    id = await house.define(step("echo", {"value": 1}), name="One")
    await house.client.put(f"{DEFINITIONS}/{id}", json={"name": "Two", "steps": [step("echo", {"value": 2})]})
    third = {"name": "Three", "steps": [step("echo", {"value": 3})], "isDefault": False}
    shown = json_of(await house.client.put(f"{DEFINITIONS}/{id}", json=third))["workflow"]
    assert (shown["version"], shown["isDefault"]) == (3, False)
    versions = json_of(await house.client.get(f"{DEFINITIONS}/{id}/versions"))["versions"]
    assert [(one["version"], one["isDefault"], one["isDraft"]) for one in versions] == [
        (3, False, False),
        (2, True, False),
        (1, False, False),
    ]
    assert (await house.run(id))["outputs"] == 2
    for one in (versions[0], versions[2]):
        path = f"{DEFINITIONS}/{id}/versions/{one['id']}"
        chosen = json_of(await house.client.post(f"{path}/default"))["workflow"]
        assert (chosen["versionId"], chosen["isDefault"]) == (one["id"], True)
        assert (await house.run(id))["outputs"] == one["version"]
        parent = {"id": "sub", "type": "subworkflow", "inputs": {"workflow_id": id}}
        assert (await house.run(await house.define(parent)))["outputs"] == one["version"]
        assert json_of(await house.client.get(path))["workflow"]["version"] == one["version"]
    assert (await house.client.post(f"{DEFINITIONS}/{id}/versions/{NOBODY}/default")).status_code == 404


async def test_draft_starts_nothing_until_it_is_published(house: House) -> None:
    answer = await house.client.post(DEFINITIONS, json={"name": "Draft", "steps": [ECHO], "isDraft": True})
    made = json_of(answer)["workflow"]
    assert (made["isDraft"], made["isDefault"], made["version"]) == (True, False, 1)
    refused = await house.execute(made["id"])
    assert (refused.status_code, refused.json()["error"]) == (409, "Conflict")
    assert json_of(await house.client.get(DEFINITIONS))["workflows"] == []
    (listed,) = json_of(await house.client.get(f"{DEFINITIONS}?isDraft=true"))["workflows"]
    assert listed["id"] == made["id"]
    await house.client.post(f"{DEFINITIONS}/{made['id']}/versions/{made['versionId']}/default")
    assert (await house.run(made["id"]))["outputs"] == 1


async def test_definition_is_deleted_and_its_runs_stay(house: House) -> None:
    id = await house.define(ECHO, name="Gone")
    run = await house.run(id)
    assert json_of(await house.client.delete(f"{DEFINITIONS}/{id}")) == {"success": True}
    assert await house.get(run["id"]) == run
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/versions"), ("POST", "/envs")):
        body: Any = {"name": "x", "steps": [ECHO]} if method == "PUT" else {"envs": {}}
        answer = await house.client.request(method, f"{DEFINITIONS}/{id}{path}", json=body)
        assert answer.status_code == 404, (method, path, answer.text)


async def test_saved_envs_win_over_the_document_and_lose_against_an_execution(house: House) -> None:
    envs = [{"name": "PLACE", "value": "document"}, {"name": "KEY", "secret": True}]
    id = await house.define(step("echo", {"value": "{{ env.PLACE }}"}), envs=envs)
    assert (await house.run(id))["outputs"] == "document"
    saved = {"envs": {"PLACE": "saved", "KEY": "a-secret-key-99"}}
    shown = json_of(await house.client.post(f"{DEFINITIONS}/{id}/envs", json=saved))["workflow"]
    assert shown["envs"] == [
        {"name": "PLACE", "value": "saved", "secret": False},
        {"name": "KEY", "value": "********", "secret": True},
    ]
    assert (await house.run(id))["outputs"] == "saved"
    assert (await house.run(id, envs={"PLACE": "execution"}))["outputs"] == "execution"
    await house.client.post(f"{DEFINITIONS}/{id}/envs", json={"envs": {"PLACE": None}})
    assert (await house.run(id))["outputs"] == "document"
    refused = await house.client.post(f"{DEFINITIONS}/{id}/envs", json={"envs": {"OTHER": "x"}})
    assert details_of(refused) == {"envs.OTHER": "is not declared"}
    wrong = await house.client.post(f"{DEFINITIONS}/{id}/envs", json={"envs": {"PLACE": 1}})
    assert details_of(wrong).keys() == {"envs.PLACE"}


async def test_answer_sent_back_as_it_was_changes_nothing_but_the_version(house: House) -> None:
    first = json_of(await house.client.post(DEFINITIONS, json=WHOLE))["workflow"]
    again = json_of(await house.client.put(f"{DEFINITIONS}/{first['id']}", json={**first, "schedule": None}))[
        "workflow"
    ]
    changing = ("version", "versionId", "updatedAt")
    assert {name: again[name] for name in again if name not in changing} == {
        name: first[name] for name in first if name not in changing
    }
    definition = await house.app.engine.workflows.find(first["id"], "2")
    assert "letmein99" in definition.text
    assert "k3y" in definition.text
    assert "****" not in definition.text


# --- documents that are wrong ---------------------------------------------------------------------------------------


def with_step(**more: Any) -> dict[str, Any]:
    return {"name": "x", "steps": [{**step("echo"), **more}]}


def of(**more: Any) -> dict[str, Any]:
    """A document that would be right without `more`."""
    return {"name": "x", "steps": [ECHO], **more}


def looking_up(path: str) -> dict[str, Any]:
    return with_step(inputs={"function": "echo", "args": {"value": f"{{{{ {path} }}}}"}})


LENGTH = "expected a length of time like 'PT30S' (ISO 8601)"
OWN_NAME = "expected a name of its own"
VALUE = "steps.0.inputs.args.value"
WRONG: list[tuple[Any, dict[str, str]]] = [
    ({}, {"name": "expected the property 'name'", "steps": "expected the property 'steps'"}),
    (of(steps=[]), {"steps": "expected at least one step, found none"}),
    (of(steps={}), {"steps": "expected a list, found an empty object"}),
    (of(steps=[1]), {"steps.0": "expected an object, found the number 1"}),
    (of(name=1), {"name": "expected text, found the number 1"}),
    (of(step=[]), {"step": "expected a known property"}),
    (of(steps=[ECHO, ECHO]), {"steps.1.id": "expected a key of its own"}),
    (of(steps=[{"type": "activity", "inputs": {}}]), {"steps.0.id": "expected an id, or a name"}),
    (with_step(type="task"), {"steps.0.type": "expected 'activity'"}),
    (with_step(type="wait"), {"steps.0.action": "expected none for the type 'wait', found one"}),
    (with_step(action="read"), {"steps.0.action": "expected 'http.request' or 'function', found 'read'"}),
    (with_step(inputs={"function": "echo", "action": "function"}), {"steps.0.inputs.action": "expected none beside"}),
    (with_step(inputs=[]), {"steps.0.inputs": "expected an object, found an empty list"}),
    (with_step(inputs={"function": "nope"}), {"steps.0.inputs.function": "expected the name of a registered"}),
    (with_step(inputs={"function": "echo", "arg": 1}), {"steps.0.inputs.arg": "expected"}),
    (with_step(compensate={"action": "shell"}), {"steps.0.compensate.action": "expected 'http.request'"}),
    (with_step(dependsOn=["nope"]), {"steps.0.dependsOn.0": "expected the key of another step, found 'nope'"}),
    (with_step(timeout=5), {"steps.0.timeout": LENGTH}),
    (with_step(timeout="5 s"), {"steps.0.timeout": LENGTH}),
    (with_step(heartbeat="PT0S"), {"steps.0.heartbeat": LENGTH}),
    (with_step(condition=5), {"steps.0.condition": "expected text"}),
    (with_step(condition="("), {"steps.0.condition": "expected an expression"}),
    (with_step(onError="panic"), {"steps.0.onError": "expected fail, wait, continue or goto:<key>"}),
    (with_step(outputSchema={"type": 5}), {"steps.0.outputSchema.type": ""}),
    (with_step(retry={"maxAttempts": 0}), {"steps.0.retry.maxAttempts": "expected a whole number from 1 to 1000"}),
    (with_step(retry={"initialInterval": 1}), {"steps.0.retry.initialInterval": LENGTH}),
    (with_step(retry={"tries": 1}), {"steps.0.retry.tries": "expected"}),
    (looking_up("steps.no.output"), {VALUE: ""}),
    (looking_up("env.NO"), {VALUE: "{{ env.NO }}: expected a declared name"}),
    (looking_up("inputs.no"), {VALUE: "{{ inputs.no }}: expected a declared variable"}),
    (of(inputs=[{"name": "a", "type": "date"}]), {"inputs.0.type": "expected 'string'"}),
    (of(inputs=[{"type": "string"}]), {"inputs.0.name": "expected the property 'name'"}),
    (of(inputs=[{"name": "a", "default": 1}]), {"inputs.0.default": "expected text"}),
    (of(inputs=[{"name": "a"}, {"name": "a"}]), {"inputs.1.name": OWN_NAME}),
    (of(inputs={}), {"inputs": "expected a list"}),
    (of(envs=[{"name": "A", "value": 1}]), {"envs.0.value": "expected text"}),
    (of(envs=[{"name": "A"}, {"name": "A"}]), {"envs.1.name": OWN_NAME}),
    (of(timeout="soon"), {"timeout": LENGTH}),
    (of(maxParallel=0), {"maxParallel": "expected a whole number of 1 or more"}),
    (of(isDraft="yes"), {"isDraft": "expected true or false"}),
    (of(schedule={"cron": "x"}), {"schedule.cron": "Wrong number of fields in 'x'"}),
    (of(schedule={"corn": "x"}), {"schedule.corn": "is not known"}),
    (of(schedule={"cron": "0 9 * * *"}, isDraft=True), {"schedule": "expected none for a draft"}),
    ([], {"": "expected an object"}),
]


@pytest.mark.parametrize(("document", "details"), WRONG, ids=[str(details) for _, details in WRONG])
async def test_document_that_is_wrong_is_refused_with_the_place_of_each_fault(
    house: House, document: Any, details: dict[str, str]
) -> None:
    found = details_of(await house.client.post(DEFINITIONS, json=document))
    assert found.keys() == details.keys()
    assert all(found[path].startswith(message) for path, message in details.items()), found
    assert json_of(await house.client.get(DEFINITIONS))["pagination"]["total"] == 0


async def test_steps_of_the_types_that_need_nobody_run(house: House) -> None:
    child = await house.define(step("add", {"a": 1, "b": 1}), name="Child")
    plus = step("add", {"a": "{{ item }}", "b": 1}, id="plus")
    steps = [
        {"name": "Wait A Bit", "type": "wait", "inputs": {"seconds": 0}},
        {"id": "choose", "type": "condition", "inputs": {"if": "true", "then": ["go"], "else": []}},
        step("echo", {"value": 5}, id="go"),
        {"id": "each", "type": "foreach", "inputs": {"items": [1, 2], "steps": [plus]}},
        {"id": "sub", "type": "subworkflow", "inputs": {"workflow_id": child}},
    ]
    id = await house.define(*steps, output={"each": "{{ steps.each.output }}", "sub": "{{ steps.sub.output }}"})
    run = await house.run(id)
    assert run["outputs"] == {"each": [2, 3], "sub": 2}
    assert [one["stepId"] for one in run["activityRuns"]] == [
        "wait-a-bit",
        "choose",
        "go",
        "each",
        "each@0/plus",
        "each@1/plus",
        "sub",
    ]


async def test_steps_start_as_soon_as_what_they_depend_on_is_done(house: House) -> None:
    id = await house.define(
        step("gate", {"name": "slow"}, id="slow"),
        step("echo", {"value": 1}, id="quick"),
        step("gate", {"name": "next"}, id="next", dependsOn=["quick"]),
        step("add", {"a": "{{ steps.quick.output }}", "b": 1}, id="last", dependsOn=["slow", "next"]),
    )
    run_id = await house.begin(id)
    await house.gates.reached("next")
    house.gates.open("next")
    house.gates.open("slow")
    assert (await house.ended(run_id))["outputs"] == 2

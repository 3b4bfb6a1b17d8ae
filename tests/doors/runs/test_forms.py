"""Human review over real HTTP: forms while a run waits, submitted by those who may."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stepwell.core.status import Status

from .serving import FORMS, NOBODY, House, details_of, housed, json_of, review, step
from .test_access import TOKENS, bearer

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number", "maximum": 100}}, "required": ["amount"]}


async def asked(house: House, **inputs: Any) -> tuple[str, Any]:
    """A run that asks, and its form."""
    id = await house.define(review(**inputs), output="{{ steps.review.output }}")
    run_id = await house.begin(id)
    await house.until(run_id, Status.WAITING)
    (form,) = json_of(await house.client.get(f"{FORMS}?workflowRunId={run_id}"))["userForms"]
    return run_id, form


async def submit(house: House, form: Any, **body: Any) -> Any:
    return await house.client.post(f"{FORMS}/{form['id']}/submit", json=body)


async def test_form_says_what_is_asked(house: House) -> None:
    run_id, form = await asked(
        house, title="Sure?", prompt="Pay <b>42</b>?\nReally?", schema=SCHEMA, timeout_seconds=3600
    )
    run = await house.get(run_id)
    assert form.pop("createdAt") < form.pop("expiresAt")
    assert form == {
        "id": form["id"],
        "workflowRunId": run_id,
        "activityRunId": run["activityRuns"][0]["id"],
        "stepId": "review",
        "title": "Sure?",
        "html": "<h1>Sure?</h1><p>Pay &lt;b&gt;42&lt;/b&gt;?<br>Really?</p>",
        "schema": SCHEMA,
        "actions": ["approve", "reject", "modify"],
    }
    single = json_of(await house.client.get(f"{FORMS}/{form['id']}"))["userForm"]
    assert {name: single[name] for name in form} == form


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({"action": "approve"}, {"decision": "approved", "comment": "", "data": None}),
        (
            {"action": "approve", "comment": "fine", "data": {"amount": 5}},
            {"decision": "approved", "comment": "fine", "data": {"amount": 5}},
        ),
        (
            {"action": "modify", "data": {"amount": 7}},
            {"decision": "approved", "comment": "", "data": {"amount": 7}},
        ),
    ],
)
async def test_run_goes_on_with_what_was_submitted(house: House, body: Any, output: Any) -> None:
    run_id, form = await asked(house, schema=SCHEMA)
    answer = json_of(await submit(house, form, **body))
    assert answer["success"] is True
    assert answer["workflowRun"]["id"] == run_id
    run = await house.ended(run_id)
    assert (run["status"], run["outputs"]) == ("completed", output)


async def test_rejection_fails_the_run_and_says_by_whom_and_why(house: House) -> None:
    run_id, form = await asked(house)
    json_of(await submit(house, form, action="reject", comment="too dear"))
    run = await house.ended(run_id)
    assert run["status"] == "failed"
    assert run["error"] == "rejected by local: too dear"
    assert [one["status"] for one in run["activityRuns"]] == ["failed"]


async def test_form_is_gone_when_it_was_submitted(house: House) -> None:
    _, form = await asked(house)
    json_of(await submit(house, form, action="approve"))
    assert (await house.client.get(f"{FORMS}/{form['id']}")).status_code == 404
    assert (await submit(house, form, action="reject")).status_code == 404
    assert json_of(await house.client.get(FORMS))["pagination"]["total"] == 0


async def test_of_two_who_submit_at_once_one_decides(house: House) -> None:
    run_id, form = await asked(house)
    answers = await asyncio.gather(submit(house, form, action="approve"), submit(house, form, action="reject"))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses)[0] == 200
    assert sorted(statuses)[1] in (404, 409)
    run = await house.ended(run_id)
    assert run["status"] == ("completed" if statuses[0] == 200 else "failed")


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({}, {"action": "is required"}),
        ({"action": "maybe"}, {"action": "expected one of approve, reject, modify, found 'maybe'"}),
        ({"action": "modify"}, {"data": "expected what to go on with, found nothing"}),
        ({"action": "modify", "data": {"amount": 101}}, {"data.amount": "101 is greater than the maximum of 100"}),
        ({"action": "approve", "data": {}}, {"data": "'amount' is a required property"}),
        ({"action": "approve", "comment": "x" * 501}, {"comment": "expected"}),
        ({"action": "approve", "note": "x"}, {"note": "is not known"}),
    ],
)
async def test_submission_that_is_wrong_changes_nothing(house: House, body: Any, details: dict[str, str]) -> None:
    run_id, form = await asked(house, schema=SCHEMA)
    found = details_of(await submit(house, form, **body))
    assert found.keys() == details.keys()
    assert all(found[path].startswith(message) for path, message in details.items()), found
    assert (await house.get(run_id))["status"] == "waiting"


async def test_forms_are_listed_newest_first(house: House) -> None:
    id = await house.define(review())
    runs = [await house.begin(id) for _ in range(3)]
    for run_id in runs:
        await house.until(run_id, Status.WAITING)
    page = json_of(await house.client.get(f"{FORMS}?limit=2"))
    assert page["pagination"] == {"page": 1, "limit": 2, "total": 3, "totalPages": 2}
    rest = json_of(await house.client.get(f"{FORMS}?limit=2&page=2"))
    listed = [form["workflowRunId"] for form in page["userForms"] + rest["userForms"]]
    assert set(listed) == set(runs)


@pytest.mark.parametrize("id", [NOBODY, "x"])
async def test_unknown_form_is_not_found(house: House, id: str) -> None:
    assert (await house.client.get(f"{FORMS}/{id}")).status_code == 404
    assert (await house.client.post(f"{FORMS}/{id}/submit", json={"action": "approve"})).status_code == 404


async def test_people_who_are_named_see_the_form_and_others_do_not(tmp_path: Path) -> None:
    async with housed(tmp_path, **TOKENS) as house:
        house.client.headers.update(bearer("ann"))
        approvers = {"users": ["bob"], "roles": ["finance"]}
        id = await house.define(review(approvers=approvers), step("echo", {"value": 1}))
        run_id = await house.begin(id)
        await house.until(run_id, Status.WAITING)
        forms = {
            who: json_of(await house.client.get(FORMS, headers=headers))["userForms"]
            for who, headers in {
                "bob": bearer("bob"),
                "carl": bearer("carl", roles=["finance"]),
                "dora": bearer("dora", roles=["sales"]),
            }.items()
        }
        assert [len(found) for found in forms.values()] == [1, 1, 0]
        path = f"{FORMS}/{forms['bob'][0]['id']}"
        assert (await house.client.get(path)).status_code == 200, "the owner of the run sees it"
        assert (await house.client.get(path, headers=bearer("dora"))).status_code == 404
        refused = await house.client.post(f"{path}/submit", json={"action": "approve"})
        assert (refused.status_code, refused.json()["error"]) == (403, "Not allowed")
        answer = await house.client.post(f"{path}/submit", json={"action": "approve"}, headers=bearer("bob"))
        assert answer.status_code == 200
        assert (await house.ended(run_id))["status"] == "completed"


async def test_who_started_a_run_may_not_always_approve_it(tmp_path: Path) -> None:
    async with housed(tmp_path, **TOKENS) as house:
        house.client.headers.update(bearer("ann"))
        run_id, form = await asked(house, allow_self_approval=False, approvers={"users": ["ann", "bob"]})
        refused = await submit(house, form, action="approve")
        assert (refused.status_code, refused.json()["error"]) == (403, "Not allowed")
        headers = bearer("bob")
        await house.client.post(f"{FORMS}/{form['id']}/submit", json={"action": "approve"}, headers=headers)
        await house.app.engine.result(run_id, timeout_s=10)

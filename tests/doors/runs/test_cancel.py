"""Cancelling over real HTTP: five outcomes, each run for itself."""

import asyncio
from typing import Any

import pytest

from stepwell.core.status import Status
from stepwell.engine.ids import workflow_uuid
from stepwell.store.sqlite.connection import connect

from .serving import NOBODY, RUNS, House, details_of, json_of, review, step
from .test_listing import one_of_each


async def cancel(house: House, **body: Any) -> Any:
    return json_of(await house.client.post(f"{RUNS}/cancel", json=body))


async def test_each_run_has_its_outcome_in_the_order_of_the_ids(house: House) -> None:
    made = await one_of_each(house)
    wanted = {
        "completed": ("already_completed", "Run is completed"),
        "failed": ("already_completed", "Run is failed"),
        "cancelled": ("not_eligible", "Run is cancelled already"),
        "scheduled": ("cancelled", None),
        "running": ("cancelled", None),
        "waiting": ("cancelled", None),
        "paused": ("cancelled", None),
        "stopping": ("cancelled", None),
        NOBODY: ("not_found", "There is no such run"),
        "no-uuid": ("not_found", "There is no such run"),
    }
    ids = [made.get(name, name) for name in wanted]
    answer = await cancel(house, runIds=ids, reason="enough")
    assert answer["success"] is True
    assert [result["runId"] for result in answer["results"]] == ids
    assert [(result["status"], result.get("message")) for result in answer["results"]] == list(wanted.values())
    assert answer["summary"] == {
        "total": 10,
        "cancelled": 5,
        "already_completed": 2,
        "not_eligible": 1,
        "not_found": 2,
        "error": 0,
    }
    for name in ("scheduled", "running", "waiting", "paused", "stopping"):
        run = await house.get(made[name])
        assert (run["status"], run["error"]) == ("cancelled", "enough")


async def test_same_run_twice_is_one_outcome_where_it_stood_first(house: House) -> None:
    id = await house.define(review())
    first, second = await house.begin(id), await house.begin(id)
    answer = await cancel(house, runIds=[second, first, second, first.upper(), NOBODY, NOBODY])
    assert [result["runId"] for result in answer["results"]] == [second, first, NOBODY]
    assert answer["summary"]["total"] == 3


async def test_outcomes_stand_where_their_ids_stood_first(house: House) -> None:
    answer = await cancel(house, runIds=["a", "b", "A", "a"])
    assert [result["runId"] for result in answer["results"]] == ["a", "b", "A"]


async def test_cancelling_that_cannot_be_written_is_an_error_and_may_be_repeated(house: House) -> None:
    run_id = await house.begin(await house.define(review()))
    await house.until(run_id, Status.WAITING)
    other = connect(house.app.settings.db.removeprefix("sqlite:///"))
    other.execute("BEGIN IMMEDIATE")
    answer = await cancel(house, runIds=[run_id, NOBODY])
    other.execute("ROLLBACK")
    other.close()
    failed, missing = answer["results"]
    assert (failed["status"], missing["status"]) == ("error", "not_found")
    assert "locked" in failed["message"]
    assert answer["summary"]["error"] == 1
    assert (await house.get(run_id))["status"] == "waiting"
    (repeated,) = (await cancel(house, runIds=[run_id]))["results"]
    assert repeated["status"] == "cancelled"


async def test_all_open_runs_of_a_workflow_are_cancelled(house: House) -> None:
    ask, other = await house.define(review()), await house.define(review())
    runs = [await house.begin(ask) for _ in range(3)]
    left = await house.begin(other)
    await house.app.engine.cancel(runs[0])
    await house.until(left, Status.WAITING)
    answer = await cancel(house, workflowId=ask, reason="all of them")
    assert {result["runId"] for result in answer["results"]} == set(runs[1:])
    assert {result["status"] for result in answer["results"]} == {"cancelled"}
    assert (await house.get(left))["status"] == "waiting"
    again = await cancel(house, workflowId=ask)
    assert (again["results"], again["summary"]["total"]) == ([], 0)


async def test_runs_of_a_python_workflow_are_cancelled_by_its_uuid(house: House) -> None:
    assert (await cancel(house, workflowId=workflow_uuid("double")))["results"] == []


async def test_cancelling_a_run_cancels_its_form(house: House) -> None:
    run_id = await house.begin(await house.define(review()))
    await house.until(run_id, Status.WAITING)
    (form,) = json_of(await house.client.get("/api/v1/user-forms"))["userForms"]
    await cancel(house, runIds=[run_id])
    assert (await house.client.get(f"/api/v1/user-forms/{form['id']}")).status_code == 404


async def test_cancelling_at_once_cancels_once(house: House) -> None:
    run_id = await house.begin(await house.define(step("gate", {"name": "a"})))
    await house.gates.reached("a")
    answers = await asyncio.gather(*(cancel(house, runIds=[run_id]) for _ in range(5)))
    statuses = sorted(answer["results"][0]["status"] for answer in answers)
    assert statuses == ["cancelled", *["not_eligible"] * 4]


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({}, "runIds", "expected exactly one of runIds and workflowId, found neither"),
        (
            {"runIds": ["a"], "workflowId": NOBODY},
            "runIds",
            "expected exactly one of runIds and workflowId, found both",
        ),
        ({"runIds": []}, "runIds", "expected"),
        ({"runIds": [NOBODY] * 101}, "runIds", "expected"),
        ({"runIds": "a"}, "runIds", "expected an array"),
        ({"runIds": [1]}, "runIds.0", "expected text, found 1"),
        ({"workflowId": "x"}, "workflowId", "expected"),
        ({"runIds": ["a"], "reason": "x" * 501}, "reason", "expected"),
        ({"runIds": ["a"], "because": "x"}, "because", "is not known"),
    ],
)
async def test_request_that_is_wrong_is_refused(house: House, body: Any, path: str, message: str) -> None:
    details = details_of(await house.client.post(f"{RUNS}/cancel", json=body))
    assert details.keys() == {path}
    assert details[path].startswith(message)


async def test_workflow_that_is_not_there_is_not_found(house: House) -> None:
    answer = await house.client.post(f"{RUNS}/cancel", json={"workflowId": NOBODY})
    assert (answer.status_code, answer.json()["details"]) == (404, f"there is no workflow {NOBODY}")

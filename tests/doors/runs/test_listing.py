"""Lists, counts and single runs over real HTTP."""

from collections import Counter
from typing import Any

import pytest

from stepwell.core.status import Status
from stepwell.engine.ids import workflow_uuid
from stepwell.store.model import Definition

from .serving import NOBODY, RUNS, House, details_of, json_of, review, step

WORDS = ("scheduled", "running", "waiting", "completed", "failed", "cancelled")


async def one_of_each(house: House) -> dict[str, str]:
    """A run in every status of this API; ids by a name of ours."""
    add = await house.define(step("add", {"a": 1, "b": 1}), name="Adds")
    fail = await house.define(step("fail", {"text": "no"}), name="Fails")
    ask = await house.define(review(), name="Asks")
    gate = await house.define(step("gate", {"name": "g"}), name="Waits at a gate")
    found = {
        "completed": (await house.run(add))["id"],
        "failed": (await house.run(fail))["id"],
        "waiting": await house.begin(ask),
        "paused": await house.begin(ask),
        "cancelled": await house.begin(ask),
        "running": await house.begin(gate),
        "stopping": await house.begin(gate),
    }
    engine = house.app.engine
    later = await engine.start(add, start_at=engine.clock.now() + 3600, labels={"workflow_name": "Adds"})
    found["scheduled"] = later.run_id
    await house.until(found["waiting"], Status.WAITING)
    for name in ("running", "stopping"):
        await house.until(found[name], Status.RUNNING)
    await engine.pause(found["paused"])
    await engine.cancel(found["cancelled"])
    await engine.stop(found["stopping"])
    return found


async def test_every_status_is_listed_counted_and_found_under_its_word(house: House) -> None:
    made = await one_of_each(house)
    everything = json_of(await house.client.get(RUNS))
    assert everything["pagination"] == {"page": 1, "limit": 10, "total": 8, "totalPages": 1}
    words = {run["id"]: run["status"] for run in everything["workflowRuns"]}
    assert {name: words[id] for name, id in made.items()} == {
        **{word: word for word in WORDS},
        "paused": "waiting",
        "stopping": "running",
    }
    for word in WORDS:
        page = json_of(await house.client.get(f"{RUNS}?status={word}"))
        assert [run["id"] for run in page["workflowRuns"]] == [
            run["id"] for run in everything["workflowRuns"] if run["status"] == word
        ]
        assert page["pagination"]["total"] == Counter(words.values())[word]


async def test_run_in_a_list_has_every_field(house: House) -> None:
    id = await house.define(
        step("echo", {"value": 1}), name="Intake", inputs=[{"name": "a", "type": "number"}, {"name": "b"}]
    )
    run = await house.run(id, inputs={"a": 1})
    (listed,) = json_of(await house.client.get(RUNS))["workflowRuns"]
    assert listed == {name: run[name] for name in listed}
    assert list(listed) == ["id", "workflowId", "workflowName", "status", "inputs", "createdAt", "updatedAt"]
    assert listed["workflowName"] == "Intake"


async def test_pages_put_together_are_all_runs_newest_first(house: House) -> None:
    id = await house.define(step("echo", {"value": 1}))
    made = [(await house.run(id))["id"] for _ in range(7)]
    found: list[str] = []
    for page in range(1, 5):
        answer = json_of(await house.client.get(f"{RUNS}?page={page}&limit=2"))
        assert answer["pagination"] == {"page": page, "limit": 2, "total": 7, "totalPages": 4}
        found += [run["id"] for run in answer["workflowRuns"]]
    assert found == made[::-1]
    beyond = json_of(await house.client.get(f"{RUNS}?page=9&limit=2"))
    assert (beyond["workflowRuns"], beyond["pagination"]["total"]) == ([], 7)


async def test_pages_read_what_a_workflow_says_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [await house.define(step("add", {"a": n, "b": 1}), name=f"Adds {n}") for n in range(3)]
    for id in [*ids, *ids]:
        await house.run(id)
    store, read = house.app.engine.store, []
    find = store.find_definition

    async def counted(**wanted: str) -> Definition | None:
        read.append(wanted)
        return await find(**wanted)

    monkeypatch.setattr(store, "find_definition", counted)
    pages = [json_of(await house.client.get(RUNS)) for _ in range(2)]
    assert [run["workflowName"] for run in pages[1]["workflowRuns"]] == ["Adds 2", "Adds 1", "Adds 0"] * 2
    assert pages[0] == pages[1]
    assert len(read) <= 3


async def test_search_is_a_part_of_the_name_at_the_time_of_the_run(house: House) -> None:
    document: dict[str, Any] = {"steps": [step("echo", {"value": 1})]}
    intake = await house.define(*document["steps"], name="Invoice INTAKE 100%")
    other = await house.define(*document["steps"], name="a_b")
    first = (await house.run(intake))["id"]
    renamed = {**document, "name": "Invoice archive"}
    json_of(await house.client.put(f"/api/v1/workflow-definitions/{intake}", json=renamed))
    second = (await house.run(intake))["id"]
    third = (await house.run(other))["id"]
    fourth = (await house.run(workflow_uuid("double"), inputs={"n": 1}))["id"]

    async def found(**query: Any) -> list[str]:
        answer = json_of(await house.client.get(RUNS, params=query))
        assert answer["pagination"]["total"] == len(answer["workflowRuns"])
        return [run["id"] for run in answer["workflowRuns"]]

    assert await found(search="invoice") == [second, first]
    assert await found(search="intake") == [first]
    assert await found(search="archive", workflowId=intake) == [second]
    assert await found(search="archive", workflowId=other) == []
    assert await found(search="%") == [first]
    assert await found(search="_") == [third]
    assert await found(search="OUB") == [fourth]
    assert await found(search="invoice", status="failed") == []
    assert await found(workflowId=intake.upper()) == [second, first]
    assert await found(workflowId=workflow_uuid("double")) == [fourth]
    assert await found(workflowId=NOBODY) == []
    names = {run["id"]: run["workflowName"] for run in json_of(await house.client.get(RUNS))["workflowRuns"]}
    assert names == {first: "Invoice INTAKE 100%", second: "Invoice archive", third: "a_b", fourth: "double"}


async def test_runs_through_every_door_are_listed(house: House) -> None:
    started = await house.app.engine.start("double", {"n": 1}, door="llama")
    await house.app.engine.result(started.run_id)
    (run,) = json_of(await house.client.get(RUNS))["workflowRuns"]
    assert (run["id"], run["workflowId"]) == (started.run_id, workflow_uuid("double"))


@pytest.mark.parametrize(
    ("query", "path", "message"),
    [
        ("status=paused", "status", "expected one of scheduled, running, completed, failed, cancelled, waiting"),
        ("limit=0", "limit", "expected"),
        ("limit=101", "limit", "expected"),
        ("limit=x", "limit", "expected a whole number"),
        ("page=0", "page", "expected"),
        ("page=-1", "page", "expected"),
        ("workflowId=x", "workflowId", "expected"),
        ("limit=1&limit=2", "limit", "expected one value, found 2"),
    ],
)
async def test_parameter_that_is_wrong_is_refused(house: House, query: str, path: str, message: str) -> None:
    details = details_of(await house.client.get(f"{RUNS}?{query}"))
    assert details.keys() == {path}
    assert details[path].startswith(message)


# --- dashboard ------------------------------------------------------------------------------------------------------


async def test_dashboard_counts_every_status_and_the_sum_is_the_total(house: House) -> None:
    ask = await house.define(review(), name="Asks")
    empty = dict.fromkeys(WORDS, 0)
    assert json_of(await house.client.get(f"{RUNS}/dashboard/{ask}")) == {
        "success": True,
        "workflowId": ask,
        "total": 0,
        "counts": empty,
    }
    runs = [await house.begin(ask) for _ in range(3)]
    for run_id in runs:
        await house.until(run_id, Status.WAITING)
    await house.app.engine.pause(runs[0])
    await house.app.engine.cancel(runs[1])
    answer = json_of(await house.client.get(f"{RUNS}/dashboard/{ask}"))
    assert (answer["counts"], answer["total"]) == ({**empty, "waiting": 2, "cancelled": 1}, 3)


async def test_dashboard_of_a_deleted_workflow_still_counts_its_runs(house: House) -> None:
    id = await house.define(step("echo", {"value": 1}))
    await house.run(id)
    await house.client.delete(f"/api/v1/workflow-definitions/{id}")
    assert json_of(await house.client.get(f"{RUNS}/dashboard/{id}"))["counts"]["completed"] == 1
    assert (await house.execute(id)).status_code == 404


@pytest.mark.parametrize("id", [NOBODY, "x", "../x"])
async def test_dashboard_of_an_unknown_workflow_is_not_found(house: House, id: str) -> None:
    answer = await house.client.get(f"{RUNS}/dashboard/{id}")
    assert (answer.status_code, answer.json()["error"]) == (404, "Not found")


# --- one run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [NOBODY, "x", "execute", "cancel", "dashboard", f"{NOBODY}x", "%00"])
async def test_path_that_is_no_run_is_not_found(house: House, path: str) -> None:
    answer = await house.client.get(f"{RUNS}/{path}")
    body = answer.json()
    assert (answer.status_code, body["success"], body["error"]) == (404, False, "Not found")


async def test_method_that_is_not_there_is_told_in_this_shape(house: House) -> None:
    answer = await house.client.delete(RUNS)
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert answer.json()["success"] is False
    nowhere = await house.client.get(f"{RUNS}/{NOBODY}/nowhere")
    assert (nowhere.status_code, nowhere.json()["success"]) == (404, False)


async def test_run_is_read_in_any_spelling_of_its_id(house: House) -> None:
    id = await house.define(step("echo", {"value": 1}))
    run = await house.run(id)
    assert await house.get(run["id"].upper()) == run


async def test_run_of_nested_outputs_is_shown_as_it_is(house: House) -> None:
    id = await house.define(step("echo", {"value": [1, {"a": None}]}))
    run = await house.run(id)
    assert run["outputs"] == [1, {"a": None}]
    assert run["activityRuns"][0]["outputs"] == {"value": [1, {"a": None}]}

"""Snapshots and roll-backs over HTTP."""

import pytest

from .door import NOW, RUNS, Door, Json, ask, error_of, step_of

UNKNOWN = "01900000-0000-7000-8000-000000000000"


async def snapshots(door: Door, run_id: str) -> list[Json]:
    found: list[Json] = (await door.get(f"{RUNS}/{run_id}/snapshots", limit=100))["data"]
    return found


async def test_snapshots_are_there_after_every_step_and_where_somebody_took_one(door: Door) -> None:
    run_id = await door.start(NOW, ask(), {**NOW, "key": "last"})
    await door.asked(run_id)
    taken = await door.post(f"{RUNS}/{run_id}/snapshots", {"label": "before the review"}, status=201)
    assert (taken["label"], taken["reason"], taken["run_id"]) == ("before the review", "manual", run_id)
    await door.decide(run_id, "reject")
    await door.ended(run_id)
    await door.tell(run_id, "retry", status=202)
    found = await snapshots(door, run_id)
    assert [point["reason"] for point in found][-4:] == ["before_retry", "step_completed", "manual", "step_completed"]
    assert found[-2] == taken
    first, second = found[-1], found[-3]
    assert first["context_sha256"] == taken["context_sha256"] != second["context_sha256"]
    assert first["size"] < second["size"]
    assert len({point["id"] for point in found}) == len(found)


async def test_snapshots_have_pages(door: Door) -> None:
    run_id = await door.start(ask())
    for number in range(3):
        await door.post(f"{RUNS}/{run_id}/snapshots", {"label": str(number)}, status=201)
    first = await door.get(f"{RUNS}/{run_id}/snapshots", limit=2)
    assert [point["label"] for point in first["data"]] == ["2", "1"]
    cursor = first["meta"]["pagination"]["cursor"]
    assert first["meta"]["pagination"]["total_count"] == 3
    rest = await door.get(f"{RUNS}/{run_id}/snapshots", limit=2, cursor=cursor)
    assert [point["label"] for point in rest["data"]] == ["0"]


async def test_roll_back_does_again_what_came_after_and_keeps_the_log(door: Door) -> None:
    run_id = await door.start(NOW, ask(), ask("second"))
    first = await door.asked(run_id)
    await door.decide(run_id, "approve")
    await door.until(run_id, lambda run: run["pending_approvals"] and run["pending_approvals"][0]["id"] != first)
    await door.tell(run_id, "pause")
    after_now = (await snapshots(door, run_id))[-1]
    run = await door.tell(run_id, "rollback", {"snapshot_id": after_now["id"], "reason": "wrong rows"})
    assert (run["status"], run["context"], run["pending_approvals"]) == ("paused", {"now": None}, [])
    whole = await door.run(run_id)
    assert [step["status"] for step in whole["steps"]] == ["completed", "pending", "pending"]
    (event,) = [event for event in whole["events"] if event["type"] == "run.rolled_back"]
    assert event["data"] == {"to_seq": after_now["seq"], "reason": "wrong rows"}
    assert "approval.approved" in [event["type"] for event in whole["events"]]
    await door.tell(run_id, "resume")
    again = await door.asked(run_id)
    assert again != first
    for _ in range(2):
        await door.decide(run_id, "approve")
        await door.until(run_id, lambda run: run["completed_at"] or run["pending_approvals"])
    run = await door.ended(run_id)
    assert (run["status"], len(step_of(run, "now")["attempts"])) == ("completed", 1)


async def test_roll_back_of_a_failed_run_leaves_it_paused(door: Door) -> None:
    run_id = await door.start(NOW, ask())
    await door.decide(run_id, "reject")
    await door.ended(run_id)
    point = (await snapshots(door, run_id))[-1]
    run = await door.tell(run_id, "rollback", {"snapshot_id": point["id"]})
    assert (run["status"], run["error"], run["attempt"]) == ("paused", None, 2)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"snapshot_id": UNKNOWN}, 404, "NOT_FOUND"),
        ({"snapshot_id": "x"}, 404, "NOT_FOUND"),
        ({}, 422, "VALIDATION_ERROR"),
        ({"snapshot_id": UNKNOWN, "reason": "x" * 501}, 422, "VALIDATION_ERROR"),
    ],
)
async def test_roll_back_to_nowhere_is_refused(door: Door, body: Json, status: int, code: str) -> None:
    run_id = await door.start(ask())
    await door.asked(run_id)
    await door.tell(run_id, "pause")
    answer = await door.send("POST", f"{RUNS}/{run_id}/rollback", body)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


async def test_run_that_has_ended_takes_no_snapshot(door: Door) -> None:
    run_id = await door.start(NOW)
    await door.ended(run_id)
    answer = await door.send("POST", f"{RUNS}/{run_id}/snapshots")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "INVALID_STATE_TRANSITION")
    assert error_of(answer)["details"]["action"] == "snapshots"

"""Approvals over HTTP: who is asked, how many must, what stands, and what happens when nobody decides."""

import asyncio
import os
from typing import Any

import pytest

from stepwell.store.model import ApprovalQuery

from .door import INBOX, NOW, RUNS, Door, Json, ask, error_of, step_of

TRIALS = 500 if os.environ.get("STEPWELL_SOAK") else 50


async def decided(door: Door, run_id: str, verb: str, body: Json | None = None, *, approval_id: str = "") -> Any:
    """The answer to a decision on what a run waits for."""
    approval_id = approval_id or (await door.app.engine.approvals())[0].approval_id
    return await door.send("POST", f"{RUNS}/{run_id}/approvals/{approval_id}/{verb}", body or {})


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, error_of(answer)["code"]


async def waiting(door: Door, **config: Any) -> tuple[str, str]:
    """A run that asks, and the approval's id."""
    run_id = await door.start(ask(**config), NOW)
    return run_id, await door.asked(run_id)


# --- deciding -------------------------------------------------------------------------------------------------------


async def test_approval_becomes_the_output_of_its_step_and_the_run_goes_on(door: Door) -> None:
    run_id, approval_id = await waiting(door, title="Release", context={"rows": 12})
    answer = await decided(door, run_id, "approve", {"comment": "looks right", "data": {"rows": 12}})
    approval = answer.json()["approval"]
    assert (answer.status_code, approval["id"], approval["status"]) == (200, approval_id, "approved")
    assert approval["decisions"] == [
        {
            "actor_id": "local", "decision": "approved", "comment": "looks right", "data": {"rows": 12},
            "via": "agents", "bypass": None, "at": approval["decided_at"],
        }
    ]  # fmt: skip
    run = await door.ended(run_id)
    assert run["context"]["review"] == {"decision": "approved", "comment": "looks right", "data": {"rows": 12}}
    (event,) = [event for event in run["events"] if event["type"] == "approval.approved"]
    assert event["actor"] == {"type": "local", "id": "local", "ip": "127.0.0.1"}
    assert event["data"] == {"comment": "looks right", "via": "agents"}


async def test_rejection_fails_the_run(door: Door) -> None:
    run_id, _ = await waiting(door)
    answer = await decided(door, run_id, "reject", {"comment": "no"})
    assert answer.json()["approval"]["status"] == "rejected"
    run = await door.ended(run_id)
    assert (run["status"], run["failure_reason"], run["error"]["step_key"]) == (
        "failed",
        "approval_rejected",
        "review",
    )
    assert "no" in run["error"]["message"]


async def test_same_decision_again_changes_nothing(door: Door) -> None:
    run_id, approval_id = await waiting(door)
    first = await decided(door, run_id, "approve", {"comment": "a"})
    await door.ended(run_id)
    again = await decided(door, run_id, "approve", {"comment": "b"}, approval_id=approval_id)
    assert again.status_code == 200
    assert again.json()["approval"]["decisions"] == first.json()["approval"]["decisions"]


async def test_other_decision_is_refused_with_the_one_that_stands(door: Door) -> None:
    run_id, approval_id = await waiting(door)
    await decided(door, run_id, "approve", {"comment": "fine"})
    answer = await decided(door, run_id, "reject", approval_id=approval_id)
    assert refused(answer) == (409, "APPROVAL_ALREADY_DECIDED")
    standing = error_of(answer)["details"]["decision"]
    assert {**standing, "at": None} == {"decision": "approved", "actor_id": "local", "comment": "fine", "at": None}


async def test_racing_decisions_have_one_winner_and_the_others_learn_who(door: Door) -> None:
    template_id = await door.template(ask(approvers={"users": ["anna", "bert"]}))
    anna, bert = await door.of("anna"), await door.of("bert")
    engine = door.app.engine
    ids = [(await engine.start(template_id, {})).run_id for _ in range(TRIALS)]
    for trial, run_id in enumerate(ids):
        while not (rows := await engine.approvals(ApprovalQuery(run_id=run_id))):  # noqa: ASYNC110
            await asyncio.sleep(0)  # a turn of the loop each
        sides = [decided(anna, run_id, "approve", approval_id=rows[0].approval_id),
                 decided(bert, run_id, "reject", approval_id=rows[0].approval_id)]  # fmt: skip
        answers = await asyncio.gather(*(sides if trial % 2 else reversed(sides)))
        answers = list(answers) if trial % 2 else list(reversed(answers))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        winner, word = ("anna", "approved") if answers[0].status_code == 200 else ("bert", "rejected")
        loser = next(answer for answer in answers if answer.status_code == 409)
        assert error_of(loser)["code"] == "APPROVAL_ALREADY_DECIDED"
        standing = error_of(loser)["details"]["decision"]
        assert (standing["actor_id"], standing["decision"]) == (winner, word)


# --- who may decide -------------------------------------------------------------------------------------------------


async def test_owner_decides_when_nobody_is_named_and_others_see_nothing(door: Door) -> None:
    anna, bert = await door.of("anna"), await door.of("bert")
    run_id, approval_id = await waiting(anna)
    assert refused(await decided(bert, run_id, "approve")) == (404, "NOT_FOUND")
    assert (await bert.send("GET", f"{INBOX}/{approval_id}")).status_code == 404
    assert (await bert.get(INBOX))["data"] == []
    assert (await decided(anna, run_id, "approve")).status_code == 200


async def test_named_people_and_roles_see_the_approval_and_not_the_run(door: Door) -> None:
    anna, bert, carl = await door.of("anna"), await door.of("bert"), await door.of("carl", "finance")
    run_id, approval_id = await waiting(anna, approvers={"users": ["bert"], "roles": ["finance"]}, required=2)
    for one in (bert, carl):
        assert [row["id"] for row in (await one.get(INBOX))["data"]] == [approval_id]
        assert (await one.get(f"{INBOX}/{approval_id}"))["approvers"] == {"users": ["bert"], "roles": ["finance"]}
        assert (await one.send("GET", f"{RUNS}/{run_id}")).status_code == 404
    assert (await anna.get(INBOX))["data"] == []
    assert refused(await decided(anna, run_id, "approve")) == (403, "FORBIDDEN")
    first = (await decided(bert, run_id, "approve")).json()
    assert (set(first), first["status"], first["approval"]["status"]) == (
        {"id", "status", "approval"}, "waiting_approval", "pending",
    )  # fmt: skip
    second = (await decided(carl, run_id, "approve", approval_id=approval_id)).json()
    assert second["approval"]["status"] == "approved"
    assert [one["actor_id"] for one in second["approval"]["decisions"]] == ["bert", "carl"]
    assert (await anna.ended(run_id))["status"] == "completed"


async def test_quorum_counts_people_and_one_rejection_rejects(door: Door) -> None:
    anna, bert, carl = [await door.of(name) for name in ("anna", "bert", "carl")]
    run_id, approval_id = await waiting(anna, approvers={"users": ["bert", "carl"]}, required=2)
    for _ in range(2):
        answer = await decided(bert, run_id, "approve", approval_id=approval_id)
        assert (answer.status_code, answer.json()["approval"]["status"]) == (200, "pending")
    other = await decided(bert, run_id, "reject", approval_id=approval_id)
    assert refused(other) == (409, "APPROVAL_ALREADY_DECIDED")
    assert error_of(other)["details"]["decision"]["actor_id"] == "bert"
    assert (await decided(carl, run_id, "reject", approval_id=approval_id)).json()["approval"]["status"] == "rejected"
    assert (await anna.ended(run_id))["failure_reason"] == "approval_rejected"


async def test_first_of_a_quorum_rejects_alone(door: Door) -> None:
    anna, bert = [await door.of(name) for name in ("anna", "bert")]
    run_id, approval_id = await waiting(anna, approvers={"users": ["bert", "carl"]}, required=2)
    answer = await decided(bert, run_id, "reject", approval_id=approval_id)
    assert answer.json()["approval"]["status"] == "rejected"
    assert (await anna.ended(run_id))["failure_reason"] == "approval_rejected"


async def test_two_credentials_of_one_person_are_one_vote(door: Door) -> None:
    anna, also_anna = await door.of("anna"), await door.of("anna")
    run_id, approval_id = await waiting(anna, required=2, approvers={"users": ["anna", "bert"]})
    for one in (anna, also_anna):
        answer = await decided(one, run_id, "approve", approval_id=approval_id)
        assert len(answer.json()["approval"]["decisions"]) == 1


async def test_who_started_the_run_may_be_kept_from_approving_it(door: Door) -> None:
    anna, bert = await door.of("anna"), await door.of("bert")
    run_id, _ = await waiting(anna, approvers={"users": ["anna", "bert"]}, allow_self_approval=False)
    assert refused(await decided(anna, run_id, "approve")) == (403, "FORBIDDEN")
    assert (await decided(bert, run_id, "approve")).status_code == 200


async def test_owner_is_asked_by_the_role_owner(door: Door) -> None:
    anna, bert = await door.of("anna"), await door.of("bert", "owner")
    run_id, approval_id = await waiting(anna, approvers={"roles": ["owner"]})
    assert (await bert.get(INBOX))["data"] == []
    assert refused(await decided(bert, run_id, "approve")) == (404, "NOT_FOUND")
    assert [row["id"] for row in (await anna.get(INBOX))["data"]] == [approval_id]
    assert (await decided(anna, run_id, "approve")).status_code == 200


async def test_administrator_overrides_the_rules_only_by_saying_so_and_on_the_record(door: Door) -> None:
    anna, boss = await door.of("anna"), await door.of("boss", admin=True)
    run_id, approval_id = await waiting(anna, approvers={"users": ["bert"]})
    assert refused(await decided(boss, run_id, "approve")) == (403, "FORBIDDEN")
    assert refused(await decided(anna, run_id, "approve", {"bypass": True})) == (403, "FORBIDDEN")
    answer = await decided(
        boss, run_id, "approve", {"bypass": True, "comment": "bert is ill"}, approval_id=approval_id
    )
    assert answer.json()["approval"]["decisions"][0]["bypass"] == "not_an_approver"
    log = [(event["type"], event["actor"]["id"]) for event in (await anna.ended(run_id))["events"]]
    assert log[log.index(("approval.bypassed", "boss")) + 1] == ("approval.approved", "boss")


async def test_approval_of_another_run_is_not_found(door: Door) -> None:
    run_id, approval_id = await waiting(door)
    other_run, _ = await waiting(door)
    assert refused(await decided(door, other_run, "approve", approval_id=approval_id)) == (404, "NOT_FOUND")
    assert refused(await decided(door, run_id, "approve", approval_id="x")) == (404, "NOT_FOUND")
    assert refused(await decided(door, "x", "approve", approval_id=approval_id)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"), [({"comment": 5}, "comment"), ({"coment": ""}, "coment"), ({"bypass": "yes"}, "bypass")]
)
async def test_decision_with_a_wrong_body_is_refused_with_the_field(door: Door, body: Json, field: str) -> None:
    run_id, approval_id = await waiting(door)
    answer = await decided(door, run_id, "approve", body)
    assert (refused(answer), list(error_of(answer)["details"])) == ((422, "VALIDATION_ERROR"), [field])
    assert (await door.get(f"{INBOX}/{approval_id}"))["status"] == "pending"


async def test_data_are_of_the_schema_that_the_approval_asks_for(door: Door) -> None:
    schema = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
    run_id, approval_id = await waiting(door, schema=schema)
    assert (await door.get(f"{INBOX}/{approval_id}"))["form_schema"] == schema
    answer = await decided(door, run_id, "approve", {"data": {"rows": "many"}})
    assert (refused(answer), list(error_of(answer)["details"])) == ((422, "VALIDATION_ERROR"), ["data.rows"])
    assert (await decided(door, run_id, "approve", {"data": {"rows": 3}})).status_code == 200


async def test_rejection_needs_no_data(door: Door) -> None:
    run_id, _ = await waiting(door, schema={"type": "object", "required": ["rows"]})
    assert (await decided(door, run_id, "reject")).status_code == 200


# --- when nobody decides --------------------------------------------------------------------------------------------

EXPIRY: list[tuple[str, str, str | None]] = [
    ("fail", "failed", "approval_timeout"),
    ("reject", "failed", "approval_rejected"),
    ("approve", "completed", None),
]


@pytest.mark.parametrize(("on_timeout", "status", "reason"), EXPIRY)
async def test_expired_approval_ends_as_it_says(door: Door, on_timeout: str, status: str, reason: str | None) -> None:
    run_id = await door.start(ask(timeout_seconds=0.05, on_timeout=on_timeout))
    run = await door.ended(run_id)
    (approval,) = run["approvals"]
    assert (run["status"], run["failure_reason"], approval["status"]) == (status, reason, "expired")
    answer = await decided(door, run_id, "approve", approval_id=approval["id"])
    assert refused(answer) == (409, "APPROVAL_EXPIRED")
    assert error_of(answer)["details"]["decision"]["actor_id"] is None


async def test_expired_approval_may_lead_elsewhere(door: Door) -> None:
    steps = [ask(timeout_seconds=0.05, on_timeout="goto:late"), {**NOW, "key": "release"}, {**NOW, "key": "late"}]
    run = await door.ended(await door.start(*steps))
    assert (run["status"], run["approvals"][0]["on_timeout"]) == ("completed", "goto:late")
    assert [(step["key"], step["status"]) for step in run["steps"]][1:] == [
        ("release", "skipped"),
        ("late", "completed"),
    ]


async def test_expired_approval_may_ask_others(door: Door) -> None:
    anna, boss = await door.of("anna"), await door.of("boss")
    config: Json = {"timeout_seconds": 2, "on_timeout": "escalate", "escalate_to": {"users": ["boss"]}}
    run_id = await anna.start(ask(**config))
    approval_id = await anna.asked(run_id)
    assert (await boss.get(INBOX))["data"] == []
    run = await anna.until(run_id, lambda run: run["approvals"][0]["escalated"])
    assert "approval.escalated" in [event["type"] for event in run["events"]]
    assert [row["id"] for row in (await boss.get(INBOX))["data"]] == [approval_id]
    assert refused(await decided(anna, run_id, "approve", approval_id=approval_id)) == (403, "FORBIDDEN")
    assert (await decided(boss, run_id, "approve", approval_id=approval_id)).status_code == 200
    assert (await anna.ended(run_id))["status"] == "completed"


@pytest.mark.parametrize("end", ["rejected", "expired"])
async def test_retry_asks_anew_under_another_id_and_runs_what_was_behind_it(door: Door, end: str) -> None:
    wait_s = 0.2 if end == "expired" else 3600
    run_id = await door.start(ask(timeout_seconds="{{ input.wait_s }}"), NOW, input={"wait_s": wait_s})
    old = await door.asked(run_id)
    if end == "rejected":
        await decided(door, run_id, "reject", approval_id=old)
    await door.ended(run_id)
    await door.tell(run_id, "retry", {"input_patch": {"wait_s": 3600}}, status=202)
    new = await door.asked(run_id)
    assert new != old
    code = "APPROVAL_EXPIRED" if end == "expired" else "APPROVAL_ALREADY_DECIDED"
    assert refused(await decided(door, run_id, "approve", approval_id=old)) == (409, code)
    assert (await decided(door, run_id, "approve", approval_id=new)).status_code == 200
    run = await door.ended(run_id)
    assert (run["status"], run["attempt"], step_of(run, "now")["status"]) == ("completed", 2, "completed")
    assert [(one["id"], one["status"]) for one in run["approvals"]] == [(old, end), (new, "approved")]


async def test_retry_from_an_approval_asks_anew_and_does_all_behind_it_again(door: Door) -> None:
    run_id = await door.start(ask(), NOW, ask("second"))
    first = await door.asked(run_id)
    await decided(door, run_id, "approve", approval_id=first)
    await door.until(run_id, lambda run: run["pending_approvals"] and run["pending_approvals"][0]["id"] != first)
    await door.tell(run_id, "cancel")
    await door.tell(run_id, "retry", {"from_step": "review"}, status=202)
    new = await door.asked(run_id)
    run = await door.run(run_id)
    assert (new != first, run["context"]) == (True, {})
    assert [step["status"] for step in run["steps"]] == ["waiting", "pending", "pending"]


async def test_approvals_in_branches_really_block(door: Door) -> None:
    first = {**NOW, "key": "first"}
    branches = [{**ask(key), "depends_on": ["first"]} for key in ("left", "right")]
    last = {**NOW, "key": "last", "depends_on": ["left", "right"]}
    run_id = await door.start(first, *branches, last)
    run = await door.until(run_id, lambda run: len(run["pending_approvals"]) == 2)
    for approval in run["pending_approvals"]:
        assert step_of(await door.run(run_id), "last")["status"] == "pending"
        await decided(door, run_id, "approve", approval_id=approval["id"])
    assert (await door.ended(run_id))["status"] == "completed"


# --- the inbox ------------------------------------------------------------------------------------------------------


async def test_inbox_has_pages_a_total_and_a_filter(door: Door) -> None:
    template_id = await door.template(ask())
    engine = door.app.engine
    runs = [(await engine.start(template_id, {})).run_id for _ in range(5)]
    ids = [await door.asked(run_id) for run_id in runs][::-1]
    first = await door.get(INBOX, limit=2)
    assert [row["id"] for row in first["data"]] == ids[:2]
    assert first["meta"]["pagination"]["total_count"] == 5
    second = await door.get(INBOX, limit=2, cursor=first["meta"]["pagination"]["cursor"])
    assert [row["id"] for row in second["data"]] == ids[2:4]
    assert [row["id"] for row in (await door.get(INBOX, offset=4))["data"]] == ids[4:]
    await decided(door, runs[0], "approve", approval_id=ids[-1])
    await decided(door, runs[1], "reject", approval_id=ids[-2])
    for status, expected in (("pending", ids[:3]), ("approved", ids[4:]), ("rejected", ids[3:4]), ("all", ids)):
        found = await door.get(INBOX, status=status)
        assert [row["id"] for row in found["data"]] == expected
        assert found["meta"]["pagination"]["total_count"] == len(expected)
    answer = await door.send("GET", INBOX, params={"status": "open"})
    assert (refused(answer), list(error_of(answer)["details"])) == ((422, "VALIDATION_ERROR"), ["status"])


async def test_inbox_shows_each_approval_once_while_they_are_decided(door: Door) -> None:
    template_id = await door.template(ask())
    engine = door.app.engine
    runs = [(await engine.start(template_id, {})).run_id for _ in range(5)]
    ids = [await door.asked(run_id) for run_id in runs][::-1]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await door.get(INBOX, limit=2, **({"cursor": cursor} if cursor else {}))
        for row in page["data"]:
            assert (await decided(door, row["run_id"], "approve", approval_id=row["id"])).status_code == 200
        seen += [row["id"] for row in page["data"]]
        cursor = page["meta"]["pagination"]["cursor"]
    assert seen == ids
    assert (await door.get(INBOX))["meta"]["pagination"]["total_count"] == 0

"""Approvals: who may decide, how many must, and what happens when nobody does."""

from typing import Any

import msgspec
import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest, StandingDecision, faults
from stepwell.core.decide import Refusal, decide, find_approval
from stepwell.core.state import StepStatus

from .histories import ANNA, BERT, CANCELLED, NOW, OPERATOR, PAUSED, asked, outcome, raw, running, state_of, then


def approve(actor: h.Actor = ANNA, id: str = "A") -> c.DecideApproval:
    return c.DecideApproval(approval_id=id, approved=True, actor=actor, comment="fine", data=raw({"n": 1}))


def reject(actor: h.Actor = ANNA, id: str = "A") -> c.DecideApproval:
    return c.DecideApproval(approval_id=id, approved=False, actor=actor)


def bypassing() -> c.DecideApproval:
    return c.DecideApproval(approval_id="A", approved=True, actor=ANNA, bypass=True)


DECIDED = h.ApprovalDecided(at=5.0, key="a", approved=True, actor=ANNA)
BY_BERT = h.ApprovalDecided(at=6.0, key="a", approved=True, actor=BERT)
REJECTED = h.ApprovalDecided(at=6.0, key="a", approved=False, actor=BERT)
EXPIRED = h.ApprovalDecided(at=6.0, key="a", approved=False, expired=True)
VOTED = h.ApprovalVoted(at=5.0, key="a", actor=ANNA)
FORGOTTEN: list[h.AnyEvent] = [CANCELLED, h.RunRetried(at=10.0, generation=2, forget=("a",)), h.RunStarted(at=11.0)]

ANSWERS: list[tuple[str, list[h.AnyEvent], c.AnyCommand, object]] = [
    ("the owner decides when nobody is named", running(asked(), owner="anna"), approve(), ["ApprovalDecided"]),
    ("others do not", running(asked(), owner="anna"), approve(BERT), "not_an_approver"),
    ("the operator of the machine does", running(asked(), owner="anna"), approve(OPERATOR), ["ApprovalDecided"]),
    ("anybody does for a run without owner", running(asked()), approve(), ["ApprovalDecided"]),
    ("a named approver decides", running(asked(approvers=("anna",)), owner="x"), approve(), ["ApprovalDecided"]),
    ("the owner does not if others are named", running(asked(approvers=("bert",)), owner="anna"), approve(),
     "not_an_approver"),
    ("a role decides", running(asked(approvers=("role:boss",)), owner="x"), approve(BERT), ["ApprovalDecided"]),
    ("without it one does not", running(asked(approvers=("role:boss",)), owner="x"), approve(), "not_an_approver"),
    ("one of two is a vote", running(asked(required=2)), approve(), ["ApprovalVoted"]),
    ("the second decides", running(asked(required=2), VOTED), approve(BERT), ["ApprovalDecided"]),
    ("a second vote of the same person is none", running(asked(required=2), VOTED), approve(), []),
    ("nobody takes a vote back", running(asked(required=2), VOTED), reject(), "approval_already_decided"),
    ("one rejection rejects", running(asked(required=2), VOTED), reject(BERT), ["ApprovalDecided"]),
    ("the same decision again changes nothing", running(asked(), DECIDED), approve(), []),
    ("also by who voted first", running(asked(required=2), VOTED, BY_BERT), approve(), []),
    ("the other one is refused", running(asked(), DECIDED), reject(), "approval_already_decided"),
    ("a decision stands against everybody", running(asked(), DECIDED), approve(BERT), "approval_already_decided"),
    ("who voted for what was rejected learns it", running(asked(required=2), VOTED, REJECTED), approve(),
     "approval_already_decided"),
    ("also when the run has ended", running(asked(), CANCELLED), approve(), "approval_already_decided"),
    ("also when it was forgotten", running(asked(), *FORGOTTEN), approve(), "approval_already_decided"),
    ("a forgotten decision stands no more", running(asked(), DECIDED, *FORGOTTEN), approve(),
     "approval_already_decided"),
    ("an old approval decides nothing", running(asked(), DECIDED, *FORGOTTEN, asked(id="B")), approve(),
     "approval_already_decided"),
    ("the new one is decided", running(asked(), DECIDED, *FORGOTTEN, asked(id="B")), approve(id="B"),
     ["ApprovalDecided"]),
    ("nobody decides what has expired", running(asked(), EXPIRED), approve(), "approval_expired"),
    ("the owner's role is the owner", running(asked(approvers=("role:owner",)), owner="anna"), approve(),
     ["ApprovalDecided"]),
    ("and nobody who has a role of that name", running(asked(approvers=("role:owner",)), owner="x"),
     approve(h.Actor(id="carl", type="user", roles=("owner",))), "not_an_approver"),
    ("the owner may be named beside others", running(asked(approvers=("bert", "role:owner")), owner="anna"),
     approve(), ["ApprovalDecided"]),
    ("an administrator overrides who may decide, on the record", running(asked(), owner="x"),
     bypassing(), ["ApprovalBypassed", "ApprovalDecided"]),
    ("and who started the run", running(asked(allow_self_approval=False), actor=ANNA), bypassing(),
     ["ApprovalBypassed", "ApprovalDecided"]),
    ("but not how many must", running(asked(required=2), owner="x"), bypassing(),
     ["ApprovalBypassed", "ApprovalVoted"]),
    ("with nothing to override nothing is noted", running(asked()), bypassing(), ["ApprovalDecided"]),
    ("what is decided is not overridden", running(asked(), REJECTED), bypassing(), "approval_already_decided"),
    ("a paused run can be decided on", running(asked(), PAUSED), approve(), ["ApprovalDecided"]),
    ("an unknown approval is not found", running(asked()), approve(id="B"), "not_found"),
    ("who started the run may approve it", running(asked(), actor=ANNA), approve(), ["ApprovalDecided"]),
    ("unless that is ruled out", running(asked(allow_self_approval=False), actor=ANNA), approve(), "self_approval"),
    ("then others do", running(asked(allow_self_approval=False), actor=ANNA), approve(BERT), ["ApprovalDecided"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "events", "command", "expected"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_decision(name: str, events: list[h.AnyEvent], command: c.AnyCommand, expected: object) -> None:
    assert outcome(events, command) == expected, name


def _output(events: list[h.AnyEvent]) -> Any:
    return msgspec.json.decode(state_of(events).steps["a"].output)


def test_program_gets_the_decision_with_all_that_came_with_it() -> None:
    events = then(running(asked()), approve())
    assert _output(events) == {
        "decision": "approved", "comment": "fine", "data": {"n": 1}, "actor": "anna", "expired": False,
    }  # fmt: skip


STANDING: list[tuple[list[h.AnyEvent], str]] = [
    (then(running(asked()), approve()), "approved"),
    (then(running(asked()), reject()), "rejected"),
    (then(running(asked(due_at=50.0)), c.FireTimer(key="a")), "expired"),
    (running(asked(), CANCELLED), "cancelled"),
]


@pytest.mark.parametrize(("events", "standing"), STANDING, ids=[row[1] for row in STANDING])
def test_refusal_names_the_decision_that_stands(events: list[h.AnyEvent], standing: str) -> None:
    decision = decide(state_of(events), approve(BERT), NOW)
    assert isinstance(decision, Refusal)
    assert decision.standing.decision == standing
    assert standing in decision.message


def test_decision_that_stands_has_its_author_its_time_and_its_reason() -> None:
    decision = decide(state_of(then(running(asked()), approve())), reject(BERT), NOW + 9)
    assert isinstance(decision, Refusal)
    assert decision.standing == StandingDecision(decision="approved", at=NOW, actor="anna", comment="fine")


def test_every_vote_is_kept_with_its_channel_and_what_it_overrode() -> None:
    command = msgspec.structs.replace(approve(BERT), via="agents")
    events = then(
        then(running(asked(required=2), owner="x"), bypassing()), msgspec.structs.replace(command, bypass=True)
    )
    found = find_approval(state_of(events), "A")
    assert found is not None
    votes = [(vote.actor, vote.via, vote.bypass, vote.data) for vote in found[2].votes]
    assert votes == [("anna", "", "not_an_approver", h.NULL), ("bert", "agents", "not_an_approver", raw({"n": 1}))]


def test_first_of_a_quorum_rejects_alone() -> None:
    asking = running(asked(required=2, approvers=("anna", "bert")))
    assert outcome(asking, approve()) == ["ApprovalVoted"]
    assert outcome(asking, reject()) == ["ApprovalDecided"]
    assert _output(then(asking, reject()))["decision"] == "rejected"


EXPIRY: list[tuple[str, str]] = [
    ("fail", "rejected"),
    ("reject", "rejected"),
    ("approve", "approved"),
    ("goto", "rejected"),
]


@pytest.mark.parametrize(("on_timeout", "decision"), EXPIRY)
def test_approval_that_nobody_decides_expires(on_timeout: str, decision: str) -> None:
    asking = asked(due_at=50.0, timeout_s=47.0, on_timeout=on_timeout, goto="other")
    events = then(running(asking), c.FireTimer(key="a"))
    output = _output(events)
    assert (output["decision"], output["expired"]) == (decision, True)
    assert state_of(events).steps["a"].status is StepStatus.COMPLETED


def test_escalation_asks_others_for_as_long_again_and_then_rejects() -> None:
    request: dict[str, Any] = {
        "timeout_s": 47.0,
        "on_timeout": "escalate",
        "approvers": ("anna",),
        "escalate_to": ("bert",),
    }
    escalated = then(running(asked(due_at=50.0, **request), owner="x"), c.FireTimer(key="a"), now=60.0)
    assert state_of(escalated).timers == {"a": 107.0}
    assert outcome(escalated, approve()) == "not_an_approver"
    assert outcome(escalated, approve(BERT)) == ["ApprovalDecided"]
    expired = then(escalated, c.FireTimer(key="a"), now=107.0)
    assert _output(expired)["decision"] == "rejected"
    assert _output(expired)["expired"] is True


def test_request_counts_its_time_from_now() -> None:
    command = c.RequestApproval(key="a", approval_id="A", request=ApprovalRequest(timeout_s=5.0))
    assert state_of(then(running(), command)).timers == {"a": NOW + 5.0}


def test_votes_are_kept_until_the_quorum_is_reached() -> None:
    events = then(then(running(asked(required=3)), approve()), approve(BERT))
    found = find_approval(state_of(events), "A")
    assert found is not None
    assert [vote.actor for vote in found[2].votes] == ["anna", "bert"]
    decided = then(events, approve(OPERATOR))
    assert state_of(decided).steps["a"].status is StepStatus.COMPLETED


FAULTY: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"required": 2}, []),
    ({"required": 2, "approvers": ("ann", "bob")}, []),
    ({"required": 2, "approvers": ("role:boss",)}, []),
    ({"required": 0}, ["required: expected 1 approver or more, found 0"]),
    ({"required": 2, "approvers": ("ann",)},
     ["required: expected as many approvers as are named (1) or fewer, found 2"]),
    ({"required": 2, "approvers": ("ann", "ann")},
     ["required: expected as many approvers as are named (1) or fewer, found 2"]),
    ({"timeout_s": 0.0}, ["timeout_s: expected a number of seconds above 0, at most 100 years, found 0"]),
    ({"timeout_s": float("nan")}, ["timeout_s: expected a number of seconds above 0, at most 100 years, found nan"]),
    ({"timeout_s": 1e300}, ["timeout_s: expected a number of seconds above 0, at most 100 years, found 1e+300"]),
    ({"on_timeout": "escalate", "timeout_s": 5.0, "escalate_to": ("ann",)}, []),
    ({"on_timeout": "escalate", "timeout_s": 5.0}, ["escalate_to: expected somebody to escalate to, found nobody"]),
    ({"on_timeout": "escalate", "escalate_to": ("ann",)},
     ["timeout_s: expected a time after which to escalate, found none"]),
    ({"required": 2, "on_timeout": "escalate", "timeout_s": 5.0, "escalate_to": ("ann",)},
     ["escalate_to: expected as many approvers as are named (1) or fewer, found 2"]),
    ({"on_timeout": "goto", "goto": "late"}, []),
    ({"on_timeout": "goto"}, ["goto: expected a step to go on at, found none"]),
]  # fmt: skip


@pytest.mark.parametrize(("request_of", "expected"), FAULTY)
def test_request_that_nobody_could_decide_is_at_fault(request_of: dict[str, Any], expected: list[str]) -> None:
    assert faults(ApprovalRequest(**request_of)) == expected

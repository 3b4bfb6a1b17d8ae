"""The rules of approvals: who may decide, how many must, what stands, and what happens when nobody decides in time.

Every channel (doors, console, command line) decides through `decide_approval`, by the command `DecideApproval`.
"""

from typing import Literal

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.approvals import OWNER_ROLE, ROLE, StandingDecision
from stepwell.core.decision import NOTHING, Decision, Refusal
from stepwell.core.state import Approval, State, Step, StepStatus, Vote

Rule = Literal["not_an_approver", "self_approval"]


def find_approval(state: State, approval_id: str) -> tuple[str, Step, Approval] | None:
    """The key, the step and the approval of an approval id, open or closed, also one that was asked anew since."""
    for key, step in state.steps.items():
        if step.approval is not None and step.approval.id == approval_id:
            return key, step, step.approval
    old = state.old_approvals.get(approval_id)
    return ("", old, old.approval) if old is not None and old.approval is not None else None


def decide_approval(state: State, command: c.DecideApproval, now: float) -> Decision:
    """A vote, the decision, or why not. The same decision by the same person again changes nothing."""
    found = find_approval(state, command.approval_id)
    if found is None:
        return Refusal(code="not_found", message=f"there is no approval {command.approval_id} in this run")
    key, step, approval = found
    if step.closed or step.forgotten:
        return _too_late(state, step, approval, command)
    rule = broken_rule(state, approval, command.actor)
    if rule is not None and not command.bypass:
        return _forbidden(rule, approval, command.actor)
    vote = _vote_of(approval, command.actor)
    if vote is not None:
        return NOTHING if command.approved else _decided(state, approval, _standing_vote(vote))
    bypass = [] if rule is None else [h.ApprovalBypassed(at=now, actor=command.actor, key=key, rule=rule)]
    return [*bypass, _decision(approval, key, command, now)]


def _decision(approval: Approval, key: str, command: c.DecideApproval, now: float) -> h.AnyEvent:
    """A vote while others must approve too, else the decision; one rejection rejects."""
    approvals = sum(vote.approved for vote in approval.votes)
    if command.approved and approvals + 1 < approval.request.required:
        return h.ApprovalVoted(
            at=now, actor=command.actor, key=key, comment=command.comment, data=command.data, via=command.via
        )
    return h.ApprovalDecided(
        at=now,
        actor=command.actor,
        key=key,
        approved=command.approved,
        comment=command.comment,
        data=command.data,
        via=command.via,
    )


def broken_rule(state: State, approval: Approval, actor: h.Actor) -> Rule | None:
    """The rule by which an actor may not decide; None when it may."""
    if not _is_approver(state, approval, actor):
        return "not_an_approver"
    if not approval.request.allow_self_approval and actor.id == state.created_by.id:
        return "self_approval"
    return None


def _is_approver(state: State, approval: Approval, actor: h.Actor) -> bool:
    named = approval.approvers
    if (not named or OWNER_ROLE in named) and _is_owner(state, actor):
        return True
    return actor.id in named or any(f"{ROLE}{role}" in named for role in actor.roles if role != "owner")


def _is_owner(state: State, actor: h.Actor) -> bool:
    """Whether the actor is the run's owner. Whoever sits at the machine stands for all owners, and is nobody else."""
    return actor.id == state.owner or not state.owner or actor.type in ("system", "local", "internal")


def _forbidden(rule: Rule, approval: Approval, actor: h.Actor) -> Refusal:
    why = {
        "not_an_approver": f"{actor.id} may not decide the approval {approval.id}",
        "self_approval": f"{actor.id} started this run and may not decide the approval {approval.id}",
    }
    return Refusal(code=rule, message=why[rule])


def _too_late(state: State, step: Step, approval: Approval, command: c.DecideApproval) -> Decision:
    standing = standing_decision(step, approval)
    vote = _vote_of(approval, command.actor)
    asked = "approved" if command.approved else "rejected"
    if not step.forgotten and standing.decision == asked and vote is not None and vote.approved == command.approved:
        return NOTHING
    return _decided(state, approval, standing)


def _decided(state: State, approval: Approval, standing: StandingDecision) -> Refusal:
    expired = standing.decision == "expired"
    return Refusal(
        code="approval_expired" if expired else "approval_already_decided",
        message=f"the approval {approval.id} is {standing}",
        status=str(state.status),
        standing=standing,
    )


def _vote_of(approval: Approval, actor: h.Actor) -> Vote | None:
    return next((vote for vote in approval.votes if vote.actor == actor.id), None)


def _standing_vote(vote: Vote) -> StandingDecision:
    """A vote stands as the decision of who cast it, also while others are asked."""
    decision: Literal["approved", "rejected"] = "approved" if vote.approved else "rejected"
    return StandingDecision(decision=decision, at=vote.at, actor=vote.actor, comment=vote.comment)


def standing_decision(step: Step, approval: Approval) -> StandingDecision:
    """How a closed approval was decided."""
    if step.status is not StepStatus.COMPLETED:
        return StandingDecision(decision="cancelled", at=step.closed_at)
    if approval.expired:
        return StandingDecision(decision="expired", at=step.closed_at)
    return _standing_vote(approval.votes[-1])


def expire_approval(step: Step, key: str, now: float) -> h.AnyEvent:
    """Nobody decided in time: others are asked, or `on_timeout` decides."""
    approval = step.approval
    assert approval is not None
    request = approval.request
    if request.on_timeout == "escalate" and not approval.escalated and request.timeout_s is not None:
        return h.ApprovalEscalated(at=now, key=key, approvers=request.escalate_to, due_at=now + request.timeout_s)
    return h.ApprovalDecided(
        at=now,
        key=key,
        approved=request.on_timeout == "approve",
        expired=True,
        comment="nobody decided in time",
    )

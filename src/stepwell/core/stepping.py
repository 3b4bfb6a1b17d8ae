"""What events of a step or wait do to the state: it begins, is tried, waits, is closed (`run.apply` leads here)."""

from typing import Final

import msgspec

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalOutcome
from stepwell.core.errors import Problem, problem
from stepwell.core.program import SignalValue
from stepwell.core.state import Approval, State, Step, StepKind, StepStatus, Vote
from stepwell.core.status import Status, WaitReason

# Looking a member up in its class costs as much as a call in Python 3.11; these are on the path of every step.
_CALL: Final = StepKind.CALL
_SCHEDULED: Final = StepStatus.SCHEDULED
_RUNNING: Final = StepStatus.RUNNING
_COMPLETED: Final = StepStatus.COMPLETED


def _open(state: State, key: str, step: Step) -> None:
    """A wait begins."""
    if key in state.steps:
        _go_on_counting(state, step, state.steps[key])
    state.steps[key] = step
    state.current = key
    state.waits[key] = None
    state.touched.append(key)
    step.attempt += 1
    step.started_at = step.opened_at
    state.attempts += 1


def _go_on_counting(state: State, step: Step, earlier: Step) -> None:
    """A step takes the place of one that a retry or a roll-back forgot: attempts go on counting."""
    step.attempt = earlier.attempt
    step.past = earlier.attempts()
    step.late = earlier.late
    if earlier.approval is not None:
        state.old_approvals[earlier.approval.id] = earlier


def close(
    state: State,
    key: str,
    status: StepStatus,
    *,
    at: float,
    output: msgspec.Raw = h.NULL,
    error: Problem | None = None,
) -> None:
    step = state.steps[key]
    step.status = status
    step.closed_at = at
    step.closed_seq = state.seq
    step.output = output
    step.error = error
    if step.kind is _CALL:
        state.active.pop(key, None)
        if key not in state.timers:
            return
    else:
        state.waits.pop(key, None)
        if step.signal and key in state.awaiting.get(step.signal, ()):
            state.awaiting[step.signal].remove(key)
    disarm(state, key)


def arm(state: State, key: str, due_at: float | None) -> None:
    if due_at is not None:
        state.timers[key] = due_at
    state.touched.append(key)


def disarm(state: State, key: str) -> None:
    state.timers.pop(key, None)
    state.touched.append(key)


def _put_past(step: Step, at: float) -> None:
    """Another attempt begins: the one before failed, or was cut off by a crash."""
    step.attempt_ended_at = step.attempt_ended_at if step.attempt_ended_at is not None else at
    step.past = step.attempts()
    step.attempt_ended_at = step.attempt_error = None


def attempt_started(state: State, event: h.AttemptStarted) -> None:
    step = state.steps[event.key]
    if step.started_at is not None:
        _put_past(step, event.at)
    step.attempt = event.attempt
    step.started_at = event.at
    state.attempts += 1
    step.status = _RUNNING
    step.started_seq = state.seq
    state.current = event.key
    if step.due_at is not None:
        step.due_at = None
        disarm(state, event.key)


def attempt_failed(state: State, event: h.AttemptFailed) -> None:
    step = state.steps[event.key]
    step.failures += 1
    step.attempt_ended_at = event.at
    step.attempt_error = event.error


def retry_scheduled(state: State, event: h.RetryScheduled) -> None:
    step = state.steps[event.key]
    step.status = StepStatus.RETRYING
    step.due_at = event.due_at
    arm(state, event.key, event.due_at if state.phase is not Status.PAUSED else None)


def step_scheduled(state: State, event: h.StepScheduled) -> None:
    key = event.key
    step = Step(name=event.name, kind=_CALL, status=_SCHEDULED, opened_at=event.at)
    if key in state.steps:
        _go_on_counting(state, step, state.steps[key])
    state.steps[key] = step
    state.current = key
    state.active[key] = None


def step_completed(state: State, event: h.StepCompleted) -> None:
    """As `close`, for a call that is in flight: it has no timer and no error."""
    step = state.steps[event.key]
    step.status = _COMPLETED
    step.closed_at = event.at
    step.closed_seq = state.seq
    step.output = event.output
    state.active.pop(event.key, None)


# --- waits ----------------------------------------------------------------------------------------------------------


def timer_set(state: State, event: h.TimerSet) -> None:
    _open(
        state,
        event.key,
        Step(
            name=event.name,
            kind=StepKind.TIMER,
            status=StepStatus.WAITING,
            opened_at=event.at,
            due_at=event.due_at,
            reason=WaitReason.TIMER,
        ),
    )
    arm(state, event.key, event.due_at)


def signal_awaited(state: State, event: h.SignalAwaited) -> None:
    _open(
        state,
        event.key,
        Step(
            name=event.name,
            kind=StepKind.SIGNAL,
            status=StepStatus.WAITING,
            opened_at=event.at,
            due_at=_due(event.deadline, event.heartbeat_s, event.at),
            reason=event.reason,
            signal=event.signal,
            deadline=event.deadline,
            heartbeat_s=event.heartbeat_s,
        ),
    )
    early = state.early.get(event.signal)
    if early:
        _take_signal(state, event.key, early.pop(0), event.at)
        if not early:
            del state.early[event.signal]
    else:
        state.awaiting.setdefault(event.signal, []).append(event.key)
        arm(state, event.key, state.steps[event.key].due_at)


def _due(deadline: float | None, heartbeat_s: float | None, at: float) -> float | None:
    """When a wait ends by itself that was heard of `at` this instant."""
    if heartbeat_s is None:
        return deadline
    return at + heartbeat_s if deadline is None else min(deadline, at + heartbeat_s)


def heartbeat_received(state: State, event: h.HeartbeatReceived) -> None:
    step = state.steps[event.key]
    step.last_heartbeat_at = event.at
    step.progress = event.progress if event.progress is not None else step.progress
    if step.heartbeat_s is not None:
        step.due_at = _due(step.deadline, step.heartbeat_s, event.at)
        arm(state, event.key, step.due_at)


def wait_expired(state: State, event: h.WaitExpired) -> None:
    if not event.silent:
        close(state, event.key, StepStatus.COMPLETED, at=event.at)
        return
    heartbeat_s = state.steps[event.key].heartbeat_s
    text = f"no heartbeat for {heartbeat_s:g} s"
    fault = problem("heartbeat_timeout", text, status=408, title="Heartbeat time-out")
    close(state, event.key, StepStatus.FAILED, at=event.at, error=fault)


def signal_received(state: State, event: h.SignalReceived) -> None:
    state.heard[f"{event.signal}#{event.id}"] = None
    waiting = state.awaiting.get(event.signal)
    if waiting:
        _take_signal(state, waiting[0], event, event.at)
    else:
        state.early.setdefault(event.signal, []).append(event)


def _take_signal(state: State, key: str, signal: h.SignalReceived, at: float) -> None:
    value = SignalValue(id=signal.id, name=signal.signal, data=signal.data, at=signal.at)
    close(state, key, StepStatus.COMPLETED, at=at, output=msgspec.Raw(msgspec.json.encode(value)))


def approval_requested(state: State, event: h.ApprovalRequested) -> None:
    approval = Approval(id=event.approval_id, request=event.request, approvers=event.request.approvers)
    _open(
        state,
        event.key,
        Step(
            name=event.name,
            kind=StepKind.APPROVAL,
            status=StepStatus.WAITING,
            opened_at=event.at,
            due_at=event.due_at,
            reason=WaitReason.APPROVAL,
            approval=approval,
        ),
    )
    arm(state, event.key, event.due_at)


def approval_of(state: State, key: str) -> Approval:
    approval = state.steps[key].approval
    assert approval is not None, f"{key} is no approval"
    return approval


def vote(state: State, event: h.ApprovalVoted | h.ApprovalDecided, *, approved: bool) -> None:
    approval = approval_of(state, event.key)
    vote = Vote(
        actor=event.actor.id,
        approved=approved,
        at=event.at,
        comment=event.comment,
        data=event.data,
        via=event.via,
        bypass=approval.bypassed,
    )
    approval.votes = [*approval.votes, vote]
    approval.bypassed = ""
    state.touched.append(event.key)


def approval_decided(state: State, event: h.ApprovalDecided) -> None:
    approval = approval_of(state, event.key)
    if not event.expired:
        vote(state, event, approved=event.approved)
    approval.decided_by = event.actor.id
    approval.expired = event.expired
    result = ApprovalOutcome(
        decision="approved" if event.approved else "rejected",
        comment=event.comment,
        data=event.data,
        actor=event.actor.id,
        expired=event.expired,
    )
    close(state, event.key, StepStatus.COMPLETED, at=event.at, output=msgspec.Raw(msgspec.json.encode(result)))


def approval_escalated(state: State, event: h.ApprovalEscalated) -> None:
    approval = approval_of(state, event.key)
    approval.approvers = event.approvers
    approval.escalated = True
    state.steps[event.key].due_at = event.due_at
    arm(state, event.key, event.due_at)


def child_started(state: State, event: h.ChildStarted) -> None:
    _open(
        state,
        event.key,
        Step(
            name=event.name,
            kind=StepKind.CHILD,
            status=StepStatus.WAITING,
            opened_at=event.at,
            reason=WaitReason.CHILD,
            child_id=event.child_id,
            detached=not event.wait,
        ),
    )
    if not event.wait:
        output = msgspec.Raw(msgspec.json.encode({"id": event.child_id}))
        close(state, event.key, StepStatus.COMPLETED, at=event.at, output=output)


def child_ended(state: State, event: h.ChildEnded) -> None:
    status = StepStatus.FAILED if event.error else StepStatus.COMPLETED
    close(state, event.key, status, at=event.at, output=event.output, error=event.error)

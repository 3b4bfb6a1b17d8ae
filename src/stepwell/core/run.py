"""`apply`: folds one event into a run's state. It cannot refuse: what is in the history has happened.

It is the only writer of `State`. Seq is the position in the history, from 1 (H1). Hot events come first.
"""

from collections.abc import Callable
from typing import Any, Final, assert_never

import msgspec

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalOutcome
from stepwell.core.errors import Problem, problem
from stepwell.core.forgetting import retry, roll_back
from stepwell.core.program import SignalValue
from stepwell.core.state import Approval, Choice, State, Step, StepKind, StepStatus, Vote
from stepwell.core.status import Status, WaitReason

START_TIMER = ""
"""The key of the timer that starts a scheduled run."""
DEADLINE_TIMER = "run:deadline"
"""The key of the timer that ends a run which takes too long."""

# Looking a member up in its class costs as much as a call in Python 3.11; these are on the path of every step.
_CALL = StepKind.CALL
_SCHEDULED = StepStatus.SCHEDULED
_RUNNING = StepStatus.RUNNING
_COMPLETED = StepStatus.COMPLETED
_RUN_RUNNING = Status.RUNNING
_RUN_COMPLETED = Status.COMPLETED


def fold(events: list[h.AnyEvent], state: State | None = None) -> State:
    """The state after `events` (oldest first), on top of `state` or from nothing."""
    state = state if state is not None else State()
    for event in events:
        apply(state, event)
    return state


def apply(state: State, event: h.AnyEvent) -> None:
    """Fold one more event into `state`."""
    state.seq += 1
    state.last_at = event.at
    hot = _HOT.get(type(event))
    if hot is not None:
        hot(state, event)
        return
    match event:
        case h.StepScheduled() | h.AttemptStarted() | h.StepCompleted():
            raise AssertionError("found in _HOT")
        case h.RunCreated() | h.RunStarted() | h.RunCompleted():
            raise AssertionError("found in _HOT")
        case h.AttemptFailed():
            _attempt_failed(state, event)
        case h.RetryScheduled():
            _retry_scheduled(state, event)
        case h.StepFailed():
            _close(state, event.key, StepStatus.FAILED, at=event.at, error=event.error)
        case h.LateResultDiscarded():
            step = state.steps[event.key]
            step.late = (*step.late, event.attempt)
        case h.TimerSet():
            _timer_set(state, event)
        case h.TimerFired():
            _close(state, event.key, StepStatus.COMPLETED, at=event.at)
        case h.WaitExpired():
            _wait_expired(state, event)
        case h.HeartbeatReceived():
            _heartbeat_received(state, event)
        case h.SignalAwaited():
            _signal_awaited(state, event)
        case h.SignalReceived():
            _signal_received(state, event)
        case h.ApprovalRequested():
            _approval_requested(state, event)
        case h.ApprovalVoted():
            _vote(state, event, approved=True)
        case h.ApprovalDecided():
            _approval_decided(state, event)
        case h.ApprovalBypassed():
            _approval_of(state, event.key).bypassed = event.rule
        case h.ApprovalEscalated():
            _approval_escalated(state, event)
        case h.ChildStarted():
            _child_started(state, event)
        case h.ChildEnded():
            _child_ended(state, event)
        case h.RaceDecided():
            _race_decided(state, event)
        case h.ValueRecorded():
            state.choices[event.key] = Choice(seq=state.seq, at=event.at, value=event.value)
        case h.EventEmitted():
            state.choices[event.key] = Choice(seq=state.seq, at=event.at, value=event.event)
            state.touched.append(event.key)
        case h.ItemPublished():
            state.choices[event.key] = Choice(seq=state.seq, at=event.at)
        case h.RunFellDue():
            state.not_due = False
            state.phase = Status.PENDING
            _disarm(state, START_TIMER)
        case h.RunPaused():
            _run_paused(state, event)
        case h.RunResumed():
            _run_resumed(state, event)
        case h.StopRequested():
            state.phase = Status.STOPPING
            state.reason = event.reason
        case h.RunCancelled():
            state.reason = event.reason
            state.undone = event.compensate
            _end(state, Status.CANCELLED, event.at)
        case h.RunFailed():
            state.error = event.error
            state.forget = event.forget
            state.undone = state.undo_on_failure
            _end(state, Status.FAILED, event.at)
        case h.RunTimedOut():
            pass
        case h.RunRetried():
            retry(state, event)
            if state.not_due:
                _arm(state, START_TIMER, state.start_at)
        case h.RunRolledBack():
            _run_rolled_back(state, event)
        case h.SnapshotTaken():
            pass
        case _:
            assert_never(event)


# --- steps ----------------------------------------------------------------------------------------------------------


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


def _close(
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
    _disarm(state, key)


def _arm(state: State, key: str, due_at: float | None) -> None:
    if due_at is not None:
        state.timers[key] = due_at
    state.touched.append(key)


def _disarm(state: State, key: str) -> None:
    state.timers.pop(key, None)
    state.touched.append(key)


def _put_past(step: Step, at: float) -> None:
    """Another attempt begins: the one before failed, or was cut off by a crash."""
    step.attempt_ended_at = step.attempt_ended_at if step.attempt_ended_at is not None else at
    step.past = step.attempts()
    step.attempt_ended_at = step.attempt_error = None


def _attempt_started(state: State, event: h.AttemptStarted) -> None:
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
        _disarm(state, event.key)


def _attempt_failed(state: State, event: h.AttemptFailed) -> None:
    step = state.steps[event.key]
    step.failures += 1
    step.attempt_ended_at = event.at
    step.attempt_error = event.error


def _retry_scheduled(state: State, event: h.RetryScheduled) -> None:
    step = state.steps[event.key]
    step.status = StepStatus.RETRYING
    step.due_at = event.due_at
    _arm(state, event.key, event.due_at if state.phase is not Status.PAUSED else None)


def _step_scheduled(state: State, event: h.StepScheduled) -> None:
    key = event.key
    step = Step(name=event.name, kind=_CALL, status=_SCHEDULED, opened_at=event.at)
    if key in state.steps:
        _go_on_counting(state, step, state.steps[key])
    state.steps[key] = step
    state.current = key
    state.active[key] = None


def _step_completed(state: State, event: h.StepCompleted) -> None:
    """As `_close`, for a call that is in flight: it has no timer and no error."""
    step = state.steps[event.key]
    step.status = _COMPLETED
    step.closed_at = event.at
    step.closed_seq = state.seq
    step.output = event.output
    state.active.pop(event.key, None)


# --- waits ----------------------------------------------------------------------------------------------------------


def _timer_set(state: State, event: h.TimerSet) -> None:
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
    _arm(state, event.key, event.due_at)


def _signal_awaited(state: State, event: h.SignalAwaited) -> None:
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
        _arm(state, event.key, state.steps[event.key].due_at)


def _due(deadline: float | None, heartbeat_s: float | None, at: float) -> float | None:
    """When a wait ends by itself that was heard of `at` this instant."""
    if heartbeat_s is None:
        return deadline
    return at + heartbeat_s if deadline is None else min(deadline, at + heartbeat_s)


def _heartbeat_received(state: State, event: h.HeartbeatReceived) -> None:
    step = state.steps[event.key]
    step.last_heartbeat_at = event.at
    step.progress = event.progress if event.progress is not None else step.progress
    if step.heartbeat_s is not None:
        step.due_at = _due(step.deadline, step.heartbeat_s, event.at)
        _arm(state, event.key, step.due_at)


def _wait_expired(state: State, event: h.WaitExpired) -> None:
    if not event.silent:
        _close(state, event.key, StepStatus.COMPLETED, at=event.at)
        return
    heartbeat_s = state.steps[event.key].heartbeat_s
    text = f"no heartbeat for {heartbeat_s:g} s"
    fault = problem("heartbeat_timeout", text, status=408, title="Heartbeat time-out")
    _close(state, event.key, StepStatus.FAILED, at=event.at, error=fault)


def _signal_received(state: State, event: h.SignalReceived) -> None:
    state.heard[f"{event.signal}#{event.id}"] = None
    waiting = state.awaiting.get(event.signal)
    if waiting:
        _take_signal(state, waiting[0], event, event.at)
    else:
        state.early.setdefault(event.signal, []).append(event)


def _take_signal(state: State, key: str, signal: h.SignalReceived, at: float) -> None:
    value = SignalValue(id=signal.id, name=signal.signal, data=signal.data, at=signal.at)
    _close(state, key, StepStatus.COMPLETED, at=at, output=msgspec.Raw(msgspec.json.encode(value)))


def _approval_requested(state: State, event: h.ApprovalRequested) -> None:
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
    _arm(state, event.key, event.due_at)


def _approval_of(state: State, key: str) -> Approval:
    approval = state.steps[key].approval
    assert approval is not None, f"{key} is no approval"
    return approval


def _vote(state: State, event: h.ApprovalVoted | h.ApprovalDecided, *, approved: bool) -> None:
    approval = _approval_of(state, event.key)
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


def _approval_decided(state: State, event: h.ApprovalDecided) -> None:
    approval = _approval_of(state, event.key)
    if not event.expired:
        _vote(state, event, approved=event.approved)
    approval.decided_by = event.actor.id
    approval.expired = event.expired
    result = ApprovalOutcome(
        decision="approved" if event.approved else "rejected",
        comment=event.comment,
        data=event.data,
        actor=event.actor.id,
        expired=event.expired,
    )
    _close(state, event.key, StepStatus.COMPLETED, at=event.at, output=msgspec.Raw(msgspec.json.encode(result)))


def _approval_escalated(state: State, event: h.ApprovalEscalated) -> None:
    approval = _approval_of(state, event.key)
    approval.approvers = event.approvers
    approval.escalated = True
    state.steps[event.key].due_at = event.due_at
    _arm(state, event.key, event.due_at)


def _child_started(state: State, event: h.ChildStarted) -> None:
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
        _close(state, event.key, StepStatus.COMPLETED, at=event.at, output=output)


def _child_ended(state: State, event: h.ChildEnded) -> None:
    status = StepStatus.FAILED if event.error else StepStatus.COMPLETED
    _close(state, event.key, status, at=event.at, output=event.output, error=event.error)


# --- choices, and the run as a whole --------------------------------------------------------------------------------


def _race_decided(state: State, event: h.RaceDecided) -> None:
    for key in event.cancelled:
        _close(state, key, StepStatus.CANCELLED, at=event.at)
    state.choices[event.key] = Choice(
        seq=state.seq,
        at=event.at,
        value=event.value,
        winner=event.winner,
        error=event.error,
        forget=event.forget,
    )


def _run_created(state: State, event: h.RunCreated) -> None:
    state.run_id = event.run_id
    state.workflow = event.workflow
    state.version = event.version
    state.definition = event.definition
    state.input = event.input
    state.owner = event.owner
    state.door = event.door
    state.labels = event.labels
    state.parent = event.parent
    state.created_by = event.actor
    state.start_at = event.start_at
    state.forked_from = event.forked_from
    state.listens = event.listens
    state.lineage = event.lineage
    state.trace = event.trace
    state.callback_url = event.callback_url
    state.timeout_s = event.timeout_s
    state.undo_on_failure = event.undo_on_failure
    state.created_at = event.at
    if event.start_at is not None:
        state.not_due = True
        state.phase = Status.SCHEDULED
        _arm(state, START_TIMER, event.start_at)


def held_while_paused(step: Step) -> bool:
    """Whether a step's timer stands still in a paused run: retries and sleeps do, people's deadlines go on."""
    return step.kind is StepKind.TIMER or step.kind is StepKind.CALL


def _run_started(state: State, event: h.RunStarted) -> None:
    state.phase = _RUN_RUNNING
    state.started_at = state.started_at if state.started_at is not None else event.at
    if state.timeout_s is not None:
        _arm(state, DEADLINE_TIMER, event.at + state.timeout_s)


def _run_completed(state: State, event: h.RunCompleted) -> None:
    state.output = event.output
    _end(state, _RUN_COMPLETED, event.at)


def _run_paused(state: State, event: h.RunPaused) -> None:
    state.before_pause = state.phase
    state.phase = Status.PAUSED
    if DEADLINE_TIMER in state.timers:
        state.time_left_s = max(0.0, state.timers[DEADLINE_TIMER] - event.at)
    own = (START_TIMER, DEADLINE_TIMER)
    for key in [key for key in state.timers if key in own or held_while_paused(state.steps[key])]:
        _disarm(state, key)


def _run_resumed(state: State, event: h.RunResumed) -> None:
    state.phase = state.before_pause
    if state.phase is Status.SCHEDULED:
        _arm(state, START_TIMER, state.start_at)
    if state.time_left_s is not None:
        _arm(state, DEADLINE_TIMER, event.at + state.time_left_s)
        state.time_left_s = None
    for key in (*state.active, *state.waits):
        step = state.steps[key]
        if step.due_at is not None and held_while_paused(step):
            _arm(state, key, step.due_at)


def _end(state: State, status: Status, at: float) -> None:
    for key in (*state.active, *state.waits):
        _close(state, key, StepStatus.CANCELLED, at=at)
    for key in list(state.timers):
        _disarm(state, key)
    state.phase = status
    state.ended_at = at
    state.ended_seq = state.seq


def _run_rolled_back(state: State, event: h.RunRolledBack) -> None:
    for key in (*state.active, *state.waits):
        _close(state, key, StepStatus.CANCELLED, at=event.at)
    roll_back(state, event)


_HOT: Final[dict[type, Callable[[State, Any], None]]] = {
    h.StepScheduled: _step_scheduled,
    h.AttemptStarted: _attempt_started,
    h.StepCompleted: _step_completed,
    h.RunCreated: _run_created,
    h.RunStarted: _run_started,
    h.RunCompleted: _run_completed,
}
"""Those of every step and run, by type: each `case` that does not match costs as much as a lookup here (measured)."""

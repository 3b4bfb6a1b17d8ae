"""`apply`: folds one event into a run's state. It cannot refuse: what is in the history has happened.

It is the only writer of `State`. Seq is the position in the history, from 1 (H1). Hot events come first.
"""

from collections.abc import Callable
from typing import Any, Final, assert_never

from stepwell.core import history as h
from stepwell.core import stepping
from stepwell.core.forgetting import retry, roll_back
from stepwell.core.state import Choice, State, Step, StepKind, StepStatus
from stepwell.core.status import Status

START_TIMER = ""
"""The key of the timer that starts a scheduled run."""
DEADLINE_TIMER = "run:deadline"
"""The key of the timer that ends a run which takes too long."""

_RUNNING: Final = Status.RUNNING  # as in `core.stepping`: a look-up less on the path of every run
_COMPLETED: Final = Status.COMPLETED


def fold(events: list[h.AnyEvent], state: State | None = None) -> State:
    """The state after `events` (oldest first), on top of `state` or from nothing."""
    state = state if state is not None else State()
    for event in events:
        state.seq += 1
        state.last_at = event.at
        _HOT.get(type(event), _apply)(state, event)
    return state


def apply(state: State, event: h.AnyEvent) -> None:
    """Fold one more event into `state`."""
    fold([event], state)


def _apply(state: State, event: h.AnyEvent) -> None:
    """What the rarer events do; those of `_HOT` do not come here."""
    match event:
        case h.StepScheduled() | h.AttemptStarted() | h.StepCompleted():
            raise AssertionError("found in _HOT")
        case h.RunCreated() | h.RunStarted() | h.RunCompleted():
            raise AssertionError("found in _HOT")
        case h.AttemptFailed():
            stepping.attempt_failed(state, event)
        case h.RetryScheduled():
            stepping.retry_scheduled(state, event)
        case h.StepFailed():
            stepping.close(state, event.key, StepStatus.FAILED, at=event.at, error=event.error)
        case h.LateResultDiscarded():
            step = state.steps[event.key]
            step.late = (*step.late, event.attempt)
        case h.TimerSet():
            stepping.timer_set(state, event)
        case h.TimerFired():
            stepping.close(state, event.key, StepStatus.COMPLETED, at=event.at)
        case h.WaitExpired():
            stepping.wait_expired(state, event)
        case h.HeartbeatReceived():
            stepping.heartbeat_received(state, event)
        case h.SignalAwaited():
            stepping.signal_awaited(state, event)
        case h.SignalReceived():
            stepping.signal_received(state, event)
        case h.ApprovalRequested():
            stepping.approval_requested(state, event)
        case h.ApprovalVoted():
            stepping.vote(state, event, approved=True)
        case h.ApprovalDecided():
            stepping.approval_decided(state, event)
        case h.ApprovalBypassed():
            stepping.approval_of(state, event.key).bypassed = event.rule
        case h.ApprovalEscalated():
            stepping.approval_escalated(state, event)
        case h.ChildStarted():
            stepping.child_started(state, event)
        case h.ChildEnded():
            stepping.child_ended(state, event)
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
            stepping.disarm(state, START_TIMER)
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
                stepping.arm(state, START_TIMER, state.start_at)
        case h.RunRolledBack():
            _run_rolled_back(state, event)
        case h.SnapshotTaken():
            pass
        case _:
            assert_never(event)


# --- choices, and the run as a whole --------------------------------------------------------------------------------


def _race_decided(state: State, event: h.RaceDecided) -> None:
    for key in event.cancelled:
        stepping.close(state, key, StepStatus.CANCELLED, at=event.at)
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
        stepping.arm(state, START_TIMER, event.start_at)


def held_while_paused(step: Step) -> bool:
    """Whether a step's timer stands still in a paused run: retries and sleeps do, people's deadlines go on."""
    return step.kind is StepKind.TIMER or step.kind is StepKind.CALL


def _run_started(state: State, event: h.RunStarted) -> None:
    state.phase = _RUNNING
    state.started_at = state.started_at if state.started_at is not None else event.at
    if state.timeout_s is not None:
        stepping.arm(state, DEADLINE_TIMER, event.at + state.timeout_s)


def _run_completed(state: State, event: h.RunCompleted) -> None:
    state.output = event.output
    _end(state, _COMPLETED, event.at)


def _run_paused(state: State, event: h.RunPaused) -> None:
    state.before_pause = state.phase
    state.phase = Status.PAUSED
    if DEADLINE_TIMER in state.timers:
        state.time_left_s = max(0.0, state.timers[DEADLINE_TIMER] - event.at)
    own = (START_TIMER, DEADLINE_TIMER)
    for key in [key for key in state.timers if key in own or held_while_paused(state.steps[key])]:
        stepping.disarm(state, key)


def _run_resumed(state: State, event: h.RunResumed) -> None:
    state.phase = state.before_pause
    if state.phase is Status.SCHEDULED:
        stepping.arm(state, START_TIMER, state.start_at)
    if state.time_left_s is not None:
        stepping.arm(state, DEADLINE_TIMER, event.at + state.time_left_s)
        state.time_left_s = None
    for key in (*state.active, *state.waits):
        step = state.steps[key]
        if step.due_at is not None and held_while_paused(step):
            stepping.arm(state, key, step.due_at)


def _end(state: State, status: Status, at: float) -> None:
    for key in (*state.active, *state.waits):
        stepping.close(state, key, StepStatus.CANCELLED, at=at)
    for key in list(state.timers):
        stepping.disarm(state, key)
    state.phase = status
    state.ended_at = at
    state.ended_seq = state.seq


def _run_rolled_back(state: State, event: h.RunRolledBack) -> None:
    for key in (*state.active, *state.waits):
        stepping.close(state, key, StepStatus.CANCELLED, at=event.at)
    roll_back(state, event)


_HOT: Final[dict[type, Callable[[State, Any], None]]] = {
    h.StepScheduled: stepping.step_scheduled,
    h.AttemptStarted: stepping.attempt_started,
    h.StepCompleted: stepping.step_completed,
    h.RunCreated: _run_created,
    h.RunStarted: _run_started,
    h.RunCompleted: _run_completed,
}
"""Those of every step and run, by type: each `case` that does not match costs as much as a lookup here (measured)."""

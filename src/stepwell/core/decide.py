"""`decide`: all rules about what may happen to a run, in one pure function.

It answers a command with the events to append, with a `Refusal`, or with `HOLD` when a verb of the program has to
wait because the run is paused or stopping. It never looks at a clock: `now` is given.
"""

from collections.abc import Callable
from typing import Any, Final, TypeGuard, assert_never

from msgspec import Raw

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.again import retry_run, roll_back
from stepwell.core.approving import decide_approval, expire_approval, find_approval
from stepwell.core.callbacks import answer_callback, take_heartbeat
from stepwell.core.decision import HOLD, NOTHING, Decision, Hold, Refusal, by_table, wrong_status
from stepwell.core.errors import Problem, problem
from stepwell.core.retry import next_delay_s
from stepwell.core.run import DEADLINE_TIMER, START_TIMER
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.core.status import Answer, Status, Trigger, outcome

__all__ = ["HOLD", "MAX_EVENTS", "NOTHING", "Decision", "Hold", "Refusal", "decide", "find_approval"]

MAX_EVENTS: Final = 100_000
"""A longer history is a loop that should have been several runs; the run fails and names the key."""

_PENDING: Final = Status.PENDING  # as in `run`: a lookup less on the path of every run and step
_RUNNING: Final = Status.RUNNING
_STEP_RUNNING: Final = StepStatus.RUNNING


def decide(state: State, command: c.AnyCommand, now: float) -> Decision:
    """The events that `command` causes at `now` (oldest first; none when it changes nothing), or why not."""
    hot = _HOT.get(type(command))
    if hot is not None:
        return hot(state, command, now)
    match command:
        case c.ScheduleStep() | c.CompleteStep() | c.PickUp() | c.FireTimer() | c.CompleteRun():
            raise AssertionError("found in _HOT")
        case c.StartAttempt():
            return _start_attempt(state, command, now)
        case c.FailAttempt():
            return _fail_attempt(state, command, now)
        case c.SetTimer():
            due_at = command.due_at if command.after_s is None else now + command.after_s
            return _begin(
                state,
                command.key,
                h.TimerSet(at=now, key=command.key, due_at=due_at, name=command.name, input=command.input),
            )
        case c.AwaitSignal():
            return _begin(
                state,
                command.key,
                h.SignalAwaited(
                    at=now,
                    key=command.key,
                    signal=command.signal,
                    name=command.name,
                    deadline=command.deadline,
                    heartbeat_s=command.heartbeat_s,
                    input=command.input,
                    reason=command.reason,
                ),
            )
        case c.RequestApproval():
            return _request_approval(state, command, now)
        case c.StartChild():
            return _begin(
                state,
                command.key,
                h.ChildStarted(
                    at=now,
                    key=command.key,
                    child_id=command.child_id,
                    workflow=command.workflow,
                    version=command.version,
                    input=command.input,
                    wait=command.wait,
                    name=command.name,
                ),
            )
        case c.DecideRace():
            return _decide_race(state, command, now)
        case c.RecordValue():
            return _choose(state, command.key, h.ValueRecorded(at=now, key=command.key, value=command.value))
        case c.EmitEvent():
            return _choose(state, command.key, h.EventEmitted(at=now, key=command.key, event=command.event))
        case c.PublishItem():
            return _choose(state, command.key, h.ItemPublished(at=now, key=command.key))
        case c.FailRun():
            return _end(
                state,
                Trigger.FAIL,
                h.RunFailed(at=now, error=command.error, forget=_to_forget(state, command.forget)),
            )
        case c.FinishStop():
            return [h.RunCancelled(at=now, reason=state.reason)] if state.phase is Status.STOPPING else NOTHING
        case c.SendSignal():
            return _send_signal(state, command, now)
        case c.AnswerCallback():
            return answer_callback(state, command, now)
        case c.SendHeartbeat():
            return take_heartbeat(state, command, now)
        case c.DecideApproval():
            return decide_approval(state, command, now)
        case c.EndChild():
            return _end_child(state, command, now)
        case c.PauseRun():
            return by_table(state, Trigger.PAUSE, h.RunPaused(at=now, actor=command.actor, reason=command.reason))
        case c.ResumeRun():
            return by_table(state, Trigger.RESUME, h.RunResumed(at=now, actor=command.actor))
        case c.StopRun():
            return _stop(state, command, now)
        case c.CancelRun():
            return by_table(
                state,
                Trigger.CANCEL,
                h.RunCancelled(at=now, actor=command.actor, reason=command.reason, compensate=command.compensate),
            )
        case c.RetryRun():
            return retry_run(state, command, now)
        case c.RollBackRun():
            return roll_back(state, command, now)
        case c.TakeSnapshot():
            return _take_snapshot(state, command, now)
        case _:
            assert_never(command)


# --- verbs of the program -------------------------------------------------------------------------------------------


def _closed(state: State) -> Refusal | Hold:
    """Why nothing new may begin: the run has ended (refused), or stands still (held)."""
    return wrong_status(state, "go on") if state.terminal else HOLD


def _begin(state: State, key: str, event: h.AnyEvent) -> Decision:
    """The opening of a step, unless the run stands still, the key is taken or the history is full."""
    hindrance = _hindrance(state, key)
    return [event] if hindrance is None else hindrance


def _hindrance(state: State, key: str) -> Refusal | Hold | None:
    """Why no step may be opened under the key, if there is a reason."""
    if state.phase is not _RUNNING:
        return _closed(state)
    if not key:
        return Refusal(code="no_key", message="a verb's key must not be empty")
    if key in state.choices or ((step := state.steps.get(key)) is not None and not step.forgotten):
        return Refusal(code="key_taken", message=f"the key {key} was used before in this run")
    return _full(state, key) if state.seq >= MAX_EVENTS else None


def _full(state: State, key: str) -> Refusal:
    return _too_long(state, f"the last key is {key}: a loop this long belongs in child runs")


def _too_long(state: State, why: str) -> Refusal:
    return Refusal(
        code="history_full", message=f"the run has {state.seq:,} events, the limit is {MAX_EVENTS:,}; {why}"
    )


def _schedule_step(state: State, command: c.ScheduleStep, now: float) -> Decision:
    key = command.key
    hindrance = _hindrance(state, key)
    if hindrance is not None:
        return hindrance
    earlier = state.steps.get(key)  # a forgotten step goes on counting its attempts
    attempt = earlier.attempt + 1 if earlier is not None else 1
    name, input = command.name, command.input
    scheduled = (
        h.StepScheduled(at=now, key=key, name=name)
        if input is h.NULL
        else h.StepScheduled(at=now, key=key, name=name, input=input)
    )
    return [scheduled, h.AttemptStarted(at=now, key=key, attempt=attempt)]


def _start_attempt(state: State, command: c.StartAttempt, now: float) -> Decision:
    if state.phase is not _RUNNING:
        return _closed(state)
    step = state.find(command.key)
    if step is None or step.closed:
        return Refusal(code="step_closed", message=f"the step {command.key} is not open")
    return [h.AttemptStarted(at=now, key=command.key, attempt=step.attempt + 1)]


def _is_current(step: Step | None, attempt: int) -> TypeGuard[Step]:
    """Whether this attempt of the step may report (L1)."""
    return step is not None and step.status is _STEP_RUNNING and step.attempt == attempt and not step.forgotten


def _complete_step(state: State, command: c.CompleteStep, now: float) -> Decision:
    if not _is_current(state.steps.get(command.key), command.attempt):
        return _late(state, command, now, output=command.output)
    return [h.StepCompleted(at=now, key=command.key, output=command.output)]


def _late(
    state: State,
    command: c.CompleteStep | c.FailAttempt,
    now: float,
    *,
    output: Raw = h.NULL,
    error: Problem | None = None,
) -> Refusal:
    """A late result is refused, and goes on record once: somebody may have paid for it."""
    key, attempt = command.key, command.attempt
    refusal = Refusal(code="late_result", message=f"attempt {attempt} of {key} is not the current one")
    step = state.steps.get(key)
    if step is None or attempt > step.attempt or attempt in step.late:
        return refusal
    late = h.LateResultDiscarded(at=now, key=key, attempt=attempt, output=output, error=error)
    return Refusal(code=refusal.code, message=refusal.message, note=(late,))


def _fail_attempt(state: State, command: c.FailAttempt, now: float) -> Decision:
    step = state.steps.get(command.key)
    if not _is_current(step, command.attempt):
        return _late(state, command, now, error=command.error)
    failed = h.AttemptFailed(at=now, key=command.key, attempt=command.attempt, error=command.error)
    seed = f"{state.run_id}/{command.key}/{command.attempt}"
    delay_s = next_delay_s(command.retry, step.failures + 1, command.error, seed)
    if delay_s is None:
        return [failed, h.StepFailed(at=now, key=command.key, error=command.error)]
    return [failed, h.RetryScheduled(at=now, key=command.key, due_at=now + delay_s)]


def _decide_race(state: State, command: c.DecideRace, now: float) -> Decision:
    cancelled = tuple(key for key in command.keys if (step := state.find(key)) is not None and not step.closed)
    return _choose(
        state,
        command.key,
        h.RaceDecided(
            at=now,
            key=command.key,
            winner=command.winner,
            value=command.value,
            error=command.error,
            cancelled=cancelled,
            forget=command.forget,
        ),
    )


def _choose(state: State, key: str, event: h.AnyEvent) -> Decision:
    if state.phase is not _RUNNING:
        return _closed(state)
    if not key:
        return Refusal(code="no_key", message="a verb's key must not be empty")
    if key in state.choices:
        return Refusal(code="key_taken", message=f"the key {key} was decided before in this run")
    if state.seq >= MAX_EVENTS:
        return _full(state, key)
    return [event]


def _end(state: State, trigger: Trigger, event: h.AnyEvent) -> Decision:
    answer = outcome(state.phase, trigger)
    if type(answer) is Status:
        return [event]
    return HOLD if answer is Answer.HOLD else wrong_status(state, trigger)


def _to_forget(state: State, named: tuple[str, ...]) -> tuple[str, ...]:
    """What a retry forgets: the failed key and its races, and all that the failure cuts off."""
    return tuple(dict.fromkeys((*named, *state.active, *state.waits)))


def _complete_run(state: State, command: c.CompleteRun, now: float) -> Decision:
    return _end(state, Trigger.FINISH, h.RunCompleted(at=now, output=command.output))


def _pick_up(state: State, _command: c.PickUp, now: float) -> Decision:
    return [h.RunStarted(at=now)] if state.phase is _PENDING else NOTHING


# --- timers, signals, approvals, children ---------------------------------------------------------------------------


def _fire_timer(state: State, command: c.FireTimer, now: float) -> Decision:
    due_at = state.timers.get(command.key)
    if due_at is None or due_at > now:
        return NOTHING
    if command.key == START_TIMER:
        return [h.RunFellDue(at=now)]
    if command.key == DEADLINE_TIMER:
        return _time_out(state, now)
    step = state.steps[command.key]
    match step.kind:
        case StepKind.CALL:
            return _start_attempt(state, c.StartAttempt(key=command.key), now)
        case StepKind.TIMER:
            return [h.TimerFired(at=now, key=command.key)]
        case StepKind.APPROVAL:
            return [expire_approval(step, command.key, now)]
        case StepKind.SIGNAL | StepKind.CHILD:
            silent = step.heartbeat_s is not None and (step.deadline is None or now < step.deadline)
            return [h.WaitExpired(at=now, key=command.key, silent=silent)]
        case _:
            assert_never(step.kind)


def _time_out(state: State, now: float) -> Decision:
    error = problem(
        "run_timeout", f"the run took longer than {state.timeout_s:g} s", status=408, title="Run time-out"
    )
    decision = _end(state, Trigger.FAIL, h.RunFailed(at=now, error=error, forget=_to_forget(state, ())))
    return [h.RunTimedOut(at=now), *decision] if isinstance(decision, list) else decision


def _send_signal(state: State, command: c.SendSignal, now: float) -> Decision:
    if state.terminal:
        return wrong_status(state, "take a signal")
    if f"{command.signal}#{command.id}" in state.heard:
        return NOTHING
    if state.seq >= MAX_EVENTS and not state.awaiting.get(command.signal):
        return _too_long(state, f"nothing waits for the signal {command.signal}, so it is not kept")
    return [h.SignalReceived(at=now, actor=command.actor, id=command.id, signal=command.signal, data=command.data)]


def _request_approval(state: State, command: c.RequestApproval, now: float) -> Decision:
    timeout_s = command.request.timeout_s
    return _begin(
        state,
        command.key,
        h.ApprovalRequested(
            at=now,
            key=command.key,
            approval_id=command.approval_id,
            name=command.name,
            request=command.request,
            due_at=None if timeout_s is None else now + timeout_s,
        ),
    )


def _end_child(state: State, command: c.EndChild, now: float) -> Decision:
    step = state.find(command.key)
    if step is None or step.closed or step.child_id != command.child_id:
        return NOTHING  # told before, or no longer waited for
    return [h.ChildEnded(at=now, key=command.key, output=command.output, error=command.error)]


# --- the run as a whole ---------------------------------------------------------------------------------------------


def _stop(state: State, command: c.StopRun, now: float) -> Decision:
    match outcome(state.status, Trigger.STOP):
        case Answer():
            return NOTHING  # the table allows a stop everywhere
        case Status.STOPPING:
            return [h.StopRequested(at=now, actor=command.actor, reason=command.reason)]
        case _:
            return [h.RunCancelled(at=now, actor=command.actor, reason=command.reason)]


def _take_snapshot(state: State, command: c.TakeSnapshot, now: float) -> Decision:
    if state.terminal:
        return wrong_status(state, "be snapshotted")
    return [h.SnapshotTaken(at=now, actor=command.actor, label=command.label)]


_HOT: Final[dict[type, Callable[[State, Any, float], Decision]]] = {
    c.ScheduleStep: _schedule_step,
    c.CompleteStep: _complete_step,
    c.PickUp: _pick_up,
    c.FireTimer: _fire_timer,
    c.CompleteRun: _complete_run,
}
"""Those of every step and run, by type: see `run._HOT`."""

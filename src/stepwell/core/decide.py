"""`decide`: all rules about what may happen to a run, in one pure function.

It answers a command with the events to append, with a `Refusal`, or with `HOLD` when a verb of the program has to
wait because the run is paused or stopping. It never looks at a clock: `now` is given.
"""

from collections.abc import Callable
from typing import Any, Final, assert_never

import msgspec

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.retry import next_delay_s
from stepwell.core.run import START_TIMER
from stepwell.core.state import Approval, State, Step, StepKind, StepStatus
from stepwell.core.status import Answer, Status, Trigger, allowed_from, outcome

MAX_EVENTS: Final = 100_000
"""A longer history is a loop that should have been several runs; the run fails and names the key."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a command is not accepted. `standing` is what already stands, e.g. a decision."""

    code: str
    message: str
    status: str = ""
    allowed_from: tuple[str, ...] = ()
    standing: Any = None


class Hold(msgspec.Struct, frozen=True):
    """The verb waits: the run is paused or stopping."""


HOLD: Final = Hold()
_RUNNING: Final = Status.RUNNING  # as in `run`: a lookup less on the path of every step
_STEP_RUNNING: Final = StepStatus.RUNNING
NOTHING: Final[list[h.AnyEvent]] = []

Decision = list[h.AnyEvent] | Refusal | Hold


def decide(state: State, command: c.AnyCommand, now: float) -> Decision:
    """The events that `command` causes at `now` (oldest first; none when it changes nothing), or why not."""
    hot = _HOT.get(type(command))
    if hot is not None:
        return hot(state, command, now)
    match command:
        case c.ScheduleStep() | c.CompleteStep():
            raise AssertionError("found in _HOT")
        case c.StartAttempt():
            return _start_attempt(state, command, now)
        case c.FailAttempt():
            return _fail_attempt(state, command, now)
        case c.SetTimer():
            return _begin(
                state,
                command.key,
                h.TimerSet(at=now, key=command.key, due_at=command.due_at, name=command.name),
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
        case c.CompleteRun():
            return _end(state, Trigger.FINISH, h.RunCompleted(at=now, output=command.output))
        case c.FailRun():
            return _end(
                state,
                Trigger.FAIL,
                h.RunFailed(at=now, error=command.error, forget=_to_forget(state, command.forget)),
            )
        case c.FinishStop():
            return [h.RunCancelled(at=now, reason=state.reason)] if state.phase is Status.STOPPING else NOTHING
        case c.FireTimer():
            return _fire_timer(state, command, now)
        case c.PickUp():
            return [h.RunStarted(at=now)] if state.phase is Status.PENDING else NOTHING
        case c.SendSignal():
            return _send_signal(state, command, now)
        case c.DecideApproval():
            return _decide_approval(state, command, now)
        case c.EndChild():
            return _end_child(state, command, now)
        case c.PauseRun():
            return _by_table(state, Trigger.PAUSE, h.RunPaused(at=now, actor=command.actor, reason=command.reason))
        case c.ResumeRun():
            return _by_table(state, Trigger.RESUME, h.RunResumed(at=now, actor=command.actor))
        case c.StopRun():
            return _stop(state, command, now)
        case c.CancelRun():
            return _by_table(
                state, Trigger.CANCEL, h.RunCancelled(at=now, actor=command.actor, reason=command.reason)
            )
        case c.RetryRun():
            return _by_table(
                state,
                Trigger.RETRY,
                h.RunRetried(at=now, actor=command.actor, generation=state.generation + 1, forget=_cut_off(state)),
            )
        case c.RollBackRun():
            return _roll_back(state, command, now)
        case c.TakeSnapshot():
            return _take_snapshot(state, command, now)
        case _:
            assert_never(command)


# --- verbs of the program -------------------------------------------------------------------------------------------


def _closed(state: State) -> Refusal | Hold:
    """Why nothing new may begin: the run has ended (refused), or stands still (held)."""
    return _wrong_status(state, "go on") if state.terminal else HOLD


def _begin(state: State, key: str, *events: h.AnyEvent) -> Decision:
    """The opening of a step, unless the run stands still, the key is taken or the history is full."""
    if state.phase is not _RUNNING:
        return _closed(state)
    if not key:
        return Refusal(code="no_key", message="a verb's key must not be empty")
    if key in state.choices or ((step := state.steps.get(key)) is not None and not step.forgotten):
        return Refusal(code="key_taken", message=f"the key {key} was used before in this run")
    if state.seq >= MAX_EVENTS:
        return _full(state, key)
    return list(events)


def _full(state: State, key: str) -> Refusal:
    return Refusal(
        code="history_full",
        message=f"the run has {state.seq:,} events, the limit is {MAX_EVENTS:,}; the last key is {key}: "
        "a loop this long belongs in child runs",
    )


def _schedule_step(state: State, command: c.ScheduleStep, now: float) -> Decision:
    key = command.key
    earlier = state.steps.get(key)  # a forgotten step goes on counting its attempts
    attempt = earlier.attempt + 1 if earlier is not None else 1
    return _begin(
        state,
        key,
        h.StepScheduled(at=now, key=key, name=command.name),
        h.AttemptStarted(at=now, key=key, attempt=attempt),
    )


def _start_attempt(state: State, command: c.StartAttempt, now: float) -> Decision:
    if state.phase is not _RUNNING:
        return _closed(state)
    step = state.find(command.key)
    if step is None or step.closed:
        return Refusal(code="step_closed", message=f"the step {command.key} is not open")
    return [h.AttemptStarted(at=now, key=command.key, attempt=step.attempt + 1)]


def _current(state: State, key: str, attempt: int) -> Step | Refusal:
    """The step that this attempt may report on (L1)."""
    step = state.find(key)
    if step is None or step.status is not _STEP_RUNNING or step.attempt != attempt:
        return Refusal(code="late_result", message=f"attempt {attempt} of {key} is not the current one")
    return step


def _complete_step(state: State, command: c.CompleteStep, now: float) -> Decision:
    step = _current(state, command.key, command.attempt)
    if isinstance(step, Refusal):
        return step
    return [h.StepCompleted(at=now, key=command.key, output=command.output)]


_HOT: Final[dict[type, Callable[[State, Any, float], Decision]]] = {
    c.ScheduleStep: _schedule_step,
    c.CompleteStep: _complete_step,
}
"""The two of every step, by type: see `run._HOT`."""


def _fail_attempt(state: State, command: c.FailAttempt, now: float) -> Decision:
    step = _current(state, command.key, command.attempt)
    if isinstance(step, Refusal):
        return step
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
    match outcome(state.phase, trigger):
        case Answer.HOLD:
            return HOLD
        case Answer():
            return _wrong_status(state, trigger)
        case _:
            return [event]


def _to_forget(state: State, named: tuple[str, ...]) -> tuple[str, ...]:
    """What a retry forgets: the failed key and its races, and all that the failure cuts off."""
    return tuple(dict.fromkeys((*named, *state.active, *state.waits)))


# --- timers, signals, approvals, children ---------------------------------------------------------------------------


def _fire_timer(state: State, command: c.FireTimer, now: float) -> Decision:
    due_at = state.timers.get(command.key)
    if due_at is None or due_at > now:
        return NOTHING
    if command.key == START_TIMER:
        return [h.RunFellDue(at=now)]
    step = state.steps[command.key]
    match step.kind:
        case StepKind.CALL:
            return _start_attempt(state, c.StartAttempt(key=command.key), now)
        case StepKind.TIMER:
            return [h.TimerFired(at=now, key=command.key)]
        case StepKind.APPROVAL:
            return [_expire_approval(step, command.key, now)]
        case StepKind.SIGNAL | StepKind.CHILD:
            return [h.WaitExpired(at=now, key=command.key)]
        case _:
            assert_never(step.kind)


def _send_signal(state: State, command: c.SendSignal, now: float) -> Decision:
    if state.terminal:
        return _wrong_status(state, "take a signal")
    if f"{command.signal}#{command.id}" in state.heard:
        return NOTHING
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


def find_approval(state: State, approval_id: str) -> tuple[str, Step, Approval] | None:
    """The key, the step and the approval of an approval id, open or closed."""
    for key, step in state.steps.items():
        if step.approval is not None and step.approval.id == approval_id:
            return key, step, step.approval
    return None


def _decide_approval(state: State, command: c.DecideApproval, now: float) -> Decision:
    found = find_approval(state, command.approval_id)
    if found is None:
        return Refusal(code="not_found", message=f"there is no approval {command.approval_id} in this run")
    key, step, approval = found
    refusal = _may_not_decide(state, step, approval, command)
    if refusal is not None:
        return refusal
    votes = sum(vote.approved for vote in approval.votes)
    if command.approved and votes + 1 < approval.request.required:
        return [h.ApprovalVoted(at=now, actor=command.actor, key=key, comment=command.comment, data=command.data)]
    return [
        h.ApprovalDecided(
            at=now,
            actor=command.actor,
            key=key,
            approved=command.approved,
            comment=command.comment,
            data=command.data,
        )
    ]


def _may_not_decide(state: State, step: Step, approval: Approval, command: c.DecideApproval) -> Refusal | None:
    actor = command.actor
    if step.closed or step.forgotten:
        return Refusal(
            code="already_decided",
            message=f"the approval {approval.id} is {_standing(step)}",
            status=str(state.status),
            standing=_standing(step),
        )
    if not _is_approver(state, approval, actor):
        return Refusal(code="not_an_approver", message=f"{actor.id} may not decide the approval {approval.id}")
    if not approval.request.allow_self_approval and actor.id == state.created_by.id:
        return Refusal(code="self_approval", message=f"{actor.id} started this run and may not approve it")
    if any(vote.actor == actor.id for vote in approval.votes):
        return Refusal(
            code="already_voted",
            message=f"{actor.id} has decided the approval {approval.id} before",
            standing="approved",
        )
    return None


def _is_approver(state: State, approval: Approval, actor: h.Actor) -> bool:
    if not approval.approvers:
        return actor.id == state.owner or not state.owner or actor.type in ("system", "local", "internal")
    return actor.id in approval.approvers or any(f"role:{role}" in approval.approvers for role in actor.roles)


def _standing(step: Step) -> str:
    """The decision that stands, as one word."""
    if step.status is not StepStatus.COMPLETED or step.approval is None or step.forgotten:
        return "cancelled"
    if step.approval.expired:
        return "expired"
    return str(msgspec.json.decode(step.output)["decision"])


def _expire_approval(step: Step, key: str, now: float) -> h.AnyEvent:
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


def _end_child(state: State, command: c.EndChild, now: float) -> Decision:
    step = state.find(command.key)
    if step is None or step.closed or step.child_id != command.child_id:
        return NOTHING  # told before, or no longer waited for
    return [h.ChildEnded(at=now, key=command.key, output=command.output, error=command.error)]


# --- the run as a whole ---------------------------------------------------------------------------------------------


_REFUSED_WORDS: Final = {
    Trigger.CANCEL: "be cancelled",
    Trigger.RETRY: "be retried",
    Trigger.PAUSE: "be paused",
    Trigger.RESUME: "be resumed",
    Trigger.STOP: "be stopped",
    Trigger.ROLL_BACK: "be rolled back",
    Trigger.FINISH: "complete",
    Trigger.FAIL: "fail",
}


def _wrong_status(state: State, what: Trigger | str) -> Refusal:
    """`what`: a trigger of the table, or the words of something else that is not possible now."""
    trigger = what if isinstance(what, Trigger) else None
    words = _REFUSED_WORDS[trigger] if trigger is not None else what
    return Refusal(
        code="wrong_status",
        message=f"a {state.status} run cannot {words}",
        status=str(state.status),
        allowed_from=allowed_from(trigger) if trigger is not None else (),
    )


def _by_table(state: State, trigger: Trigger, event: h.AnyEvent) -> Decision:
    match outcome(state.status, trigger):
        case Answer.NO_CHANGE:
            return NOTHING
        case Answer():
            return _wrong_status(state, trigger)
        case _:
            return [event]


def _stop(state: State, command: c.StopRun, now: float) -> Decision:
    match outcome(state.status, Trigger.STOP):
        case Answer():
            return NOTHING  # the table allows a stop everywhere
        case Status.STOPPING:
            return [h.StopRequested(at=now, actor=command.actor, reason=command.reason)]
        case _:
            return [h.RunCancelled(at=now, actor=command.actor, reason=command.reason)]


def _cut_off(state: State) -> tuple[str, ...]:
    """The keys a retry forgets: those the failure named and those the run's end closed."""
    closed_by_end = (key for key, step in state.steps.items() if step.closed_seq == state.ended_seq)
    return tuple(dict.fromkeys((*state.forget, *closed_by_end)))


def _roll_back(state: State, command: c.RollBackRun, now: float) -> Decision:
    if not 1 <= command.to_seq <= state.seq:
        return Refusal(
            code="no_such_snapshot",
            message=f"there is no snapshot at seq {command.to_seq}: the history has 1 to {state.seq}",
        )
    return _by_table(
        state,
        Trigger.ROLL_BACK,
        h.RunRolledBack(
            at=now,
            actor=command.actor,
            to_seq=command.to_seq,
            generation=state.generation + 1,
            reason=command.reason,
        ),
    )


def _take_snapshot(state: State, command: c.TakeSnapshot, now: float) -> Decision:
    if state.terminal:
        return _wrong_status(state, "be snapshotted")
    return [h.SnapshotTaken(at=now, actor=command.actor, label=command.label)]

"""The first events of a run that begins with another run's outcomes. Pure."""

from collections.abc import Sequence

import msgspec

from stepwell.core import history as h
from stepwell.core.run import fold

_COPIED = (
    h.StepScheduled
    | h.AttemptStarted
    | h.AttemptFailed
    | h.RetryScheduled
    | h.StepCompleted
    | h.StepFailed
    | h.TimerSet
    | h.TimerFired
    | h.SignalAwaited
    | h.HeartbeatReceived
    | h.WaitExpired
    | h.ApprovalRequested
    | h.ApprovalVoted
    | h.ApprovalDecided
    | h.ApprovalBypassed
    | h.ApprovalEscalated
    | h.ChildStarted
    | h.ChildEnded
    | h.RaceDecided
    | h.ValueRecorded
    | h.EventEmitted
)
_BEGINNINGS = (
    h.StepScheduled
    | h.TimerSet
    | h.SignalAwaited
    | h.ApprovalRequested
    | h.ChildStarted
    | h.RaceDecided
    | h.ValueRecorded
    | h.EventEmitted
)


def fork(
    events: Sequence[h.AnyEvent], at_seq: int, *, new_id: str, now: float, actor: h.Actor, input: msgspec.Raw | None
) -> list[h.AnyEvent]:
    """`RunCreated` of the new run, then what the old one had closed or recorded at `at_seq`, in its order.

    What was open then is not copied: the new run opens it for itself. Signals that no wait had taken are left too.
    Items of the old run's stream are not copied either: the new run publishes them on its own.
    """
    first = events[0]
    assert isinstance(first, h.RunCreated)
    state = fold(list(events[: max(1, at_seq)]))
    closed = {
        key
        for key, step in state.steps.items()
        if step.closed and not step.forgotten and step.closed_seq != state.ended_seq
    }
    created = msgspec.structs.replace(
        first,
        at=now,
        actor=actor,
        run_id=new_id,
        parent=None,
        start_at=None,
        lineage=(),
        forked_from=first.run_id,
        callback_url="",
        trace="",
        version=state.version,
        definition=state.definition,
        input=state.input if input is None else input,
    )
    copied: list[h.AnyEvent] = [created, h.RunStarted(at=now)]
    begun = _last_begun(events[:at_seq])
    kept = {(early.signal, early.id) for waiting in state.early.values() for early in waiting}
    for seq, event in enumerate(events[:at_seq], 1):
        if isinstance(event, _COPIED) and (event.key in closed or event.key in state.choices):
            if seq >= begun[event.key]:
                copied.append(_copy(event, new_id))
        elif isinstance(event, h.SignalReceived) and (event.signal, event.id) not in kept:
            copied.append(event)
    return copied


def _last_begun(events: Sequence[h.AnyEvent]) -> dict[str, int]:
    """Key to the seq at which what stands under it began: before that it was forgotten."""
    return {event.key: seq for seq, event in enumerate(events, 1) if isinstance(event, _BEGINNINGS)}


def _copy(event: h.AnyEvent, run_id: str) -> h.AnyEvent:
    """An approval's id is unique over all runs; what the old run has sent is on record, but not sent again."""
    match event:
        case h.ApprovalRequested():
            return msgspec.structs.replace(event, approval_id=f"{run_id}/{event.key}")
        case h.EventEmitted():
            return h.ValueRecorded(at=event.at, actor=event.actor, key=event.key, value=event.event)
    return event

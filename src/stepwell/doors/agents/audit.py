"""The history of a run as this door's event log: one entry for each fact, in words that users know.

`seq` is the history's, so it has no gap and is the id of the live stream. What a step gave is not repeated here;
secrets are masked by name and by looks. With the hash chain on, each entry names the hash of itself and of the one
before it.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET

from stepwell.core import history as h
from stepwell.core.chain import Link
from stepwell.core.errors import Problem
from stepwell.core.state import State
from stepwell.core.status import WaitReason
from stepwell.doors.agents import wire
from stepwell.doors.agents.mapping import code_of
from stepwell.doors.kit import instant
from stepwell.engine.ids import derived_id
from stepwell.security.masking import MASKS

_STEP: Final = re.compile(r"[^/@~^]+(?:@\d+/[^/@~^]+)*")
"""The key of a step of a template, at the start of all keys that belong to it; `each@3/fetch` is inside another."""
_ATTEMPT: Final = re.compile(r"~\d+$")
_POSTED: Final = "/callback/post"
_RETRY: Final = "/retry"
_ENDED: Final = "/ended"

Said = tuple[str, dict[str, Any]]
"""The type of an entry, and its data."""


class EventLog:
    """Entries of one run. `outlined`: the steps are a template's, and keys begin with theirs."""

    def __init__(self, run_id: str, state: State, *, outlined: bool) -> None:
        self._run_id = run_id
        self._outlined = outlined
        self._callbacks = {key for key, step in state.steps.items() if step.reason is WaitReason.CALLBACK}

    def entry(self, seq: int, event: h.AnyEvent, link: Link | None = None) -> wire.Event:
        """The entry of one event; events come in the order of the history. `link` has its hashes."""
        if isinstance(event, h.SignalAwaited) and event.reason is WaitReason.CALLBACK:
            self._callbacks.add(event.key)
        key = getattr(event, "key", "")
        kind, data = self._said(event, key)
        return wire.Event(
            seq=seq,
            id=derived_id(self._run_id, f"event/{seq}"),
            run_id=self._run_id,
            type=kind,
            step_key=self.step_of(key),
            attempt=getattr(event, "attempt", None),
            actor=wire.EventActor(type=event.actor.type, id=event.actor.id, ip=event.actor.ip or None),
            at=instant(event.at),
            data=MASKS.data({name: value for name, value in data.items() if value not in (None, "", ())}),
            prev_hash=link.prev_hash if link is not None else UNSET,
            hash=link.hash if link is not None else UNSET,
        )

    def step_of(self, key: str) -> str | None:
        """The step that a key belongs to."""
        if not self._outlined:
            return key or None
        found = _STEP.match(key)
        return found[0] if found else None

    def _is_own(self, key: str) -> bool:
        """Whether a key is a step's own, and not that of a part of what it does."""
        return not self._outlined or _ATTEMPT.sub("", key) == self.step_of(key)

    # --- what is said of each event ---------------------------------------------------------------------------------

    def _said(self, event: h.AnyEvent, key: str) -> Said:
        return _of_run(event) or _of_approval(event) or self._of_step(event, key) or self._of_wait(event, key)

    def _of_step(self, event: h.AnyEvent, key: str) -> Said | None:
        what = "step" if self._is_own(key) else "activity"
        match event:
            case h.StepScheduled():
                return f"{what}.scheduled", {"name": event.name}
            case h.AttemptStarted():
                return f"{what}.started", {}
            case h.AttemptFailed():
                missed = code_of(event.error) == "heartbeat_timeout"
                return f"{what}.{'heartbeat_missed' if missed else 'attempt_failed'}", _error(event.error)
            case h.RetryScheduled():
                return f"{what}.retry_scheduled", {"due_at": instant(event.due_at)}
            case h.StepCompleted() if key.endswith(_POSTED):
                return "callback.sent", {}
            case h.StepCompleted():
                return f"{what}.completed", {}
            case h.StepFailed():
                return f"{what}.failed", _error(event.error)
            case h.LateResultDiscarded():
                return "step.late_result_discarded", _error(event.error)
            case h.ValueRecorded() if self._outlined:
                return _of_record(event)
        return None

    def _of_wait(self, event: h.AnyEvent, key: str) -> Said:
        own = self._is_own(key)
        match event:
            case h.TimerSet():
                return "step.started" if own else "timer.set", {"due_at": instant(event.due_at)}
            case h.TimerFired():
                return "step.completed" if own else "timer.fired", {}
            case h.SignalAwaited():
                kind = "callback.issued" if event.reason is WaitReason.CALLBACK else "signal.awaited"
                return kind, {"expires_at": instant(event.deadline)}
            case h.SignalReceived():
                return self._signal(event)
            case h.HeartbeatReceived():
                return "callback.heartbeat", {"progress": event.progress}
            case h.WaitExpired():
                kind = "callback.expired" if key in self._callbacks else "wait.expired"
                return "step.heartbeat_missed" if event.silent else kind, {}
            case h.ChildStarted():
                return "step.started" if own else "child.started", {"child_run_id": event.child_id}
            case h.ChildEnded():
                end = "completed" if event.error is None else "failed"
                return f"step.{end}" if own else f"child.{end}", _error(event.error)
            case h.RaceDecided():
                return "branches.joined", {"winner": event.winner, **_error(event.error)}
            case h.EventEmitted():
                return "event.emitted", {}
            case h.ItemPublished():
                return "item.published", {}
        return "value.recorded", {}

    def _signal(self, event: h.SignalReceived) -> Said:
        if not event.signal.startswith("callback:"):
            return "signal.received", {"signal": event.signal}
        answer = msgspec.json.decode(event.data)
        return "callback.received", {"status": answer.get("status") if isinstance(answer, dict) else None}


def _of_run(event: h.AnyEvent) -> Said | None:
    match event:
        case h.RunCreated():
            data = {"workflow": event.workflow, "version": event.version, "via": event.door}
            parent = event.parent.run_id if event.parent else None
            return "run.created", {**data, "scheduled_at": instant(event.start_at), "parent_run_id": parent}
        case h.RunFellDue():
            return "run.due", {}
        case h.RunStarted():
            return "run.started", {}
        case h.RunPaused():
            return "run.paused", {"reason": event.reason}
        case h.RunResumed():
            return "run.resumed", {}
        case h.StopRequested():
            return "run.stop_requested", {"reason": event.reason}
        case h.RunCancelled():
            return "run.cancelled", {"reason": event.reason, "compensate": event.compensate or None}
        case h.RunCompleted():
            return "run.completed", {}
        case h.RunTimedOut():
            return "run.timed_out", {}
        case h.RunFailed():
            return "run.failed", _error(event.error)
        case h.RunRetried():
            version = event.base.version if event.base is not None else None
            return "run.retried", {"attempt": event.generation, "from_step": event.from_step, "version": version}
        case h.RunRolledBack():
            return "run.rolled_back", {
                "to_seq": event.to_seq,
                "reason": event.reason,
                "compensate": event.compensate or None,
            }
        case h.SnapshotTaken():
            return "snapshot.created", {"label": event.label}
    return None


def _of_approval(event: h.AnyEvent) -> Said | None:
    match event:
        case h.ApprovalRequested():
            return "approval.requested", {"approval_id": event.approval_id, "expires_at": instant(event.due_at)}
        case h.ApprovalVoted():
            return "approval.voted", {"comment": event.comment, "via": event.via}
        case h.ApprovalDecided() if event.expired:
            return "approval.expired", {"decision": "approved" if event.approved else "rejected"}
        case h.ApprovalDecided():
            data = {"comment": event.comment, "via": event.via}
            return "approval.approved" if event.approved else "approval.rejected", data
        case h.ApprovalBypassed():
            return "approval.bypassed", {"rule": event.rule}
        case h.ApprovalEscalated():
            return "approval.escalated", {"approvers": list(event.approvers), "expires_at": instant(event.due_at)}
    return None


def _of_record(event: h.ValueRecorded) -> Said | None:
    """What the runner of templates puts on record about a step as a whole."""
    if event.key.endswith(_ENDED):
        ended = msgspec.json.decode(event.value)
        return f"step.{ended['status']}", _error_value(ended.get("error"))
    if event.key.endswith(_RETRY):
        granted = msgspec.json.decode(event.value)
        return "step.retry_scheduled", {"delay_seconds": granted["delay_s"], **_error_value(granted["error"])}
    return None


def _error(error: Problem | None) -> dict[str, Any]:
    if error is None:
        return {}
    return {"error": {"code": code_of(error), "message": error.detail or error.title or error.type}}


def _error_value(error: dict[str, Any] | None) -> dict[str, Any]:
    return _error(msgspec.convert(error, Problem)) if error else {}

"""What webhooks say of the events of one commit. Pure: the same events give the same messages, with the same ids.

A message is thin (ids and a link, no inputs and no outputs): it may be late, and whoever gets it asks for the rest.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from stepwell.core import history as h
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.core.status import WaitReason
from stepwell.webhooks.types import APPROVAL, RUN, STEP

_encode = msgspec.json.encode
_WAITS: Final = h.TimerSet | h.SignalAwaited | h.ApprovalRequested | h.ChildStarted


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the `webhook-id`: the same whoever makes the message. `body` is the exact text that is signed."""

    id: str
    type: str
    body: str


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What one run commits at once: `events` after `base_seq`, the state after them, the keys of waits they touched.

    `now_asks`: whether the run has come to wait for an approval.
    """

    state: State
    events: list[h.AnyEvent]
    base_seq: int
    touched: Iterable[str]
    now_asks: bool = False


def messages(commit: Commit, wanted: frozenset[str], *, base_url: str) -> list[Message]:
    """The messages of the wanted types, in the order of the events."""
    found = sorted(_all(commit), key=lambda one: one[0])
    return [_message(commit.state, *one, base_url) for one in found if one[1] in wanted]


Found = Iterator[tuple[int, str, float, dict[str, Any]]]
"""Seq, type, instant, and what is particular about it."""


def _all(commit: Commit) -> Found:
    state = commit.state
    for seq, event in enumerate(commit.events, commit.base_seq + 1):
        for kind, more in _of_event(state, event):
            yield seq, kind, event.at, more
    for key in commit.touched:  # what waits do not end by an event of their own name: a signal ends the oldest one
        step = state.steps.get(key)
        if step is not None and step.kind is not StepKind.CALL and step.closed_seq > commit.base_seq:
            kind = _ending(step)
            if kind:
                yield step.closed_seq, kind, step.closed_at, _of_step(state, key)
    if commit.now_asks:
        asked = [step for key in state.waits if (step := state.steps[key]).reason is WaitReason.APPROVAL]
        ids = [step.approval.id for step in asked if step.approval is not None]
        yield state.seq, f"{RUN}waiting_approval", state.last_at, {"approval_ids": ids}


def _of_event(state: State, event: h.AnyEvent) -> Iterator[tuple[str, dict[str, Any]]]:
    match event:
        case h.RunStarted() if event.at == state.started_at:  # not the one after a retry
            yield f"{RUN}started", {}
        case h.RunPaused() | h.RunRolledBack():
            yield f"{RUN}paused", {}
        case h.RunResumed():
            yield f"{RUN}resumed", {}
        case h.RunCompleted():
            yield f"{RUN}completed", {}
        case h.RunFailed():
            yield f"{RUN}failed", {"error": {"type": event.error.type, "title": event.error.title}}
        case h.RunCancelled():
            yield f"{RUN}cancelled", {}
        case h.RunRetried():
            yield f"{RUN}retried", {"generation": event.generation}
        case h.AttemptStarted():
            yield f"{STEP}started", _of_step(state, event.key, event.attempt)
        case h.StepCompleted():
            yield f"{STEP}completed", _of_step(state, event.key)
        case h.StepFailed():
            yield f"{STEP}failed", _of_step(state, event.key)
        case h.RetryScheduled():
            yield f"{STEP}retrying", {**_of_step(state, event.key), "next_retry_at": instant(event.due_at)}
        case h.ApprovalDecided():
            yield f"{APPROVAL}{_decision(event)}", _of_approval(state, event.key)
        case _ if isinstance(event, _WAITS):
            yield f"{STEP}started", _of_step(state, event.key)
            if isinstance(event, h.ApprovalRequested):
                yield f"{APPROVAL}requested", {"step_key": event.key, "approval_id": event.approval_id}


def _ending(step: Step) -> str:
    """How a wait ended: an approval that was not given has failed; a wait that was cut off is neither."""
    if step.status is StepStatus.CANCELLED:
        return ""
    rejected = step.approval is not None and msgspec.json.decode(step.output)["decision"] != "approved"
    return f"{STEP}failed" if rejected or step.status is StepStatus.FAILED else f"{STEP}completed"


def _decision(event: h.ApprovalDecided) -> str:
    if event.expired:
        return "expired"
    return "approved" if event.approved else "rejected"


def _of_step(state: State, key: str, attempt: int = 0) -> dict[str, Any]:
    step = state.steps[key]
    return {"step_key": key, "step_name": step.name, "attempt": attempt or step.attempt}


def _of_approval(state: State, key: str) -> dict[str, Any]:
    approval = state.steps[key].approval
    assert approval is not None, f"{key} is no approval"
    return {"step_key": key, "approval_id": approval.id}


def _message(state: State, seq: int, kind: str, at: float, more: dict[str, Any], base_url: str) -> Message:
    data = {
        "run_id": state.run_id,
        "workflow": {
            "id": state.workflow,
            "name": state.labels.get("workflow_name", state.workflow),
            "version": state.version,
        },
        **({"parent_id": state.parent.run_id} if state.parent is not None else {}),
        "seq": seq,
        **more,
        "link": f"{base_url}/api/v1/workflows/{state.run_id}",
    }
    return make_message(uuid5(UUID(state.run_id), f"{kind}#{seq}"), kind, at, data)


def make_message(id: UUID, kind: str, at: float, data: dict[str, Any]) -> Message:
    """A message in the form of Standard Webhooks: type, timestamp (of what it tells), data."""
    body = _encode({"type": kind, "timestamp": instant(at), "data": data}).decode()
    return Message(id=f"msg_{id.hex}", type=kind, body=body)


def instant(at: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

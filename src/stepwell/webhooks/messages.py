"""What webhooks say of the events of one commit. Pure: the same events give the same messages, with the same ids.

A message is thin (ids and a link, no inputs and no outputs): it may be late, and whoever gets it asks for the rest.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID, uuid5

import msgspec

from stepwell.core import history as h
from stepwell.core.state import State, StepKind
from stepwell.core.status import WaitReason
from stepwell.webhooks.steps import Said, instant, part_of, said_of_step, said_of_wait
from stepwell.webhooks.types import APPROVAL, RUN

_encode = msgspec.json.encode


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the `webhook-id`: the same whoever makes the message. `body` is the exact text that is signed."""

    id: str
    type: str
    body: str


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """How messages point to what they tell of: the server's address, and a workflow's name to its id."""

    base_url: str = ""
    workflow_id: Callable[[str], str] = str


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What one run commits at once: `events` after `base_seq`, the state after them, the keys of waits they touched.

    `now_asks`: whether the run has come to wait for an approval.
    """

    state: State
    events: list[h.AnyEvent]
    base_seq: int
    touched: Iterable[str]
    now_asks: bool = False


def messages(commit: Commit, wanted: frozenset[str], links: Links) -> list[Message]:
    """The messages of the wanted types, in the order of the events."""
    found = sorted(_all(commit), key=lambda one: one[0])
    return [_message(commit.state, *one, links) for one in found if one[2][0] in wanted]


def _all(commit: Commit) -> Iterator[tuple[int, float, Said]]:
    """Seq, instant, and what is said."""
    state = commit.state
    for seq, event in enumerate(commit.events, commit.base_seq + 1):
        for said in (*_said_of_run(state, event), *_said_of_approval(state, event), *said_of_step(state, event)):
            yield seq, event.at, said
    for key in commit.touched:  # a wait may end by an event that does not name it: a signal ends the oldest one
        step = state.steps.get(key)
        if step is not None and step.kind is not StepKind.CALL and step.closed_seq > commit.base_seq:
            for said in said_of_wait(state, key):
                yield step.closed_seq, step.closed_at, said
    if commit.now_asks:
        asked = [state.steps[key] for key in state.waits if state.steps[key].reason is WaitReason.APPROVAL]
        ids = [step.approval.id for step in asked if step.approval is not None]
        yield state.seq, state.last_at, (f"{RUN}waiting_approval", {"approval_ids": ids})


def _said_of_run(state: State, event: h.AnyEvent) -> Iterator[Said]:
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


def _said_of_approval(state: State, event: h.AnyEvent) -> Iterator[Said]:
    match event:
        case h.ApprovalRequested():
            yield f"{APPROVAL}requested", _of_approval(state, event.key, event.approval_id)
        case h.ApprovalDecided():
            approval = state.steps[event.key].approval
            assert approval is not None, f"{event.key} is no approval"
            what = "expired" if event.expired else "approved" if event.approved else "rejected"
            yield f"{APPROVAL}{what}", _of_approval(state, event.key, approval.id)


def _of_approval(state: State, key: str, id: str) -> dict[str, Any]:
    return {"step_key": part_of(state, key).key, "approval_id": id}


def _message(state: State, seq: int, at: float, said: Said, links: Links) -> Message:
    kind, more = said
    data = {
        "run_id": state.run_id,
        "workflow": {
            "id": links.workflow_id(state.workflow),
            "name": state.labels.get("workflow_name", state.workflow),
            "version": state.version,
        },
        **({"parent_id": state.parent.run_id} if state.parent is not None else {}),
        "seq": seq,
        **more,
        "link": f"{links.base_url}/api/v1/workflows/{state.run_id}",
    }
    return make_message(uuid5(UUID(state.run_id), f"{kind}#{seq}"), kind, at, data)


def make_message(id: UUID, kind: str, at: float, data: dict[str, Any]) -> Message:
    """A message in the form of Standard Webhooks: type, timestamp (of what it tells), data."""
    body = _encode({"type": kind, "timestamp": instant(at), "data": data}).decode()
    return Message(id=f"msg_{id.hex}", type=kind, body=body)

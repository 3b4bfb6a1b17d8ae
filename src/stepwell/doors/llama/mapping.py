"""From runs to what this API shows of them. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stepwell.core.errors import Problem
from stepwell.core.status import Status
from stepwell.core.typed import Envelope
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.wire import Handler, HandlerStatus, ReadableHandler

STATUSES: Final[Mapping[Status, HandlerStatus]] = {
    Status.SCHEDULED: "running",
    Status.PENDING: "running",
    Status.RUNNING: "running",
    Status.WAITING: "running",
    Status.PAUSED: "running",
    Status.STOPPING: "running",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
"""Statuses as this API words them (spec of the four doors, status table)."""

STOP: Final = "StopEvent"
EMPTY_STOP: Final = Envelope(value={}, qualified_name="workflows.events.StopEvent", type=STOP)
_NO_RESULT: Final = frozenset({"WorkflowFailedEvent", "WorkflowTimedOutEvent", "WorkflowCancelledEvent"})

_encode = msgspec.json.Encoder().encode


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as far as a handler shows it; instants in seconds since the epoch, UTC.

    `last` is the envelope of its last event, where there is one: the result of a run that completed.
    """

    handler_id: str
    run_id: str
    workflow_name: str
    status: Status
    started_at: float
    updated_at: float
    ended_at: float | None = None
    error: str | None = None
    output: Any = None
    last: Envelope | None = None
    unreadable: bool = False


def statuses_of(words: list[str]) -> tuple[Status, ...]:
    """The statuses that are shown as one of these words."""
    return tuple(status for status, word in STATUSES.items() if word in words)


def error_text(problem: Problem | None) -> str | None:
    """Why a run failed, in one text."""
    return None if problem is None else problem.detail or problem.title or problem.type


def handler_of(shown: Shown, dialect: Dialect, *, waited_for: bool = False, plain_result: bool = False) -> Handler:
    """A run as a handler. `waited_for`: in the answer to its start. `plain_result`: as its value in any dialect."""
    status = STATUSES[shown.status]
    completed = shown.status is Status.COMPLETED
    ended_at = None if waited_for and not dialect.ended_at_once else shown.ended_at
    members: dict[str, Any] = {
        "handler_id": shown.handler_id,
        "workflow_name": shown.workflow_name,
        "run_id": shown.run_id,
        "error": shown.error if status == "failed" else None,
        "result": _result(shown, enveloped=dialect.envelopes and not plain_result) if completed else None,
        "status": status,
        "started_at": iso(shown.started_at),
        "updated_at": iso(shown.updated_at),
        "completed_at": None if ended_at is None else iso(ended_at),
    }
    if not dialect.tells_readable:
        return Handler(**members)
    return ReadableHandler(**members, result_unreadable=completed and shown.unreadable)


def _result(shown: Shown, *, enveloped: bool) -> Any:
    if shown.unreadable:
        return None
    return envelope_data(stop_of(shown)) if enveloped else shown.output


def stop_of(shown: Shown) -> Envelope:
    """The event that ended a run that completed: its own, or one made of its output."""
    if shown.last is not None and is_stop(shown.last):
        return shown.last
    return msgspec.structs.replace(EMPTY_STOP, value={} if shown.output is None else {"result": shown.output})


def is_last(envelope: Envelope) -> bool:
    """Whether it ends a run."""
    return envelope.type == STOP or STOP in (envelope.types or ())


def is_stop(envelope: Envelope) -> bool:
    """Whether it ends a run that completed, and holds its result."""
    return is_last(envelope) and envelope.type not in _NO_RESULT


def envelope_data(envelope: Envelope, *, qualified: bool = True) -> dict[str, Any]:
    """An envelope in the order of the wire. Without superclasses `types` is null."""
    return {
        "value": envelope.value,
        "qualified_name": envelope.qualified_name if qualified else None,
        "type": envelope.type,
        "types": list(envelope.types) if envelope.types else None,
    }


def event_line(envelope: Envelope, dialect: Dialect, *, qualified: bool) -> bytes:
    """An event of a stream as JSON."""
    if not dialect.says_why and envelope.type in _NO_RESULT and is_last(envelope):
        envelope = EMPTY_STOP
    return _encode(envelope_data(envelope, qualified=qualified))


def plain_graph(graph: Mapping[str, Any]) -> dict[str, Any]:
    """A graph as the older dialect draws it."""
    nodes = [
        {
            "id": node["id"],
            "label": node["label"],
            "node_type": node["node_type"],
            "title": None,
            "event_type": node.get("event_type"),
        }
        for node in graph["nodes"]
    ]
    edges = [{"source": edge["source"], "target": edge["target"]} for edge in graph["edges"]]
    return {"nodes": nodes, "edges": edges}


def iso(at: float) -> str:
    """An instant as this API writes it: UTC, with microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")

"""A run as its page shows it: facts, lanes of the timeline, rows of the history and the stream. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from stepwell.brokers.port import Delivery
from stepwell.core import history as h
from stepwell.core.program import Hiding
from stepwell.core.status import Answer, Status, Trigger, outcome
from stepwell.doors.kit.masked import masked_event
from stepwell.engine.views import AttemptView, RunView, StepView
from stepwell.programs.pipeline.reporting import is_item, messages_of
from stepwell.store.model import StreamItem

MAX_LANES: Final = 300
MAX_TEXT: Final = 2_000
"""Characters of one event's data that its row shows."""
VERBS: Final = {
    "pause": Trigger.PAUSE,
    "resume": Trigger.RESUME,
    "stop": Trigger.STOP,
    "cancel": Trigger.CANCEL,
    "retry": Trigger.RETRY,
    "roll_back": Trigger.ROLL_BACK,
}
"""What a run can be told, by what that is in the table of transitions."""

Json = dict[str, Any]


def allowed(status: Status) -> list[str]:
    """The verbs that change something in this status."""
    idle = (Answer.REFUSE, Answer.NO_CHANGE)
    return [verb for verb, trigger in VERBS.items() if outcome(status, trigger) not in idle]


def head_of(view: RunView, created: h.RunCreated, *, undoable: bool) -> Json:
    """What stands at the top: who and what it is, how it stands, what it can be told."""
    row = view.row
    labels = {name: text for name, text in row.labels.items() if name != "workflow_name"}
    return {
        "id": row.run_id,
        "workflow": row.workflow_name,
        "version": row.version,
        "status": str(row.status),
        "reason": row.reason or "",
        "until": row.until,
        "error": None if view.error is None else {"type": view.error.type, "text": str(view.error)},
        "failedStep": view.failed_step,
        "cancelReason": view.cancel_reason,
        "owner": row.owner,
        "door": row.door,
        "by": created.actor.id,
        "labels": labels,
        "parent": row.parent_id or "",
        "forkedFrom": created.forked_from,
        "generation": row.generation,
        "created": row.created_at,
        "started": row.started_at,
        "ended": row.ended_at,
        "timeoutAt": view.timeout_at,
        "events": row.seq,
        "allowed": allowed(row.status),
        "undoable": undoable,
    }


# --- the timeline ---------------------------------------------------------------------------------------------------


def lanes_of(steps: Iterable[StepView]) -> list[Json]:
    """A lane for each step that has begun, in the order in which they did: bars for attempts, waits and delays."""
    begun = [step for step in _all(steps) if step.attempts or step.started_at is not None]
    return [_lane(step) for step in sorted(begun, key=_begun_at)[:MAX_LANES]]


def _begun_at(step: StepView) -> float:
    return step.attempts[0].started_at if step.attempts else step.started_at or 0.0


def _all(steps: Iterable[StepView]) -> Iterator[StepView]:
    for step in steps:
        yield step
        yield from _all(step.parts)


def find_step(steps: Iterable[StepView], key: str) -> StepView | None:
    """The step under a key, also inside others."""
    return next((step for step in _all(steps) if step.key == key), None)


def _lane(step: StepView) -> Json:
    return {
        "key": step.key,
        "name": step.name,
        "type": step.type,
        "status": step.status,
        "attempts": len(step.attempts),
        "start": _begun_at(step),
        "end": step.ended_at,
        "child": step.child_id,
        "bars": _bars(step),
    }


def _bars(step: StepView) -> list[Json]:
    waits = step.type in ("wait", "approval", "callback", "event", "subworkflow")
    bars: list[Json] = []
    for attempt in step.attempts:
        if bars and bars[-1]["end"] is not None and attempt.started_at - bars[-1]["end"] > 0.001:
            bars.append({"kind": "delay", "start": bars[-1]["end"], "end": attempt.started_at, "status": "retrying"})
        bars.append(_bar(attempt, waits))
    if step.next_retry_at is not None and bars and bars[-1]["end"] is not None:
        bars.append({"kind": "delay", "start": bars[-1]["end"], "end": step.next_retry_at, "status": "retrying"})
    return bars


def _bar(attempt: AttemptView, waits: bool) -> Json:
    return {
        "kind": "wait" if waits or attempt.status == "waiting" else "attempt",
        "number": attempt.number,
        "start": attempt.started_at,
        "end": attempt.ended_at,
        "status": "waiting" if waits and attempt.status == "running" else attempt.status,
        "error": "" if attempt.error is None else str(attempt.error)[:300],
    }


def detail_of(step: StepView) -> Json:
    """All that is known of one step."""
    return {
        "key": step.key,
        "name": step.name,
        "type": step.type,
        "status": step.status,
        "endedSeq": step.ended_seq,
        "child": step.child_id,
        "values": {"Input": step.input, "Output": step.output, "Error": _plain(step.error)},
        "attempts": [
            {**_bar(attempt, False), "output": attempt.output, "late": attempt.late}
            for attempt in step.attempts[-50:]
        ],
    }


def _plain(value: Any) -> Any:
    return None if value is None else msgspec.to_builtins(value)


# --- history and stream ---------------------------------------------------------------------------------------------


def event_fields(seq: int, event: h.AnyEvent, hiding: Hiding | None) -> Json:
    """An event with its number: secrets of the definition, and whatever looks like one, are masked."""
    return {"seq": seq, **masked_event(event, hiding)}


def event_row(seq: int, event: h.AnyEvent, hiding: Hiding | None) -> Json:
    """An event as a row of the history."""
    data = event_fields(seq, event, hiding)
    actor = data.pop("actor", {})
    row = {name: data.pop(name, "") for name in ("seq", "at", "type", "key")}
    text = msgspec.json.encode(data).decode() if data else ""
    return {
        **row,
        "actor": f"{actor['type']} {actor['id']}" if "id" in actor else "",
        "data": text[:MAX_TEXT] + ("…" if len(text) > MAX_TEXT else ""),
    }


def item_row(item: StreamItem, hiding: Hiding | None) -> Json:
    """A stream item as a row; messages of pipelines stand in rows of their own (`message_rows`)."""
    data = item.data
    if is_item(data):
        data = {name: value for name, value in data.items() if name not in ("messages", "batches")}
    shown = data if hiding is None else hiding.value(data)
    text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
    return {"n": item.n, "at": item.at, "type": item.type, "key": item.key, "text": text[:MAX_TEXT]}


def message_rows(item: StreamItem) -> list[Json]:
    """The messages that a broker acknowledged, with what it said of each."""
    if not is_item(item.data):
        return []
    return [
        {
            "id": f"{item.n}.{index}",
            "at": message.at or item.at,
            "execution": message.execution,
            "stage": message.stage,
            "key": message.key or "",
            "payload": msgspec.json.encode(message.payload).decode()[:MAX_TEXT],
            "ack": _ack(message.delivery),
        }
        for index, message in enumerate(messages_of(item.data))
    ]


def _ack(delivery: Delivery | None) -> str:
    """What the broker said, in a few words."""
    if delivery is None:
        return "acknowledged"
    if delivery.partition is not None:
        return f"{delivery.topic} partition {delivery.partition} offset {delivery.offset}"
    confirmed = "confirmed" if delivery.confirmed else "not confirmed"
    return f"{delivery.exchange or ''} {delivery.routing_key or ''} {confirmed}".strip()

"""The events of a run as this API streams them, with the number that a client goes on behind. Pure.

A run of typed events has them on its stream: an event's number is that of its item, from 0. Of any other run they are
made from its history and stream: the number says how much of both lies behind it. A group that has one place (the
messages of one item) has one number, on its last event.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from stepwell.core import history as h
from stepwell.core.program import Hiding
from stepwell.core.typed import Envelope
from stepwell.doors.llama.mapping import EMPTY_STOP
from stepwell.doors.llama.plain import ASKED, MESSAGE
from stepwell.doors.llama.reading import envelope_of
from stepwell.engine.watching import Seen
from stepwell.programs.pipeline.reporting import is_item
from stepwell.store.model import StreamItem

_ITEM_BITS: Final = 36  # 2**53 is the largest number that every client reads exactly; a history has 100,000 events
_ITEMS: Final = (1 << _ITEM_BITS) - 1


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and its number where it has one."""

    envelope: Envelope
    number: int | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a run lies behind a client: of its history, and of its stream."""

    seq: int = 0
    item: int = 0


def typed_place(number: int) -> Place:
    """Behind the event of that number; -1 is the start."""
    return Place(item=max(0, min(number, _ITEMS) + 1))


def plain_place(number: int) -> Place:
    """As `plain_number` says."""
    return Place(seq=number >> _ITEM_BITS, item=number & _ITEMS) if number >= 0 else Place()


def plain_number(place: Place) -> int:
    """The number of the event after which that much lies behind a client."""
    return place.seq << _ITEM_BITS | place.item


def typed_events(seen: Seen) -> Iterator[Numbered]:
    """Of a run of typed events: what was put on its stream."""
    envelope = envelope_of(seen.item) if seen.item is not None else None
    if envelope is not None:
        yield Numbered(envelope=envelope, number=seen.item_number - 1)


def plain_events(seen: Seen, hiding: Hiding | None) -> Iterator[Numbered]:
    """Of any other run: its approvals, its steps (internal), what it put on its stream, and its output."""
    found = _of_item(seen.item) if seen.item is not None else _of_event(seen.event)
    for position, envelope in enumerate(found, 1):
        shown = envelope if hiding is None else msgspec.structs.replace(envelope, value=hiding.value(envelope.value))
        last = position == len(found)
        number = plain_number(Place(seq=seen.seq, item=seen.item_number)) if last else None
        yield Numbered(envelope=shown, number=number)


def _of_item(item: StreamItem) -> list[Envelope]:
    if item.type == "item" and is_item(item.data):
        return [_event(MESSAGE, _message(sent)) for sent in item.data.get("messages", ())]
    return [_event(item.type.capitalize(), {"step": item.key, "data": item.data})]


def _message(sent: dict[str, Any]) -> dict[str, Any]:
    return {
        "stage": sent["stage"],
        "payload": sent["payload"],
        "headers": sent.get("headers", {}),
        "execution": sent["execution"],
    }


def _of_event(event: h.AnyEvent | None) -> list[Envelope]:
    match event:
        case h.ApprovalRequested():
            request = event.request
            value = {
                "approval_id": event.approval_id,
                "step": event.key,
                "title": request.title,
                "prompt": request.prompt,
                "schema": request.schema,
            }
            return [_event(ASKED, value, "InputRequiredEvent")]
        case h.AttemptStarted() | h.TimerSet() | h.SignalAwaited() | h.ChildStarted():
            return [_state_changed(event.key, "running")]
        case h.StepCompleted() | h.StepFailed() | h.TimerFired() | h.ChildEnded() | h.WaitExpired():
            return [_state_changed(event.key, "not_running")]
        case h.RunCompleted():
            output = msgspec.json.decode(event.output)
            return [msgspec.structs.replace(EMPTY_STOP, value={} if output is None else {"result": output})]
        case _:
            return []


def _state_changed(key: str, step_state: str) -> Envelope:
    value = {
        "name": key,
        "step_state": step_state,
        "worker_id": "0",
        "input_event_name": "StartEvent",
        "output_event_name": None,
    }
    name = "workflows.events.StepStateChanged"
    types = ("InternalDispatchEvent",)
    return Envelope(value=value, qualified_name=name, type="StepStateChanged", types=types, internal=True)


def _event(type: str, value: dict[str, Any], *types: str) -> Envelope:
    return Envelope(value=value, qualified_name=None, type=type, types=types or None)

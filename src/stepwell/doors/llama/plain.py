"""Workflows without typed events, as this API shows them: `StartEvent` has the input, `StopEvent` the output.

What happens in between is told with events of our own: `ApprovalRequested` asks a person, whose `ApprovalResponse`
can be posted; `Message` is a message of a pipeline, `Item`, `Thinking` and `Progress` are what steps put there.
A flow that listens takes the CloudEvents it listens for, by their type.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.core.history import AnyEvent
from stepwell.core.program import Compiled
from stepwell.core.status import Status
from stepwell.core.typed import NO_LABELS, Envelope, EventFault
from stepwell.doors.llama.graphs import graph_of
from stepwell.store.model import Definition

START: Final = "StartEvent"
STOP: Final = "StopEvent"
ASKED: Final = "ApprovalRequested"
ANSWER: Final = "ApprovalResponse"
MESSAGE: Final = "Message"
_ENVELOPE: Final = frozenset({"type", "value", "data", "qualified_name", "types", "__is_pydantic"})
_TEXT: Final = {"type": "string"}
_ANY: Final[dict[str, Any]] = {}

_EVENTS: Final[Mapping[str, dict[str, Any]]] = {
    ASKED: {"approval_id": _TEXT, "step": _TEXT, "title": _TEXT, "prompt": _TEXT, "schema": _ANY},
    ANSWER: {"approval_id": _TEXT, "approved": {"type": "boolean"}, "comment": _TEXT, "data": _ANY},
    MESSAGE: {"stage": _TEXT, "payload": _ANY, "headers": {"type": "object"}, "execution": {"type": "integer"}},
    "Item": {"step": _TEXT, "data": _ANY},
    "Thinking": {"step": _TEXT, "data": _TEXT},
    "Progress": {"step": _TEXT, "data": {"type": "number"}},
}
"""Name to properties."""
_REQUIRED: Final[Mapping[str, list[str]]] = {ANSWER: ["approved"]}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer. `approval_id` may be left out while only one approval is pending."""

    approved: bool
    approval_id: str | None = None
    comment: str = ""
    data: Any = None


class PlainWorkflow:
    """`core.typed.TypedWorkflow` of a flow, a pipeline or a program over the verbs."""

    def __init__(self, name: str, definition: Definition, compiled: Compiled) -> None:
        self._name = name
        self._definition = definition
        self._compiled = compiled
        self.start_schema = self._start_schema()
        self.stop_schema: Mapping[str, Any] = _schema(STOP, {"result": _ANY})

    @property
    def event_types(self) -> list[str]:
        """The names of all events, sorted."""
        heard = [listen.type for listen in self._compiled.listens if listen.type]
        return sorted({START, STOP, *_EVENTS, *heard})

    @property
    def event_schemas(self) -> Sequence[Mapping[str, Any]]:
        known = {START: self.start_schema, STOP: self.stop_schema}
        return [
            known.get(name) or _schema(name, _EVENTS.get(name, _ANY), _REQUIRED.get(name))
            for name in self.event_types
        ]

    @property
    def graph(self) -> Mapping[str, Any]:
        return graph_of(self._name, self._definition, self._compiled, start=self.start_schema, stop=self.stop_schema)

    def _start_schema(self) -> Mapping[str, Any]:
        given = self._compiled.input_schema
        if self._definition.kind == "pipeline":
            given = {"properties": {"executions": {"type": "integer", "minimum": 1}}}
        return {"type": "object", "properties": {}, "title": START, **(given if isinstance(given, dict) else {})}

    def read_start(self, body: Any) -> dict[str, Any]:
        """The input: an object of its fields, the text of one, or an envelope. Raises `EventFault`."""
        if body is None:
            return {}
        found = _object(body)
        if not _is_envelope(found):
            return found
        type, value = _unpacked(found)
        if type != START:
            if type in self.event_types:
                raise EventFault("not_a_start_event", name=type, expected=[START])
            raise EventFault("unknown_type", name=type, expected=self.event_types)
        return value

    # This and `context_after` have the signatures of `TypedWorkflow`: a plain program has no state to look at.

    def with_context(
        self,
        input: Mapping[str, Any],
        context: Mapping[str, Any],  # noqa: ARG002  # as above
        labels: Mapping[str, str] = NO_LABELS,  # noqa: ARG002  # as above
    ) -> dict[str, Any]:
        """There is no state that a run could take over."""
        return dict(input)

    def read_event(self, body: Any, step: str | None = None) -> dict[str, Any]:
        """`type` and `value` of a posted event. Raises `EventFault`."""
        found = _object(body)
        if not found.keys() & {"type", "qualified_name"}:
            raise EventFault("untyped")
        type, value = _unpacked(found)
        if type not in self.event_types:
            raise EventFault("unknown_type", name=type, expected=self.event_types)
        if step is not None:
            raise EventFault("unknown_step", f"Step {step} does not exist", name=step)
        return {"type": type, "value": value}

    def check_envelope(self, envelope: Envelope) -> None:
        """There are no classes that could be gone."""

    def ending(self, status: Status, detail: str) -> Envelope:
        """As `ending_of`."""
        return ending_of(status, detail)

    async def context_after(self, history: Sequence[AnyEvent]) -> dict[str, Any]:  # noqa: ARG002  # see above
        """A run leaves no state behind."""
        return {}


def ending_of(status: Status, detail: str) -> Envelope:
    """The last event of a run that did not complete."""
    if status is Status.CANCELLED:
        return _last("WorkflowCancelledEvent", {})
    exception = {"exception_type": "stepwell.core.errors.ProgramError", "exception_message": detail}
    value = {"step_name": "", "exception": exception, "attempts": 1, "elapsed_seconds": 0.0}
    return _last("WorkflowFailedEvent", value)


def read_answer(value: Any) -> Answer:
    """The fields of an `ApprovalResponse`. Raises `EventFault`."""
    try:
        return msgspec.convert(value, Answer)
    except msgspec.ValidationError as fault:
        raise EventFault("invalid_fields", f"{ANSWER}: {fault}", name=ANSWER) from None


def _last(type: str, value: dict[str, Any]) -> Envelope:
    return Envelope(value=value, qualified_name=f"workflows.events.{type}", type=type, types=(STOP,))


def _schema(title: str, properties: Mapping[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    found = {"type": "object", "title": title, "properties": dict(properties)}
    return {**found, "required": required} if required else found


def _object(body: Any) -> dict[str, Any]:
    """An object, or the text of one."""
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            body = None
    if not isinstance(body, dict):
        raise EventFault("not_an_object")
    return body


def _is_envelope(found: Mapping[str, Any]) -> bool:
    """Whether an object wraps the fields of an event, and is not made of them."""
    return found.keys() <= _ENVELOPE and "value" in found and bool(found.keys() & {"type", "qualified_name"})


def _unpacked(found: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Type and fields of an event. A qualified name counts by its last part: nothing is ever imported."""
    type = found.get("type") or str(found.get("qualified_name") or "").rpartition(".")[2]
    value = found.get("value", found.get("data", {}))
    if not isinstance(type, str) or not type:
        raise EventFault("untyped")
    if not isinstance(value, dict):
        raise EventFault("invalid_fields", f"{type}: expected an object of its fields", name=type)
    return type, value

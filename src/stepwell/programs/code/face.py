"""What a hosted workflow tells doors (`core.typed.TypedWorkflow`), and how it reads what clients send."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from stepwell.core.errors import ProgramError
from stepwell.core.history import AnyEvent
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.core.typed import CONTEXT, NO_LABELS, Envelope, EventFault
from stepwell.programs.code.contexts import context_fault
from stepwell.programs.code.envelopes import envelope, qualified_name
from stepwell.programs.code.hosting import Hosted
from stepwell.programs.code.record import Reading
from stepwell.programs.code.seam import (
    Event,
    InMemoryStateStore,
    UnreconstructedException,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowRuntimeError,
    get_workflow_representation,
)
from stepwell.programs.code.state import rebuilt

_FRAMEWORK: Final = ("WorkflowCancelledEvent", "WorkflowFailedEvent", "WorkflowTimedOutEvent")


class Face:
    """The typed face of one hosted workflow."""

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted
        workflow = hosted.workflow
        self.start_schema: Mapping[str, Any] = workflow.start_event_class.model_json_schema()
        self.stop_schema: Mapping[str, Any] = hosted.stop_event_class.model_json_schema()
        self.event_schemas: Sequence[Mapping[str, Any]] = [
            kind.model_json_schema() for kind in hosted.events.values()
        ]
        self.graph: Mapping[str, Any] = get_workflow_representation(workflow).model_dump(mode="json")
        self._qualified = {qualified_name(kind): kind for kind in hosted.events.values()}

    # --- starting ---------------------------------------------------------------------------------------------------

    def read_start(self, body: Any) -> dict[str, Any]:
        fields = {} if body is None else _object(body)
        if "value" in fields:
            event = self._event(self._kind(fields), _own(fields["value"]))
            if not isinstance(event, self._hosted.workflow.start_event_class):
                expected = repr(self._hosted.workflow.start_event_class)
                raise EventFault(
                    "not_a_start_event", f"Start event must be an instance of {expected}", expected=[expected]
                )
            fields = dict(fields["value"])
        else:
            self._start(_own(fields))
        fault = context_fault(self._hosted, fields, NO_LABELS)
        if fault:
            raise EventFault("invalid_context", f"{CONTEXT}: {fault}")
        return fields

    def _start(self, fields: Mapping[str, Any]) -> None:
        try:
            self._hosted.start_event(fields)
        except Exception as fault:  # noqa: BLE001  as `Hosted.start_event` says
            raise EventFault("invalid_fields", str(fault)) from None

    async def check_input(self, input: Any) -> Mapping[str, Sequence[str]]:
        """Every fault of a run's input, by field ("" is the whole)."""
        fields = {} if input is None else input
        if not isinstance(fields, dict):
            return {"": ["expected an object with the fields of the start event"]}
        try:
            self._hosted.start_event(_own(fields))
        except ValidationError as fault:
            found: dict[str, list[str]] = {}
            for error in fault.errors(include_url=False):
                found.setdefault(str(error["loc"][0]) if error["loc"] else "", []).append(error["msg"])
            return found
        except Exception as fault:  # noqa: BLE001  as `Hosted.start_event` says
            return {"": [str(fault)]}
        fault_text = context_fault(self._hosted, fields, NO_LABELS)
        return {CONTEXT: [fault_text]} if fault_text else {}

    def with_context(
        self, input: Mapping[str, Any], context: Mapping[str, Any], labels: Mapping[str, str] = NO_LABELS
    ) -> dict[str, Any]:
        if not context:
            return dict(input)
        found = {**input, CONTEXT: dict(context)}
        fault = context_fault(self._hosted, found, labels)
        if fault:
            raise EventFault("invalid_context", fault)
        return found

    # --- posted events ----------------------------------------------------------------------------------------------

    def read_event(self, body: Any, step: str | None = None) -> dict[str, Any]:
        fields = _object(body)
        value = fields["value"] if "value" in fields else fields.get("data", {})
        event = self._event(self._kind(fields), value)
        if step:
            self._check_step(step, event)
        return {"event": self._hosted.codec.serializer.serialize_value(event), "step": step or None}

    def _check_step(self, step: str, event: Event) -> None:
        try:
            self._hosted.workflow._validate_valid_step_message(step, event)
        except WorkflowRuntimeError as fault:
            known = step in self._hosted.registered.steps
            raise EventFault("step_refuses" if known else "unknown_step", str(fault), name=step) from None

    def _kind(self, fields: Mapping[str, Any]) -> type[Event]:
        """The class that an envelope names: one of the workflow's own, whatever the client says."""
        name, full = fields.get("type"), fields.get("qualified_name")
        if not name and not full:
            raise EventFault("untyped", "Must have a type or a qualified name")
        kind = self._hosted.events.get(str(name)) if name else self._qualified.get(str(full))
        if kind is None:
            known = tuple(self._hosted.events)
            raise EventFault(
                "unknown_type",
                f"Invalid event type: {name or full}. Expected one of {', '.join(known)}",
                name=str(name or full),
                expected=known,
            )
        return kind

    def _event(self, kind: type[Event], value: Any) -> Event:
        if not isinstance(value, dict):
            raise EventFault("invalid_fields", f"expected an object with the fields of {kind.__name__}")
        try:
            return kind.model_validate(value)
        except Exception as fault:  # noqa: BLE001  as for a start event
            raise EventFault("invalid_fields", str(fault)) from None

    # --- looking back -----------------------------------------------------------------------------------------------

    def check_envelope(self, envelope: Envelope) -> None:
        kind = self._qualified.get(envelope.qualified_name or "")
        if kind is not None:
            self._event(kind, dict(envelope.value))
        elif envelope.type not in _FRAMEWORK:
            raise EventFault(
                "unknown_type",
                f"the class {envelope.qualified_name} is not known any more",
                name=envelope.type,
                expected=tuple(self._hosted.events),
            )

    def ending(self, status: Status, detail: str) -> Envelope:
        if status is Status.CANCELLED:
            return envelope(WorkflowCancelledEvent())
        fault = UnreconstructedException(detail)
        return envelope(WorkflowFailedEvent(step_name="", exception=fault))

    async def context_after(self, history: Sequence[AnyEvent]) -> dict[str, Any]:
        state = fold(list(history))
        try:
            return await self._context(state)
        except Exception as fault:  # noqa: BLE001  whatever reading an old record comes to
            raise EventFault("invalid_context", f"the run's state cannot be read: {fault}") from None

    async def _context(self, state: State) -> dict[str, Any]:
        hosted = self._hosted
        codec = hosted.codec
        begins = hosted.begin(msgspec.json.decode(state.input), state.labels)
        past = await Reading(_recall(state), codec, begins.broker, state.run_id).read()
        serialized = past.broker.to_serialized(codec.serializer)
        serialized.is_running = False
        values = rebuilt(begins.state or hosted.state_type(), past.patches, codec)
        serialized.state = InMemoryStateStore(values).to_dict(codec.serializer)
        found: dict[str, Any] = serialized.model_dump(mode="json")
        return found


def _own(fields: Any) -> Any:
    """The fields of a start event: a run's input without the context."""
    return {name: value for name, value in fields.items() if name != CONTEXT} if isinstance(fields, dict) else fields


def _object(body: Any) -> dict[str, Any]:
    """A JSON object, or the text of one."""
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except msgspec.DecodeError:
            body = None
    if not isinstance(body, dict):
        raise EventFault(
            "not_an_object", "Failed to deserialize event. Must be a json object, or stringified json object"
        )
    return body


def _recall(state: State) -> Any:
    """`RunContext.recall` on a folded history."""

    def recall(key: str) -> Any:
        choice = state.choices.get(key)
        if choice is not None:
            return msgspec.json.decode(choice.value)
        step = state.find(key)
        if step is None or not step.closed_seq:
            return None
        if step.error is not None:
            raise ProgramError(step.error)
        return msgspec.json.decode(step.output)

    return recall

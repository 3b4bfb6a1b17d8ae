"""One workflow object, as it is hosted: the classes it declares, how its record is written, where its runs begin."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from stepwell.core.typed import CONTEXT, NO_LABELS, is_continuing
from stepwell.programs.code.codec import Codec
from stepwell.programs.code.runtime import RUNTIME
from stepwell.programs.code.seam import (
    BrokerState,
    Event,
    InMemoryStateStore,
    RegisteredWorkflow,
    SerializedContext,
    StartEvent,
    StopEvent,
    Workflow,
    infer_state_type,
)


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run begins: the fields of its start event, its control loop, its state."""

    fields: Mapping[str, Any]
    broker: Any  # BrokerState, which msgspec has no type for
    state: Any = None  # a pydantic model; None: as the workflow's state begins


class Hosted:
    """A workflow object and what hosting needs of it. Raises what the package raises for one that cannot run."""

    def __init__(self, name: str, workflow: Workflow, additional_events: Sequence[type[Event]] = ()) -> None:
        if not workflow._disable_validation:
            workflow.validate()
        self.name: Final = name
        self.workflow: Final = workflow
        self.stop_event_class: Final[type[StopEvent]] = workflow.stop_event_class
        self.state_type: Final[type[BaseModel]] = infer_state_type(workflow)
        kinds = {workflow.start_event_class, workflow.stop_event_class, *workflow.events, *additional_events}
        self.events: Final = {kind.__name__: kind for kind in sorted(kinds, key=lambda kind: kind.__name__)}
        self.codec: Final = Codec([*kinds, self.state_type])
        RUNTIME.take_on(workflow)

    @property
    def registered(self) -> RegisteredWorkflow:
        return RUNTIME.get_or_register(self.workflow)

    def start_event(self, fields: Mapping[str, Any]) -> StartEvent:
        """The start event of these fields. Raises pydantic's `ValidationError` for most fields that are wrong, and
        anything else too: the package's classes and the user's validators can.
        """
        return self.workflow.start_event_class(**fields)

    def begin(self, input: Any, labels: Mapping[str, str] = NO_LABELS) -> Beginning:
        """Where a run of this input and labels begins. For a context that cannot be read it raises whatever the
        package does: `contexts` tells before there is a run.
        """
        fields = dict(input or {})
        context = fields.pop(CONTEXT, None)
        if not context:
            return Beginning(fields=fields, broker=BrokerState.from_workflow(self.workflow))
        known = self.codec.serializer if is_continuing(context, labels) else self.codec.strict
        parsed = SerializedContext.from_dict_auto(dict(context), known)
        broker = BrokerState.from_serialized(parsed, self.workflow, known)
        state = InMemoryStateStore.from_dict(parsed.state, known).checkpoint().state if parsed.state else None
        return Beginning(fields=fields, broker=broker, state=state)

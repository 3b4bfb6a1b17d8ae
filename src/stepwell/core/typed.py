"""What a workflow whose messages are typed says of them: the classes it takes, gives and shows (`TypedWorkflow`).

Hung on `core.program.Compiled.typed` by those kinds whose programs are written against typed events (LlamaIndex
`Workflow` classes); None for all others. A door that speaks of events needs nothing else:

- **Start.** `read_start(body)` makes the run's input of what a client sent; `engine.start(name, input)` runs it. The
  input is the plain object of the start event's fields, so every other door can start the same workflow. A door that
  starts from a context (the state of an earlier run) hands it to `with_context(input, context)` first.
- **Posted events.** `read_event(body, step)` makes the data of a signal, sent with `engine.signal(run_id,
  EVENT_SIGNAL, data)`: on disk when that returns, consumed by the run even if it has to be brought back for it.
- **Stream.** Each stream item whose `data` has the shape of `Envelope` is an event that the run wrote; `internal`
  marks those that only a curious watcher is shown. The last one of a completed run is its stop event, of a failed run
  the event that says why (`WorkflowFailedEvent`, `WorkflowTimedOutEvent`). A run that was ended from outside
  (cancelled, stopped, or failed by the engine itself) has no such last event: `ending` makes one for its reader.
- **Result.** The run's output is the plain result (`StopEvent(result=v)`: `v`; a subclass: its fields as an object).
  Its envelope is the last stream item (`engine.last_items(run_id, 1)`); `check_envelope` says whether the class is
  still known.
- **Context.** `context_after(history)` is the state that a run had at its end, in the JSON form of the original's
  `Context.to_dict()`: what a run that continues another one starts from. Raises `EventFault` (`invalid_context`).
  It was read from a record of our own, so it may name any class that is there; one that a client hands in names those
  of the workflow only. A run tells them apart by its labels (`continuing`), which no client writes.

A program is registered with `app.add_workflow(name, workflow_object, additional_events=[...])`, the object being an
unmodified `workflows.Workflow`; a door finds its face in `(await engine.workflows.compiled(digest)).typed`.

Everything here is plain data or a pure function: no method imports or unpickles what a client names.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from stepwell.core.errors import StepwellError
from stepwell.core.history import AnyEvent
from stepwell.core.status import Status

EVENT_SIGNAL: Final = "event"
"""The name of the signal that carries a posted event."""
CONTEXT: Final = "__context__"
"""The member of a run's input that holds the context it starts from."""
CONTINUES: Final = "continues_state"
"""The label of a run that starts from the context which another run has left: the digest of that context."""
NO_LABELS: Final[Mapping[str, str]] = {}

FaultCode = Literal[
    "not_an_object",
    "untyped",
    "unknown_type",
    "not_a_start_event",
    "invalid_fields",
    "unknown_step",
    "step_refuses",
    "invalid_context",
]
"""What can be wrong with an event that a client sent, or a context: see `EventFault`."""


class EventFault(StepwellError):
    """A start event, posted event or context that the workflow does not take.

    - `not_an_object`: neither a JSON object nor the text of one.
    - `untyped`: an envelope (`value`) with neither `type` nor `qualified_name`.
    - `unknown_type`: `name` is none of the workflow's events; `expected` lists their names.
    - `not_a_start_event`: a known event that does not start this workflow; `expected` is the class's `repr`.
    - `invalid_fields`: `detail` is the validator's text.
    - `unknown_step`, `step_refuses`: `name` is the step; `detail` the original's sentence.
    - `invalid_context`: a context that cannot be read; `detail` says why.
    """

    def __init__(self, code: FaultCode, detail: str = "", *, name: str = "", expected: Sequence[str] = ()) -> None:
        super().__init__(code, detail)
        self.code: FaultCode = code
        self.detail = detail
        self.name = name
        self.expected = tuple(expected)

    def __str__(self) -> str:
        return self.detail


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it travels: its fields and the names of its class, in the order of the wire.

    `types` are the names of the event classes above it, nearest first; None when there are none.
    """

    value: Mapping[str, Any]
    qualified_name: str | None
    type: str
    types: tuple[str, ...] | None = None
    internal: bool = False
    """Whether it tells of the run's inner life (a step began or ended) and is shown only to those who ask."""


class TypedWorkflow(Protocol):
    """The typed face of a definition."""

    start_schema: Mapping[str, Any]
    """JSON Schema of the start event, as its class gives it."""
    stop_schema: Mapping[str, Any]
    event_schemas: Sequence[Mapping[str, Any]]
    """JSON Schemas of all events in the signatures of its steps and those added by hand, sorted by class name."""
    graph: Mapping[str, Any]
    """`name`, `description`, `nodes` and `edges` as the newest original draws them (`node_type` is the tag of a node;
    an event node has `event_type`, `event_types`, `event_schema`, `produced_by`).
    """

    def read_start(self, body: Any) -> dict[str, Any]:
        """The run's input for a start event: a JSON object of its fields, the text of one, an envelope, or None.

        Raises `EventFault`.
        """

    def with_context(
        self, input: Mapping[str, Any], context: Mapping[str, Any], labels: Mapping[str, str] = NO_LABELS
    ) -> dict[str, Any]:
        """The input of a run that starts from a context, and will have these labels. Raises `EventFault`
        (`invalid_context`).
        """

    def read_event(self, body: Any, step: str | None = None) -> dict[str, Any]:
        """The data of the signal for a posted event: an envelope (`type` or `qualified_name`, with `value` or `data`)
        or the text of one; `step` names the only step that is to get it. Raises `EventFault`.
        """

    def check_envelope(self, envelope: Envelope) -> None:
        """Whether an event of the past can still be read: raises `EventFault` when its class is gone or changed."""

    def ending(self, status: Status, detail: str) -> Envelope:
        """The last event of a run that ended without one of its own; `detail` is the text of its error."""

    async def context_after(self, history: Sequence[AnyEvent]) -> dict[str, Any]:
        """The context at the end of a history. Raises `EventFault` (`invalid_context`)."""


def continuing(context: Mapping[str, Any]) -> dict[str, str]:
    """The label of a run that starts from this context, if it comes from `context_after`."""
    return {CONTINUES: _digest(context)}


def is_continuing(context: Any, labels: Mapping[str, str]) -> bool:
    """Whether a run with these labels starts from what another run has left, and not from what a client sent."""
    return CONTINUES in labels and labels[CONTINUES] == _digest(context)


def _digest(context: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(context, order="deterministic")).hexdigest()

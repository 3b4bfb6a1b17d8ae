"""The shapes of the llama door. Handlers come in two: the newer dialect has a member more."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

HandlerStatus = Literal["running", "completed", "failed", "cancelled"]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Flag = Annotated[str, Meta(extra_json_schema={"type": "boolean"})]
"""True when it is `true`, in any case; everything else is false."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failure of the newer dialect; that of the older one is the bare text."""

    detail: str


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The workflows that can be run."""

    workflows: list[str]


class Schemas(msgspec.Struct, frozen=True, kw_only=True):
    """JSON Schemas of the event that starts a workflow and of the one that ends it."""

    start: dict[str, Any]
    stop: dict[str, Any]


class EventSchemas(msgspec.Struct, frozen=True, kw_only=True):
    """JSON Schemas of all events of a workflow."""

    events: list[dict[str, Any]]


class Representation(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow as a graph: `nodes` and `edges`."""

    graph: dict[str, Any]


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """A run as this API shows it. Every member is always there."""

    handler_id: str
    workflow_name: str
    run_id: str
    error: str | None
    result: Any
    status: HandlerStatus
    started_at: str
    updated_at: str
    completed_at: str | None


class ReadableHandler(Handler, frozen=True, kw_only=True):
    """`result_unreadable`: there is a result, of a class that this server does not know any more."""

    result_unreadable: bool


class Handlers(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, the newest first."""

    handlers: list[Handler]


class ReadableHandlers(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, the newest first."""

    handlers: list[ReadableHandler]


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How a run starts: `start_event` has its fields (an object, the text of one, or an envelope); `kwargs` stands in
    for it. `context` is the state that the run starts with; `handler_id` names a run that it continues.
    """

    start_event: dict[str, Any] | str | None = None
    context: dict[str, Any] | None = None
    handler_id: str | None = None
    kwargs: dict[str, Any] | None = None


class EventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An event for a run: an envelope (`type` with `value` or `data`), or the text of one. `step` is the only step to
    get it.
    """

    event: dict[str, Any] | str
    step: str | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The event is on disk."""

    status: Literal["sent"] = "sent"


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a handler."""

    status: Literal["cancelled", "deleted"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """`before`: the last handler of the page before."""

    limit: Limit = 1000
    before: str | None = None


class FilteredPage(Page, frozen=True, kw_only=True):
    """`status` and `workflow_name` may be given more than once."""

    status: list[str] = []
    workflow_name: list[str] = []


class CancelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`purge`: forget the handler too."""

    purge: Flag = "false"


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Without `sse` the events are lines of JSON. `after_sequence` is the number of the last event that the client
    has had; -1 is the start, `now` what comes. `acquire_timeout` is taken and does nothing: nobody waits for another.
    """

    sse: Flag = "true"
    include_internal: Flag = "false"
    include_qualified_name: Flag = "true"
    acquire_timeout: Annotated[str, Meta(extra_json_schema={"type": "number"})] | None = None
    after_sequence: str | None = None


def is_true(flag: str) -> bool:
    """What a flag says."""
    return flag.lower() == "true"

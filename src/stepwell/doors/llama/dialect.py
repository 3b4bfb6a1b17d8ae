"""The two dialects of this API, as data: all in which they differ is a field here or a row in `errors`.

`D29` is what the document of the API describes and its servers up to 2.9 speak, at the root. `NEW` is what its
newest client wants, under `/llama`. Everything else is one implementation.
"""

from typing import Final

import msgspec


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One dialect, and what is said in it."""

    name: str
    title: str
    prefix: str = ""
    """What stands before every path."""

    errors_are_text: bool
    """A failure is its bare text, else `{"detail"}`."""
    failed_is_text: bool
    """That a run failed is told as text, else as the handler."""
    bad_body_status: int
    """Of a body that is no JSON object."""
    bad_body_text: str
    """What stands before the reason why the body of a start is no JSON."""
    busy_is_missing: bool
    """A handler that cannot be continued does not exist, else it is in the way (409)."""
    adopts_ids: bool
    """An unknown handler id of a start becomes that of the new run, else it is missing."""
    continues_failed: bool
    """Any run that has ended can be continued, by any workflow; else one that completed, by its own."""
    cancel_lets_go: bool
    """A handler that was cancelled is in listings only, whether its run had ended before or not; else one that is
    still running can be cancelled, and stays."""
    looks_first: bool
    """An event's handler is looked for before its body is read."""
    envelopes: bool
    """The result of a run is the envelope of its last event, else its value."""
    tells_readable: bool
    """Handlers say whether their result can be read."""
    ended_at_once: bool
    """The answer to a run that was waited for says when it ended."""
    filters: bool
    """Listings take `status` and `workflow_name`."""
    from_start: bool
    """A stream without a cursor tells everything, else what comes from now on."""
    numbers: bool
    """Server-sent events have ids, and `after_sequence` must be one."""
    says_why: bool
    """The stream of a run that failed ends with the reason, else with an empty stop event."""
    start_first: bool
    """Of the events of a workflow the one that starts it is the first; else all are sorted by name."""
    plain_graph: bool
    """Nodes of a graph have the same five members, whatever they are."""


D29: Final = Dialect(
    name="llama",
    title="LlamaIndex workflows, as clients up to 2.9 know them",
    errors_are_text=True,
    failed_is_text=True,
    bad_body_status=500,
    bad_body_text="Error processing request body: ",
    busy_is_missing=True,
    adopts_ids=False,
    continues_failed=False,
    cancel_lets_go=True,
    looks_first=True,
    envelopes=False,
    tells_readable=False,
    ended_at_once=False,
    filters=False,
    from_start=True,
    numbers=False,
    says_why=False,
    start_first=True,
    plain_graph=True,
)

NEW: Final = Dialect(
    name="llama_new",
    title="LlamaIndex workflows, as its newest client knows them",
    prefix="/llama",
    errors_are_text=False,
    failed_is_text=False,
    bad_body_status=400,
    bad_body_text="Invalid JSON body: ",
    busy_is_missing=False,
    adopts_ids=True,
    continues_failed=True,
    cancel_lets_go=False,
    looks_first=False,
    envelopes=True,
    tells_readable=True,
    ended_at_once=True,
    filters=True,
    from_start=False,
    numbers=True,
    says_why=True,
    start_first=False,
    plain_graph=False,
)

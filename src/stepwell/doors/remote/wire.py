"""What requests to the remote door say, and what they get. Instants are seconds since the epoch, UTC."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stepwell.core.status import Status

Limit = Annotated[int, Meta(ge=1, le=1000, description="how many at most")]
Text = Annotated[str, Meta(max_length=10_000)]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A misspelt parameter is refused: it would ask for everything."""


class RunsQuery(Query, frozen=True, kw_only=True):
    """Which runs."""

    status: Annotated[tuple[Status, ...], Meta(description="only these")] = ()
    workflow: Annotated[tuple[str, ...], Meta(description="only runs of these workflows")] = ()
    search: Annotated[str, Meta(description="only with this text in id, workflow or a label")] = ""
    before: Annotated[str | None, Meta(description="id of the last run of the page before")] = None
    limit: Limit = 20


class HistoryQuery(Query, frozen=True, kw_only=True):
    """Which events: those that follow this one."""

    after: Annotated[int, Meta(ge=0, le=10**9)] = 0
    limit: Limit = 1000


class ApprovalsQuery(Query, frozen=True, kw_only=True):
    """Which pending approvals."""

    run_id: Annotated[str | None, Meta(description="only of this run")] = None
    limit: Limit = 50


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a history: its events, oldest first, and whether more follow."""

    events: list[dict[str, Any]]
    more: bool


class SeenNow(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the live history: an event with its seq, or an item of the stream with its number."""

    seq: int
    item_number: int
    event: dict[str, Any] | None = None
    item: dict[str, Any] | None = None


class Tell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command to a run; `reason` is kept in the history where the command has one."""

    command: Literal["pause", "resume", "stop", "cancel", "retry"]
    reason: Text = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a command changed anything, and how the run stands now."""

    changed: bool
    status: Status


class SendSignal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal; the same `id` twice is one signal."""

    signal: Annotated[str, Meta(min_length=1, max_length=500)]
    data: Any = None
    id: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class Decide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision of an approval."""

    approved: bool
    comment: Text = ""
    data: Any = None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it counted (False: the same person has decided so before)."""

    changed: bool


class AddSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start runs of a workflow at times: exactly one of `cron`, `every_s` and `at`. The same `id` replaces it."""

    workflow: str
    input: Any = None
    cron: str | None = None
    timezone: str = "UTC"
    every_s: float | None = None
    at: float | None = None
    id: Annotated[str, Meta(min_length=1, max_length=500)] | None = None

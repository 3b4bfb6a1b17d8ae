"""The shapes of this API, as clients send and get them: names in camelCase, instants in RFC 3339, ids as UUIDs."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from stepwell.doors.kit import NumberedPage
from stepwell.doors.runs.statuses import RunStatus

MASK: Final = "********"
"""Stands for every value that is not shown."""
MAX_REASON: Final = 500
MAX_IDS: Final = 100
UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

Id = Annotated[str, Meta(pattern=UUID_PATTERN, extra_json_schema={"format": "uuid"})]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Reason = Annotated[str, Meta(max_length=MAX_REASON)]
CancelStatus = Literal["cancelled", "already_completed", "not_eligible", "not_found", "error"]
OnDisconnect = Literal["continue", "cancel"]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What this API answers."""


class Request(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this API is sent. A name that it does not know is refused."""


# --- failures -------------------------------------------------------------------------------------------------------


class Detail(Shape, frozen=True, kw_only=True):
    """One thing that is wrong with a request: where (dots between names and indexes, empty: the whole), and what."""

    path: str
    message: str


class Failure(Shape, frozen=True, kw_only=True):
    """The body of every refusal. `details` has one entry for each thing that is wrong with a request."""

    success: Literal[False] = False
    error: str
    details: list[Detail] | str


# --- runs -----------------------------------------------------------------------------------------------------------


class ExecuteRequest(Request, frozen=True, kw_only=True):
    """What to run. `inputs` by name; `envs` replace values that the workflow declares, for this run."""

    workflow_id: Id
    inputs: dict[str, Any] = {}
    envs: dict[str, str] = {}
    on_disconnect: OnDisconnect = "continue"


class InputValue(Shape, frozen=True, kw_only=True):
    """An input of a run. `type` is the declared one, else that of the value."""

    name: str
    type: str
    value: Any


class ActivityRun(Shape, frozen=True, kw_only=True):
    """One attempt of a step, the first is 1."""

    id: Id
    step_id: str
    step_name: str | None
    status: RunStatus
    outputs: dict[str, Any] | None
    attempt: int
    created_at: Instant
    updated_at: Instant
    error: str | None = None
    inputs: Any = None
    started_at: Instant | None = None
    completed_at: Instant | None = None


class RunSummary(Shape, frozen=True, kw_only=True):
    """A run in a list. `workflowName` is the name that the workflow had when the run was started."""

    id: Id
    workflow_id: Id
    workflow_name: str | None
    status: RunStatus
    inputs: list[InputValue]
    created_at: Instant
    updated_at: Instant


class Run(RunSummary, frozen=True, kw_only=True):
    """A run with all that it did. `error` says why it failed, or was cancelled."""

    outputs: Any
    error: str | None
    activity_runs: list[ActivityRun]


class RunAnswer(Shape, frozen=True, kw_only=True):
    """One run."""

    success: Literal[True] = True
    workflow_run: Run


class Executed(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """How an execution stands: `success` is false when it failed or was cancelled, and `error` says why."""

    success: bool
    workflow_run: Run
    error: str | None = None
    details: str | None = None


class ListQuery(NumberedPage, frozen=True, kw_only=True, rename="camel"):
    """Which runs; `search` is a part of the workflow's name, in any case."""

    workflow_id: Id | None = None
    status: RunStatus | None = None
    search: str = ""


class Pagination(Shape, frozen=True, kw_only=True):
    """Where a page stands."""

    page: int
    limit: int
    total: int
    total_pages: int


class RunList(Shape, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    success: Literal[True] = True
    workflow_runs: list[RunSummary]
    pagination: Pagination


class Counts(Shape, frozen=True, kw_only=True):
    """Runs by status."""

    scheduled: int = 0
    running: int = 0
    waiting: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class Dashboard(Shape, frozen=True, kw_only=True):
    """How many runs of a workflow there are."""

    success: Literal[True] = True
    workflow_id: Id
    total: int
    counts: Counts


class CancelRequest(Request, frozen=True, kw_only=True):
    """Which runs: by their ids, or all of a workflow that have not ended. Exactly one of the two."""

    run_ids: Annotated[list[str], Meta(min_length=1, max_length=MAX_IDS)] | None = None
    workflow_id: Id | None = None
    reason: Reason = ""


class CancelOutcome(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one run."""

    run_id: str
    status: CancelStatus
    message: str | None = None


class CancelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes counted."""

    total: int
    cancelled: int = 0
    already_completed: int = 0
    not_eligible: int = 0
    not_found: int = 0
    error: int = 0


class CancelAnswer(Shape, frozen=True, kw_only=True):
    """One outcome per run, in the order in which they were named."""

    success: Literal[True] = True
    results: list[CancelOutcome]
    summary: CancelSummary


# --- human review ---------------------------------------------------------------------------------------------------


class FormQuery(NumberedPage, frozen=True, kw_only=True, rename="camel"):
    """Which forms: those of one run, or all that the caller may submit."""

    workflow_run_id: Id | None = None


class UserForm(Shape, frozen=True, kw_only=True):
    """What a waiting run asks of people. It is there as long as the run waits for it."""

    id: Id
    workflow_run_id: Id
    activity_run_id: Id
    step_id: str
    title: str
    html: str
    schema: Any
    actions: list[str]
    created_at: Instant
    expires_at: Instant | None


class FormList(Shape, frozen=True, kw_only=True):
    """A page of forms, newest first."""

    success: Literal[True] = True
    user_forms: list[UserForm]
    pagination: Pagination


class FormAnswer(Shape, frozen=True, kw_only=True):
    """One form."""

    success: Literal[True] = True
    user_form: UserForm


class SubmitRequest(Request, frozen=True, kw_only=True):
    """The decision. `modify` approves with `data` in place of what was shown."""

    action: Literal["approve", "reject", "modify"]
    data: Any = None
    comment: Reason = ""

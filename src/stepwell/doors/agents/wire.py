"""The shapes of runs, steps, approvals, events and snapshots in JSON. Instants are RFC 3339 texts in UTC."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stepwell.doors.agents.envelope import ListMeta
from stepwell.doors.agents.statuses import RunStatus
from stepwell.doors.kit import OffsetPage

StepStatus = Literal["pending", "running", "waiting", "retrying", "completed", "failed", "skipped", "cancelled"]
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "cancelled"]
TriggerType = Literal["api", "manual", "schedule", "webhook", "event", "retry", "subworkflow"]
SnapshotReason = Literal["step_completed", "manual", "before_retry"]
Reason = Annotated[str, Meta(max_length=500, description="why; it is kept in the event log")]
Instant = Annotated[str, Meta(description="RFC 3339, UTC")]

MAX_METADATA_BYTES = 16 * 1024

# --- what clients send ----------------------------------------------------------------------------------------------


class StartRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to start: the published template `template_id`, or the steps `steps` under the name `name`."""

    template_id: Annotated[str, Meta(description="the template, which must be published")] | None = None
    template_version: Annotated[int, Meta(ge=1, description="a version; the newest without it")] | None = None
    name: (
        Annotated[str, Meta(min_length=1, max_length=200, description="of the steps that are given here")] | None
    ) = None
    steps: Annotated[list[dict[str, Any]], Meta(description="a run of these steps alone")] | None = None
    input: Annotated[dict[str, Any], Meta(description="values of the template's variables")] = {}
    scheduled_at: Annotated[str, Meta(description="when to start: RFC 3339 with its offset")] | None = None
    callback_url: Annotated[str, Meta(max_length=2048, description="is told of the run's end")] | None = None
    metadata: Annotated[dict[str, Any], Meta(description="kept with the run, at most 16 KiB")] = {}
    timeout_seconds: Annotated[float, Meta(gt=0, le=3_153_600_000, description="pauses do not count")] | None = None


class GiveReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; nothing else is needed."""

    reason: Reason = ""


class CancelRun(GiveReason, frozen=True, kw_only=True):
    """Why, and whether to undo what the run has done: by the `compensate` of its steps, the last one first."""

    compensate: bool = False


class RetryRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to go on. Without anything: from the last failed step, with the same version and input."""

    from_step: Annotated[str, Meta(description="a step to begin with again; what waits for it is done again too")] = (
        ""
    )
    input_patch: Annotated[dict[str, Any], Meta(description="merged into the input (RFC 7396): null removes")] = {}
    template_version: Annotated[
        Literal["pinned", "latest"], Meta(description="latest: only if no completed step changed")
    ] = "pinned"


class Decide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes with a decision. `data` becomes the step's output; `bypass` overrides who may decide, on the record,
    and needs the scope admin.
    """

    comment: Annotated[str, Meta(max_length=10_000)] = ""
    data: Any = None
    bypass: bool = False


class TakeSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named point to roll back to."""

    label: Annotated[str, Meta(max_length=200)] = ""


class RollBack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to roll back to."""

    snapshot_id: str
    reason: Reason = ""
    compensate: Annotated[bool, Meta(description="undo what is forgotten, by the `compensate` of its steps")] = False


class CallbackError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong out there."""

    code: str = ""
    message: str = ""


class AnswerCallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the work stands: completed with an `output`, failed with an `error`, or alive with some `progress`."""

    status: Literal["completed", "failed", "heartbeat"]
    output: Any = None
    error: CallbackError | str | None = None
    progress: Annotated[float, Meta(ge=0, le=1)] | None = None


# --- which of a list ------------------------------------------------------------------------------------------------


class RunsQuery(OffsetPage, frozen=True, kw_only=True):
    """Which runs."""

    status: Annotated[tuple[RunStatus, ...], Meta(description="only these")] = ()
    template_id: Annotated[str | None, Meta(description="runs of this template, any version")] = None
    trigger_type: Annotated[tuple[TriggerType, ...], Meta(description="only runs that were started so")] = ()
    created_after: Annotated[str | None, Meta(description="RFC 3339 with its offset, inclusive")] = None
    created_before: Annotated[str | None, Meta(description="RFC 3339 with its offset, exclusive")] = None


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events."""

    after_seq: Annotated[int, Meta(ge=0, le=10**9, description="those that follow this one")] = 0
    limit: Annotated[int, Meta(ge=1, le=500, description="how many at most")] = 100
    cursor: Annotated[str | None, Meta(description="where the page before ended, from its answer")] = None


class ApprovalsQuery(OffsetPage, frozen=True, kw_only=True):
    """Which approvals."""

    status: Annotated[ApprovalStatus | Literal["all"], Meta(description="all: whatever became of them")] = "pending"


# --- what they get --------------------------------------------------------------------------------------------------


class TemplateRef(msgspec.Struct, frozen=True, kw_only=True):
    """The version that a run is pinned to. A number for templates; other workflows have versions of any text."""

    id: str
    name: str
    version: int | str


class RunError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run, a step or an attempt failed."""

    code: str
    message: str
    step_key: str | None = None
    attempt: int | None = None
    details: Any = {}


class StepRef(msgspec.Struct, frozen=True, kw_only=True):
    """The step that a run is at."""

    id: str
    key: str
    name: str
    type: str
    status: StepStatus


class PendingApproval(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that a run waits for."""

    id: str
    step_key: str
    expires_at: Instant | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How many steps there are, and how they stand. `in_flight`: those at work now, also while the run is paused."""

    total: int
    completed: int
    failed: int
    skipped: int
    in_flight: int


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list: what is known without looking into its steps."""

    id: str
    status: RunStatus
    template: TemplateRef | None
    trigger_type: TriggerType
    failure_reason: str | None
    error: RunError | None
    attempt: int
    owner_id: str | None
    agent_id: None
    metadata: dict[str, Any]
    scheduled_at: Instant | None
    created_at: Instant
    inserted_at: Instant
    started_at: Instant | None
    completed_at: Instant | None


class Run(RunSummary, frozen=True, kw_only=True):
    """A run. Values of secret variables are masked."""

    input: Any
    output: Any
    context: dict[str, Any]
    """The outputs of the completed steps, by key."""
    current_step: StepRef | None
    pending_approvals: list[PendingApproval]
    progress: Progress
    cancel_reason: str | None
    paused_at: Instant | None
    timeout_at: Instant | None
    callback_url: str | None
    updated_at: Instant
    last_heartbeat_at: Instant | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a step; numbers go on counting when the run is retried."""

    attempt: int
    status: StepStatus
    error: RunError | None
    started_at: Instant
    completed_at: Instant | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run, begun or not. `steps` are those inside it (of the items of a `foreach`)."""

    id: str
    run_id: str
    key: str
    name: str
    type: str
    index: int
    status: StepStatus
    attempt: int
    max_attempts: int
    depends_on: list[str]
    input: Any
    output: Any
    error: RunError | None
    attempts: list[Attempt]
    timeout_seconds: float | None
    heartbeat_timeout_seconds: float | None
    last_heartbeat_at: Instant | None
    next_retry_at: Instant | None
    started_at: Instant | None
    completed_at: Instant | None
    child_run_id: str | None
    steps: "list[Step]"


class Approvers(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked. Nobody named: the run's owner."""

    users: list[str]
    roles: list[str]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One person's answer. `via` is the channel; `bypass` the rule that an administrator overrode."""

    actor_id: str
    decision: Literal["approved", "rejected"]
    comment: str
    data: Any
    via: str
    bypass: str | None
    at: Instant


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people are asked to decide."""

    id: str
    run_id: str
    step_key: str
    status: ApprovalStatus
    title: str
    prompt: str
    context: Any
    form_schema: Any
    approvers: Approvers
    required: int
    allow_self_approval: bool
    decisions: list[Decision]
    requested_at: Instant
    expires_at: Instant | None
    on_timeout: str
    escalated: bool
    decided_at: Instant | None


class EventActor(msgspec.Struct, frozen=True, kw_only=True):
    """Who caused an event; `ip` where it came over the network."""

    type: str
    id: str
    ip: str | None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the event log. `prev_hash` and `hash` are there when the chain is on."""

    seq: int
    id: str
    run_id: str
    type: str
    step_key: str | None
    attempt: int | None
    actor: EventActor
    at: Instant
    data: dict[str, Any]
    prev_hash: str | UnsetType = UNSET
    hash: str | UnsetType = UNSET


class FullRun(Run, frozen=True, kw_only=True):
    """A run with all that belongs to it. `events` has the first 500."""

    steps: list[Step]
    approvals: list[Approval]
    events: list[Event]
    events_truncated: bool


class DecidedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What who decides gets of a run that is somebody else's."""

    id: str
    status: RunStatus
    approval: Approval


class DecidedOwnRun(Run, frozen=True, kw_only=True):
    """The run as it stands after a decision."""

    approval: Approval


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a run to roll back to. `size` and `context_sha256` are of the outputs on record then, as JSON."""

    id: str
    run_id: str
    seq: int
    label: str
    reason: SnapshotReason
    created_at: Instant
    context_sha256: str
    size: int


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A callback was taken."""

    status: Literal["accepted"] = "accepted"


# --- lists ----------------------------------------------------------------------------------------------------------


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    data: list[RunSummary]
    meta: ListMeta


class ApprovalList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of approvals, newest first."""

    data: list[Approval]
    meta: ListMeta


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, oldest first."""

    data: list[Event]
    meta: ListMeta


class SnapshotList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of snapshots, newest first."""

    data: list[Snapshot]
    meta: ListMeta

"""Runs, steps, approvals and snapshots as this door shows them, and its filters as queries. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from stepwell.core import errors
from stepwell.core.approvals import ROLE
from stepwell.core.errors import Problem
from stepwell.core.state import Vote
from stepwell.core.status import Status, WaitReason
from stepwell.doors.agents import wire
from stepwell.doors.agents.statuses import run_status
from stepwell.doors.kit import instant
from stepwell.engine.ids import derived_id, workflow_uuid
from stepwell.engine.views import ApprovalView, AttemptView, RunView, StepView
from stepwell.store.model import ApprovalRow, RunRow

METADATA: Final = "metadata"
"""The label of a run that holds its metadata, as JSON text."""
LIVE: Final = ("running", "waiting", "retrying")

# --- runs -----------------------------------------------------------------------------------------------------------


def run_summary(row: RunRow) -> wire.RunSummary:
    """A run in a list."""
    return wire.RunSummary(**_of_row(row), failure_reason=_reason_of(row), error=_row_error(row))


def run(view: RunView) -> wire.Run:
    """A run as it stands."""
    return wire.Run(**run_fields(view))


def run_fields(view: RunView) -> dict[str, Any]:
    """The fields of `wire.Run`."""
    row, steps = view.row, view.steps
    failed = _failed_step(view)
    return {
        **_of_row(row),
        "failure_reason": None if view.error is None else failure_reason(view.error, failed),
        "error": None if view.error is None else error(view.error, failed),
        "input": view.input,
        "output": view.output,
        "context": {step.key: step.output for step in steps if step.status == "completed"},
        "current_step": _current_step(view),
        "pending_approvals": [
            wire.PendingApproval(id=one.id, step_key=one.key, expires_at=instant(one.due_at))
            for one in view.approvals
            if one.status == "pending"
        ],
        "progress": _progress(steps),
        "cancel_reason": view.cancel_reason or None,
        "paused_at": instant(view.paused_at),
        "timeout_at": instant(view.timeout_at),
        "callback_url": view.callback_url or None,
        "updated_at": instant(view.updated_at),
        "last_heartbeat_at": instant(max(_heartbeats(steps), default=None)),
    }


def _of_row(row: RunRow) -> dict[str, Any]:
    """What a list shows of a run, but for its failure."""
    created_at = instant(row.created_at)
    return {
        "id": row.run_id,
        "status": run_status(row.status, row.reason),
        "template": template(row),
        "trigger_type": trigger_type(row),
        "attempt": row.generation,
        "owner_id": row.owner or None,
        "agent_id": None,
        "metadata": metadata_of(row),
        "scheduled_at": instant(row.until) if row.status is Status.SCHEDULED else None,
        "created_at": created_at,
        "inserted_at": created_at,
        "started_at": instant(row.started_at),
        "completed_at": instant(row.ended_at),
    }


def template(row: RunRow) -> wire.TemplateRef | None:
    """The workflow of a run, whichever door it was saved through."""
    if not row.workflow:
        return None
    version: int | str = int(row.version) if row.version.isascii() and row.version.isdigit() else row.version
    return wire.TemplateRef(id=workflow_uuid(row.workflow), name=row.workflow_name, version=version)


_TRIGGERS: Final[dict[str, wire.TriggerType]] = {
    "schedule": "schedule",
    "event": "event",
    "": "manual",
    "cli": "manual",
}
"""By what started a run; all others are doors."""


def trigger_type(row: RunRow) -> wire.TriggerType:
    """What started a run."""
    return "subworkflow" if row.parent_id else _TRIGGERS.get(row.door, "api")


ORIGINS: Final[dict[wire.TriggerType, tuple[str, ...]]] = {
    "api": ("agents", "runs", "llama", "devset"),
    "manual": ("", "cli"),
    "schedule": ("schedule",),
    "webhook": ("webhook",),
    "event": ("event",),
    "retry": ("retry",),
    "subworkflow": ("child",),
}
"""The inverse, as `RunQuery.origins`. A retry goes on with the same run, so none is of that kind yet."""


def metadata_of(row: RunRow) -> dict[str, Any]:
    """What whoever started the run wanted kept with it."""
    text = row.labels.get(METADATA)
    found = msgspec.json.decode(text) if text else {}
    return found if isinstance(found, dict) else {}


def _current_step(view: RunView) -> wire.StepRef | None:
    """The step that a live run is at: the last of those that have begun and not ended."""
    step = next((step for step in reversed(view.steps) if step.status in LIVE), None)
    if step is None:
        return None
    id = derived_id(view.row.run_id, step.key)
    return wire.StepRef(id=id, key=step.key, name=step.name, type=step.type, status=step.status)


def _progress(steps: Sequence[StepView]) -> wire.Progress:
    statuses = [step.status for step in steps]
    return wire.Progress(
        total=len(statuses),
        completed=statuses.count("completed"),
        failed=statuses.count("failed"),
        skipped=statuses.count("skipped"),
        in_flight=statuses.count("running"),
    )


def _heartbeats(steps: Iterable[StepView]) -> list[float]:
    return [step.last_heartbeat_at for step in steps if step.last_heartbeat_at is not None]


# --- failures -------------------------------------------------------------------------------------------------------

REASONS: Final = (
    *("approval_rejected", "approval_timeout", "callback_timeout", "run_timeout", "heartbeat_timeout"),
    *("step_timeout", "invalid_output"),
)
"""Failures that are a reason of their own; the others are `retries_exhausted`, `step_failed` or `internal_error`."""


def code_of(problem: Problem) -> str:
    """The word for a failure; that of an HTTP answer has its status."""
    code = errors.code_of(problem)
    if code == "communication" and 400 <= problem.status <= 599:
        return f"http_{problem.status}"
    return "step_timeout" if code == "timeout" else code


def failure_reason(problem: Problem, step: StepView | None) -> str:
    """Why a run failed, as one of few words."""
    code = code_of(problem)
    if code in REASONS:
        return code
    if step is None:
        return "internal_error"
    return "retries_exhausted" if step.max_attempts > 1 and step.attempt >= step.max_attempts else "step_failed"


def error(problem: Problem, step: StepView | None = None, *, attempt: int | None = None) -> wire.RunError:
    """A failure in full."""
    details = (
        problem.data if isinstance(problem.data, dict) else {} if problem.data is None else {"data": problem.data}
    )
    return wire.RunError(
        code=code_of(problem),
        message=problem.detail or problem.title or problem.type,
        step_key=step.key if step is not None else None,
        attempt=attempt if attempt is not None else step.attempt if step is not None else None,
        details={name: value for name, value in details.items() if name != "traceback"},
    )


def _failed_step(view: RunView) -> StepView | None:
    """The step at which a run failed."""
    return next((step for step in view.steps if step.key == view.failed_step), None)


def _reason_of(row: RunRow) -> str | None:
    """As far as a list knows it: whether a step failed, and how often it was tried, it does not look up."""
    if row.error_type is None:
        return None
    code = code_of(Problem(type=row.error_type, status=0))
    return code if code in REASONS else "step_failed"


def _row_error(row: RunRow) -> wire.RunError | None:
    if row.error_type is None:
        return None
    return wire.RunError(code=code_of(Problem(type=row.error_type, status=0)), message=row.error_text or "")


# --- steps ----------------------------------------------------------------------------------------------------------


def step(view: StepView, run_id: str) -> wire.Step:
    """A step, with those inside it."""
    return wire.Step(
        id=derived_id(run_id, view.key),
        run_id=run_id,
        key=view.key,
        name=view.name,
        type=view.type,
        index=view.index,
        status=view.status,
        attempt=view.attempt,
        max_attempts=view.max_attempts,
        depends_on=list(view.depends_on),
        input=view.input,
        output=view.output,
        error=None if view.error is None else error(view.error, view),
        attempts=[_attempt(one, view) for one in view.attempts],
        timeout_seconds=view.timeout_s,
        heartbeat_timeout_seconds=view.heartbeat_timeout_s,
        last_heartbeat_at=instant(view.last_heartbeat_at),
        next_retry_at=instant(view.next_retry_at),
        started_at=instant(view.started_at),
        completed_at=instant(view.ended_at),
        child_run_id=view.child_id or None,
        steps=[step(part, run_id) for part in view.parts],
    )


def _attempt(view: AttemptView, of: StepView) -> wire.Attempt:
    return wire.Attempt(
        attempt=view.number,
        status=view.status,
        error=None if view.error is None else error(view.error, of, attempt=view.number),
        started_at=instant(view.started_at),
        completed_at=instant(view.ended_at),
    )


# --- approvals ------------------------------------------------------------------------------------------------------


def approval(view: ApprovalView, run_id: str) -> wire.Approval:
    """An approval of a run."""
    return wire.Approval(
        id=view.id,
        run_id=run_id,
        step_key=view.key,
        status=view.status,
        title=view.title,
        prompt=view.prompt,
        context=view.context,
        form_schema=view.schema,
        approvers=approvers(view.approvers),
        required=view.required,
        allow_self_approval=view.allow_self_approval,
        decisions=[
            wire.Decision(
                actor_id=vote.actor.id,
                decision="approved" if vote.approved else "rejected",
                comment=vote.comment,
                data=vote.data,
                via=vote.via,
                bypass=vote.bypass or None,
                at=instant(vote.at),
            )
            for vote in view.votes
        ],
        requested_at=instant(view.requested_at),
        expires_at=instant(view.due_at),
        on_timeout=view.on_timeout,
        escalated=view.escalated,
        decided_at=instant(view.decided_at),
    )


def listed_approval(row: ApprovalRow) -> wire.Approval:
    """An approval of the inbox."""
    return wire.Approval(
        id=row.approval_id,
        run_id=row.run_id,
        step_key=row.key,
        status=_APPROVAL_STATUSES[row.status],
        title=row.title,
        prompt=row.prompt,
        context=row.context,
        form_schema=row.schema,
        approvers=approvers(row.approvers),
        required=row.required,
        allow_self_approval=row.allow_self_approval,
        decisions=[_decision(vote) for vote in row.decisions],
        requested_at=instant(row.requested_at),
        expires_at=instant(row.due_at),
        on_timeout=row.on_timeout,
        escalated=row.escalated,
        decided_at=instant(row.decided_at),
    )


_APPROVAL_STATUSES: Final[dict[str, wire.ApprovalStatus]] = {
    "pending": "pending",
    "approved": "approved",
    "rejected": "rejected",
    "expired": "expired",
    "cancelled": "cancelled",
}


def approvers(named: Iterable[str]) -> wire.Approvers:
    """People and roles apart."""
    names = list(named)
    return wire.Approvers(
        users=[name for name in names if not name.startswith(ROLE)],
        roles=[name.removeprefix(ROLE) for name in names if name.startswith(ROLE)],
    )


def _decision(vote: Vote) -> wire.Decision:
    return wire.Decision(
        actor_id=vote.actor,
        decision="approved" if vote.approved else "rejected",
        comment=vote.comment,
        data=msgspec.json.decode(vote.data),
        via=vote.via,
        bypass=vote.bypass or None,
        at=instant(vote.at),
    )


# --- snapshots ------------------------------------------------------------------------------------------------------


def snapshot_id(run_id: str, seq: int) -> str:
    """The id of the point after an event: the same whenever it is asked for."""
    return derived_id(run_id, f"snapshot/{seq}")


# --- filters --------------------------------------------------------------------------------------------------------


def statuses_of(words: Sequence[str]) -> tuple[tuple[Status, ...], tuple[WaitReason, ...]]:
    """Our statuses for those of the door; and, when only some of the waiting runs are meant, what these wait for."""
    found: list[Status] = [s for s in Status if s is not Status.WAITING and run_status(s) in words]
    wanted = [reason for reason in WaitReason if run_status(Status.WAITING, reason) in words]
    if wanted:
        found.append(Status.WAITING)
    return tuple(found), () if len(wanted) == len(WaitReason) else tuple(wanted)

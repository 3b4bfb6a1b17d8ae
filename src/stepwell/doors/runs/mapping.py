"""From what the engine shows of a run to the shapes of this API. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from stepwell.core.errors import Problem
from stepwell.core.status import Status
from stepwell.doors.kit import instant
from stepwell.doors.runs.inputs import shown_inputs
from stepwell.doors.runs.statuses import run_status
from stepwell.doors.runs.wire import ActivityRun, Executed, Pagination, Run, RunSummary
from stepwell.engine.ids import derived_id, workflow_uuid
from stepwell.engine.views import AttemptView, RunView, StepView
from stepwell.programs.plan.model import Plan
from stepwell.store.model import RunRow

_CANCELLED: Final = Status.CANCELLED  # as in `core.run`: a look-up less in every answer
FAILED: Final = "Workflow run failed"
CANCELLED: Final = "Workflow run cancelled"


def run_of(view: RunView, plan: Plan | None) -> Run:
    """A run with all that it did. `plan` says what its inputs are, where it has one."""
    row = view.row
    return Run(
        id=row.run_id,
        workflow_id=workflow_uuid(row.workflow),
        workflow_name=row.workflow_name,
        status=run_status(row.status),
        inputs=shown_inputs(plan, view.input),
        created_at=instant(row.created_at),
        updated_at=instant(view.updated_at),
        outputs=view.output,
        error=_reason(view),
        activity_runs=activity_runs(view),
    )


def summary_of(row: RunRow, input: Any, plan: Plan | None, *, updated_at: float) -> RunSummary:
    """A run in a list."""
    return RunSummary(
        id=row.run_id,
        workflow_id=workflow_uuid(row.workflow),
        workflow_name=row.workflow_name,
        status=run_status(row.status),
        inputs=shown_inputs(plan, input),
        created_at=instant(row.created_at),
        updated_at=instant(updated_at),
    )


def executed(view: RunView, plan: Plan | None) -> Executed:
    """How an execution stands. That a run failed is told in the body: the call itself has worked."""
    run = run_of(view, plan)
    match run.status:
        case "failed":
            return Executed(success=False, workflow_run=run, error=FAILED, details=run.error)
        case "cancelled":
            return Executed(success=False, workflow_run=run, error=CANCELLED, details=view.cancel_reason)
        case _:
            return Executed(success=True, workflow_run=run)


def _reason(view: RunView) -> str | None:
    if view.row.status is _CANCELLED:
        return view.cancel_reason or CANCELLED
    return text_of(view.error)


def text_of(error: Problem | None) -> str | None:
    """What people read of a failure."""
    return None if error is None else error.detail or error.title or error.type


# --- activity runs --------------------------------------------------------------------------------------------------


def activity_runs(view: RunView) -> list[ActivityRun]:
    """One for each attempt of each step that ever began, in the order in which they began."""
    found = [(attempt, step) for step in _all(view.steps) for attempt in step.attempts]
    if len(found) > 1:
        found.sort(key=lambda pair: pair[0].started_at)
    return [_activity_run(view.row.run_id, step, attempt) for attempt, step in found]


def activity_id(run_id: str, key: str, attempt: int) -> str:
    """The id of an activity run: the same whoever asks, and whenever."""
    return derived_id(run_id, f"{key}#{attempt}")


def _all(steps: Iterable[StepView]) -> Iterator[StepView]:
    for step in steps:
        yield step
        if step.parts:
            yield from _all(step.parts)


def _activity_run(run_id: str, step: StepView, attempt: AttemptView) -> ActivityRun:
    started_at, ended_at = instant(attempt.started_at), instant(attempt.ended_at)
    return ActivityRun(
        id=activity_id(run_id, step.key, attempt.number),
        step_id=step.key,
        step_name=step.name or None,
        status=attempt.status,
        outputs=as_object(attempt.output),
        attempt=attempt.number,
        created_at=started_at,
        updated_at=started_at if ended_at is None else ended_at,
        error=text_of(attempt.error),
        inputs=step.input,
        started_at=started_at,
        completed_at=ended_at,
    )


def as_object(output: Any) -> dict[str, Any] | None:
    """Outputs are objects here: any other value stands under `value`."""
    return output if output is None or isinstance(output, dict) else {"value": output}


# --- pages ----------------------------------------------------------------------------------------------------------


def pagination(page: int, limit: int, total: int) -> Pagination:
    """Where a page stands among all of them."""
    return Pagination(page=page, limit=limit, total=total, total_pages=-(-total // limit))

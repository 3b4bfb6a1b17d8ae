"""Cancelling runs, by their ids or all of a workflow: each for itself, with one of five outcomes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from stepwell.core.errors import RefusedError, RunNotFoundError, StorageError
from stepwell.core.status import TERMINAL, Status
from stepwell.doors.kit import Answer, Call, Fault, InvalidRequestError, MissingError, Reply
from stepwell.doors.kit.seeing import storage_text
from stepwell.doors.runs.api import RUNS, api
from stepwell.doors.runs.reading import created_of
from stepwell.doors.runs.statuses import run_status
from stepwell.doors.runs.wire import CancelAnswer, CancelOutcome, CancelRequest, CancelStatus, CancelSummary
from stepwell.doors.runs.workflows import Workflows
from stepwell.engine.ids import canonical_uuid
from stepwell.store.model import RunQuery

OPEN: Final = tuple(status for status in Status if status not in TERMINAL)
PAGE: Final = 500
AT_ONCE: Final = 50
"""Runs cancelled at once: their commits share a flush."""


@api.post(
    f"{RUNS}/cancel",
    summary="Cancel runs",
    answers={200: Answer(type=CancelAnswer, meaning="what became of each, in the order in which they were named")},
    fails={400: "both or neither of runIds and workflowId, or too many ids", 404: "there is no such workflow"},
)
async def cancel_runs(call: Call, body: CancelRequest) -> Reply:
    """Each run is cancelled for itself: one that cannot be changes nothing for the others."""
    if (body.run_ids is None) == (body.workflow_id is None):
        found = "neither" if body.run_ids is None else "both"
        message = f"expected exactly one of runIds and workflowId, found {found}"
        raise InvalidRequestError([Fault(path=("runIds",), message=message)])
    if body.run_ids is not None:
        first: dict[str, str] = {}
        for run_id in body.run_ids:
            first.setdefault(canonical_uuid(run_id) or run_id, run_id)
        run_ids = list(first.values())
    else:
        assert body.workflow_id is not None
        name = await Workflows(call.engine, call.principal).known(body.workflow_id.lower())
        run_ids = [run_id async for run_id in _open_runs(call, name)]
    results: list[CancelOutcome] = []
    for start in range(0, len(run_ids), AT_ONCE):
        page = run_ids[start : start + AT_ONCE]
        results += await asyncio.gather(*(_cancel(call, run_id, body.reason) for run_id in page))
    return Reply(body=CancelAnswer(results=results, summary=_summary(results)))


async def _open_runs(call: Call, workflow: str) -> AsyncIterator[str]:
    """The ids of all runs of a workflow that have not ended, newest first."""
    before: str | None = None
    while True:
        query = RunQuery(owner=call.principal.sees, workflows=(workflow,), statuses=OPEN, before=before, limit=PAGE)
        rows = await call.engine.list_runs(query)
        for row in rows:
            yield row.run_id
        if len(rows) < PAGE:
            return
        before = rows[-1].run_id


async def _cancel(call: Call, run_id: str, reason: str) -> CancelOutcome:
    """One run; whatever goes wrong is its outcome."""
    id = canonical_uuid(run_id)
    try:
        if id is None:
            raise MissingError("workflow run", run_id)
        await created_of(call, id)
        changed = await call.engine.cancel(id, reason=reason, actor=call.actor)
    except (MissingError, RunNotFoundError):
        return _outcome(run_id, "not_found", "There is no such run")
    except RefusedError as refusal:
        if refusal.status not in (Status.COMPLETED, Status.FAILED):
            return _outcome(run_id, "error", str(refusal))
        return _outcome(run_id, "already_completed", f"Run is {run_status(Status(refusal.status))}")
    except StorageError as fault:
        return _outcome(run_id, "error", storage_text(fault, call.principal))
    return _outcome(run_id, "cancelled") if changed else _outcome(run_id, "not_eligible", "Run is cancelled already")


def _outcome(run_id: str, status: CancelStatus, message: str | None = None) -> CancelOutcome:
    return CancelOutcome(run_id=run_id, status=status, message=message)


def _summary(results: list[CancelOutcome]) -> CancelSummary:
    counts = Counter(result.status for result in results)
    return CancelSummary(total=len(results), **{str(status): number for status, number in counts.items()})

"""How many executions of a run were begun and how they ended: of its finished ranges, and of the one it is in."""

import msgspec

from stepwell.core.state import State, StepStatus
from stepwell.core.status import Status
from stepwell.doors.devset.wire import Run, RunStatus
from stepwell.engine import Engine
from stepwell.programs.pipeline.programs import PREFIX, add_up, range_of, requested
from stepwell.programs.pipeline.reporting import Counts, is_item

WORDS: dict[Status, RunStatus] = {
    Status.SCHEDULED: "PENDING",
    Status.PENDING: "PENDING",
    Status.RUNNING: "RUNNING",
    Status.WAITING: "RUNNING",
    Status.PAUSED: "RUNNING",
    Status.STOPPING: "STOPPING",
    Status.COMPLETED: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "STOPPED",
}
"""Statuses as this API words them (spec of the four doors, status table)."""
ACTIVE = tuple(status for status, word in WORDS.items() if word in ("PENDING", "RUNNING", "STOPPING"))
ENDED = tuple(status for status in WORDS if status not in ACTIVE)


async def run_of(engine: Engine, run_id: str) -> Run:
    """A run as this API shows it. Raises `RunNotFoundError`."""
    state = await engine.state(run_id)
    counts, requested = await _counts(engine, state)
    status = WORDS[state.status]
    return Run(
        run_id=run_id,
        status=status,
        active=state.status in ACTIVE,
        requested_executions=requested,
        submitted_executions=counts.submitted,
        completed_executions=counts.completed,
        failed_executions=counts.failed,
        error_message=_error(state, status, counts),
    )


def _error(state: State, status: RunStatus, counts: Counts) -> str | None:
    match status:
        case "COMPLETED" | "PENDING":
            return None
        case "FAILED":
            return (state.error.detail or state.error.title) if state.error is not None else None
        case "STOPPING":
            return "Stop requested by user"
        case "STOPPED":
            return "Stopped by user"
        case _:
            return counts.error or counts.trouble


async def _counts(engine: Engine, state: State) -> tuple[Counts, int]:
    """The executions of a pipeline; a run of any other kind is one execution."""
    total = await _requested(engine, state)
    if total is None:
        completed, failed = int(state.status is Status.COMPLETED), int(state.status is Status.FAILED)
        return Counts(submitted=1, completed=completed, failed=failed), 1
    newest = {range_of(key): key for key in state.steps if key.startswith(PREFIX)}
    sums = Counts()
    for key in newest.values():
        step = state.find(key)
        if step is not None and step.status is StepStatus.COMPLETED:
            add_up(sums, msgspec.json.decode(step.output, type=Counts))
        elif step is not None:
            add_up(sums, await _latest(engine, state.run_id, key))
    return sums, total


async def _latest(engine: Engine, run_id: str, key: str) -> Counts:
    """What the range that is being run told last."""
    for item in reversed(await engine.last_items(run_id)):
        if item.key == key and is_item(item.data):
            return msgspec.convert(item.data["counts"], Counts)
    return Counts()


async def _requested(engine: Engine, state: State) -> int | None:
    """How many executions a run of a pipeline is to have; None for a run of another kind."""
    definition = await engine.store.find_definition(digest=state.definition)
    if definition is None or definition.kind != "pipeline":
        return None
    return requested(definition.text, msgspec.json.decode(state.input))

"""Runs as one caller sees them: another owner's run is no run."""

from typing import Any

import msgspec

from stepwell.core.errors import RunNotFoundError
from stepwell.core.history import RunCreated
from stepwell.doors.kit import Call, MissingError, seeing
from stepwell.doors.runs.mapping import run_of
from stepwell.doors.runs.wire import Run
from stepwell.doors.runs.workflows import plan_of
from stepwell.engine import Engine
from stepwell.programs.plan.model import Plan


async def created_of(call: Call, run_id: str) -> RunCreated:
    """How a run began. Raises `MissingError` when there is none that the caller may see."""
    try:
        return await seeing.created_of(call.engine, call.principal, run_id)
    except RunNotFoundError:
        raise MissingError("workflow run", run_id) from None


async def shown_run(engine: Engine, run_id: str) -> Run:
    """A run with all that it did."""
    created = (await engine.history(run_id, limit=1))[0]
    assert isinstance(created, RunCreated)
    return run_of(await engine.view(run_id), await plan_by_digest(engine, created.definition))


async def plan_by_digest(engine: Engine, digest: str) -> Plan | None:
    """The plan of a stored definition; None where it has none."""
    definition = await engine.workflows.stored(digest)
    return None if definition is None else plan_of(definition)


async def input_of(engine: Engine, created: RunCreated, generation: int) -> Any:
    """The input of a run: a retry may have put another in place of the first."""
    raw = created.input if generation == 1 else (await engine.state(created.run_id)).input
    return msgspec.json.decode(raw)

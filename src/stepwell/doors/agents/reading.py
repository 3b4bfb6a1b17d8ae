"""Runs and approvals as one caller sees them: those of others are not there."""

from datetime import datetime
from typing import Final

from stepwell.core.errors import RunNotFoundError
from stepwell.core.history import RunCreated
from stepwell.doors.agents import mapping, wire
from stepwell.doors.agents.audit import EventLog
from stepwell.doors.kit import Call, Fault, InvalidRequestError, MissingError
from stepwell.doors.kit.deciding import approval_of
from stepwell.doors.kit.seeing import created_of
from stepwell.engine import Engine
from stepwell.store.model import ApprovalRow

EVENTS_SHOWN: Final = 500
"""Events of a run that is read as a whole."""


async def visible_run(call: Call) -> RunCreated:
    """How the run of the path began. Raises `MissingError` when there is none that the caller may see."""
    id = call.id("id", "run")
    try:
        return await created_of(call.engine, call.principal, id)
    except RunNotFoundError:
        raise MissingError("run", id) from None


async def event_log(engine: Engine, run_id: str) -> EventLog:
    """What makes entries of a run's events."""
    state = await engine.state(run_id)
    compiled = await engine.compiled(state.definition)
    return EventLog(run_id, state, outlined=compiled is not None and bool(compiled.outline))


async def shown_run(engine: Engine, run_id: str) -> wire.Run:
    """A run as it stands."""
    return mapping.run(await engine.view(run_id))


async def full_run(engine: Engine, run_id: str) -> wire.FullRun:
    """A run with all that belongs to it."""
    view = await engine.view(run_id)
    log = await event_log(engine, run_id)
    events = await engine.history(run_id, limit=EVENTS_SHOWN)
    links = await engine.links(run_id, limit=EVENTS_SHOWN)
    return wire.FullRun(
        **mapping.run_fields(view),
        steps=[mapping.step(step, run_id) for step in view.steps],
        approvals=[mapping.approval(approval, run_id) for approval in view.approvals],
        events=[log.entry(seq, event, links.get(seq)) for seq, event in enumerate(events[:EVENTS_SHOWN], 1)],
        events_truncated=view.row.seq > EVENTS_SHOWN,
    )


# --- approvals ------------------------------------------------------------------------------------------------------


async def visible_approval(call: Call, name: str) -> ApprovalRow:
    """The approval of the path, for who may see its run and who is asked. Raises `MissingError`."""
    id = call.id(name, "approval")
    found = await approval_of(call.engine, call.principal, id)
    if found is None:
        raise MissingError("approval", id)
    return found


# --- what requests say ----------------------------------------------------------------------------------------------


def read_instant(text: str | None, field: str) -> float | None:
    """RFC 3339 text as seconds since the epoch. Raises `InvalidRequestError`."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return found.timestamp()
    except (ValueError, OverflowError):
        message = f"expected a time with its offset like 2026-04-07T12:00:00Z, found {text[:60]!r}"
        raise InvalidRequestError([Fault(path=(field,), message=message)]) from None

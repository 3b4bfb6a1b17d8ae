"""Runs as JSON for programs: the shapes of `--json`. Instants are RFC 3339 texts, UTC."""

from typing import Any

import msgspec

from stepwell.cli.output import instant, problem_object
from stepwell.core.state import Attempt, State, Step
from stepwell.engine import Seen
from stepwell.engine.projections import ended_badly, run_row
from stepwell.store.model import RunRow


def run_object(row: RunRow) -> dict[str, Any]:
    """What a listing says of a run."""
    return {
        "id": row.run_id,
        "workflow": row.workflow,
        "version": row.version,
        "status": row.status,
        "waiting_for": row.reason,
        "until": instant(row.until),
        "step": row.step,
        "attempts": row.attempts,
        "generation": row.generation,
        "error": {"type": row.error_type, "detail": row.error_text} if row.error_type else None,
        "parent": row.parent_id,
        "door": row.door,
        "owner": row.owner,
        "labels": row.labels,
        "created_at": instant(row.created_at),
        "started_at": instant(row.started_at),
        "ended_at": instant(row.ended_at),
    }


def state_object(state: State) -> dict[str, Any]:
    """Everything about one run: the listing's part, its values and its steps."""
    error = ended_badly(state)
    return {
        **run_object(run_row(state)),
        "input": msgspec.json.decode(state.input),
        "output": msgspec.json.decode(state.output),
        "error": problem_object(error) if error else None,
        "steps": [_step(key, step) for key, step in state.steps.items()],
    }


def _step(key: str, step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key": key,
        "name": step.name,
        "kind": step.kind,
        "status": step.status,
        "attempts": [_attempt(attempt) for attempt in step.attempts()],
        "output": msgspec.json.decode(step.output),
        "error": problem_object(step.error) if step.error else None,
        "started_at": instant(step.opened_at),
        "ended_at": instant(step.closed_at) if step.closed else None,
        "due_at": instant(step.due_at),
    }
    if step.approval is not None:
        found["approval_id"] = step.approval.id
    return found


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": instant(attempt.started_at),
        "ended_at": instant(attempt.ended_at),
        "error": problem_object(attempt.error) if attempt.error else None,
    }


def seen_object(seen: Seen) -> dict[str, Any]:
    """One thing a watcher sees: `seq` for an event of the history, `item` for one of the stream."""
    if seen.event is not None:
        return {"seq": seen.seq, **msgspec.to_builtins(seen.event, builtin_types=(msgspec.Raw,))}
    return {"item": seen.item_number, **msgspec.to_builtins(seen.item)}

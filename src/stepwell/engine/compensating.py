"""What undoes a run: a run of `<workflow>/compensate` that is told what had completed, and what of that to undo.

It is asked for by an outbox item, written with the event that ended the run or rolled it back; its id is written
there too, so it is started once.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell.core import history as h
from stepwell.core.program import Compiled
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.engine.attempts import decode
from stepwell.engine.viewing import Ended, completed
from stepwell.store.model import NAME_LABEL, OutboxItem

if TYPE_CHECKING:
    from stepwell.engine.engine import Engine

SUFFIX: Final = "/compensate"


def compensation_of(workflow: str) -> str:
    """The name of the workflow that undoes another one's runs."""
    return f"{workflow}{SUFFIX}"


async def start_compensation(engine: "Engine", item: OutboxItem) -> None:
    """Start what undoes a run. Twice is once."""
    run_id, data = item.run_id, item.data
    events = await engine.history(run_id)
    before = events[: data["seq"] - 1]
    state = fold(list(before))
    compiled = await engine.workflows.compiled(state.definition)
    done = completed(before, compiled.outline)
    undo = [one.key for one in _lost(done, events[data["seq"] - 1], before, compiled) if one.undoable]
    if compiled.compensation is None or not undo:
        return
    await engine.start(
        compensation_of(state.workflow),
        _input(state, done, undo),
        version=state.version,
        run_id=data["id"],
        owner=state.owner,
        door=state.door,
        labels={NAME_LABEL: f"Undo {state.labels.get(NAME_LABEL, state.workflow)}", "compensates": run_id},
        parent=h.Parent(run_id=run_id),
    )


def _lost(done: list[Ended], event: h.AnyEvent, before: list[h.AnyEvent], compiled: Compiled) -> list[Ended]:
    """What had completed and does not stand any more: after a roll-back only what it forgot."""
    if not isinstance(event, h.RunRolledBack):
        return done
    kept = {(one.key, one.seq) for one in completed([*before, event], compiled.outline)}
    return [one for one in done if (one.key, one.seq) not in kept]


def _input(state: State, done: list[Ended], undo: list[str]) -> dict[str, Any]:
    return {
        "run": {
            "id": state.run_id,
            "workflow": state.workflow,
            "version": state.version,
            "created_at": state.created_at,
            "labels": state.labels,
            "parent_id": state.parent.run_id if state.parent else None,
        },
        "input": decode(state.input),
        "done": [{"key": one.key, "output": msgspec.to_builtins(one.output)} for one in done],
        "undo": undo,
    }

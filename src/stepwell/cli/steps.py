"""The steps of a run as a picture for a terminal, and what the run waits for."""

import shlex
import time
from collections.abc import Iterator, Sequence
from typing import Any

from stepwell.cli.output import duration
from stepwell.core.history import Listen
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.engine.view_steps import name_of

MARKS = {
    StepStatus.SCHEDULED: ("·", "dim"),
    StepStatus.RUNNING: ("▶", "cyan"),
    StepStatus.RETRYING: ("↻", "yellow"),
    StepStatus.WAITING: ("…", "yellow"),
    StepStatus.COMPLETED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.CANCELLED: ("–", "dim"),
}


def steps_table(state: State, *, last: int, now: float | None = None) -> Any:
    """The last `last` steps as a rich table: mark, step, attempts, time, what is to say about it."""
    from rich.table import Table
    from rich.text import Text

    now = time.time() if now is None else now
    table = Table(box=None, pad_edge=False, show_header=False)
    hidden = max(0, len(state.steps) - last)
    if hidden:
        table.add_row("", Text(f"({hidden} earlier steps)", style="dim"), "", "")
    for key, step in list(state.steps.items())[hidden:]:
        mark, style = MARKS[step.status]
        took = (step.closed_at if step.closed else now) - step.opened_at
        table.add_row(Text(mark, style), _name(key, step), Text(duration(max(0.0, took)), "dim"), Text(_remark(step)))
    return table


def _name(key: str, step: Step) -> Any:
    from rich.text import Text

    name = Text(name_of(key, step))
    if (name.plain != key and "@" in key) or "~" in key:
        name.append(f"  {key}", "dim")
    return name


def _remark(step: Step) -> str:
    error = step.error or step.attempt_error
    tries = f"attempt {step.attempt}" if step.attempt > 1 else ""
    what = step.kind if step.status is StepStatus.WAITING else ""
    return ", ".join(part for part in (what, tries, str(error) if error else "") if part)


def hints(state: State, *, options: str = "") -> Iterator[str]:
    """What somebody can do so that the run goes on: one command per open approval or awaited signal."""
    for key in state.waits:
        step = state.steps[key]
        if step.kind is StepKind.APPROVAL and step.approval is not None:
            asked = step.approval.request.title or step.approval.request.prompt or step.name
            yield f"waits for an approval ({asked}): stepwell runs approve {state.run_id} --step {key}{options}"
        elif step.kind is StepKind.SIGNAL and (heard := [one for one in state.listens if one.signal == step.signal]):
            yield _event_hint(heard, options)
        elif step.kind is StepKind.SIGNAL and not step.signal.startswith("/"):
            yield f"waits for a signal: stepwell runs signal {state.run_id} {step.signal}{options}"


def _event_hint(heard: Sequence[Listen], options: str) -> str:
    """The command for the first filter; what it asks of an event beside type and source is in the document."""
    types = list(dict.fromkeys(one.type for one in heard if one.type))
    of_type = f" of type {' or '.join(types)}" if types else ""
    type, source = (shlex.quote(text) for text in (heard[0].type or "TYPE", heard[0].source or "SOURCE"))
    return f"waits for an event{of_type}: stepwell events send --type {type} --source {source} --data JSON{options}"

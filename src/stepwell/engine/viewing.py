"""From a history to what doors show of its run. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.program import Compiled, Hiding, Showing, StepOutline
from stepwell.core.run import DEADLINE_TIMER
from stepwell.core.status import Status
from stepwell.engine.attempts import decode
from stepwell.engine.hiding import hiding_of
from stepwell.engine.projections import ended_badly, run_row
from stepwell.engine.view_log import Log
from stepwell.engine.view_steps import step_views
from stepwell.engine.views import ApprovalView, AttemptView, RunView, StepView, VoteView


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A step that has completed; `seq` is that of the event with which it did."""

    seq: int
    key: str
    output: Any
    undoable: bool


def run_view(events: Sequence[h.AnyEvent], compiled: Compiled | None = None) -> RunView:
    """The view after `events` (oldest first). `compiled` is what the run runs, where that is known here."""
    return view_of(Log(events), compiled)


def view_of(log: Log, compiled: Compiled | None) -> RunView:
    """The same, of a history that was followed already."""
    state = log.state
    steps = step_views(log, compiled.outline if compiled is not None else ())
    if compiled is not None and compiled.showing is not None:
        steps = tuple(_shown_step(step, compiled.showing) for step in steps)
    input = decode(state.input)
    view = RunView(
        row=run_row(state),
        input=input,
        output=decode(state.output) if state.phase is Status.COMPLETED else None,
        error=ended_badly(state) if state.phase is Status.FAILED else None,
        failed_step=_failed_step(log, steps),
        paused_at=log.paused_at if state.phase is Status.PAUSED else None,
        cancel_reason=state.reason if state.phase is Status.CANCELLED else "",
        timeout_at=state.timers.get(DEADLINE_TIMER),
        callback_url=state.callback_url,
        updated_at=state.last_at,
        steps=steps,
        approvals=tuple(log.all_approvals()),
    )
    hiding = hiding_of(compiled, state.input)
    return view if hiding is None else _hidden(view, hiding)


def completed(events: Sequence[h.AnyEvent], outline: Sequence[StepOutline]) -> list[Ended]:
    """The steps of an outline that have completed, in the order in which they did; those inside others too."""
    undoable = {step.key for step in _walk(outline) if step.undoable}
    found = [
        Ended(seq=step.ended_seq, key=step.key, output=step.output, undoable=_own_key(step.key) in undoable)
        for step in _all(step_views(Log(events), outline))
        if step.status == "completed"
    ]
    return sorted(found, key=lambda one: one.seq)


def _walk(outline: Sequence[StepOutline]) -> Iterator[StepOutline]:
    for step in outline:
        yield step
        yield from _walk(step.steps)


def _all(steps: Sequence[StepView]) -> Iterator[StepView]:
    for step in steps:
        yield step
        yield from _all(step.parts)


def _own_key(key: str) -> str:
    return key.rpartition("/")[2]


def _failed_step(log: Log, steps: Sequence[StepView]) -> str:
    """The first step that the failure names; a failure names first where it came from."""
    if log.state.phase is not Status.FAILED:
        return ""
    failed = [step.key for step in steps if step.status == "failed"]
    for named in log.failed:
        for key in failed:
            if named == key or (named.startswith(key) and named[len(key)] in "/@~^"):
                return key
    return ""


def _shown_step(step: StepView, showing: Showing) -> StepView:
    """A step without what its program keeps beside the outcome. Only programs without an outline do that: their
    steps have no parts.
    """

    def outcome(of: StepView | AttemptView) -> Mapping[str, Any]:
        error = None if of.error is None else showing.problem(of.error)
        return {"output": showing.output(step.type, of.output), "error": error}

    attempts = tuple(msgspec.structs.replace(attempt, **outcome(attempt)) for attempt in step.attempts)
    return msgspec.structs.replace(step, attempts=attempts, **outcome(step))


# --- secrets --------------------------------------------------------------------------------------------------------


def _hidden(view: RunView, hiding: Hiding) -> RunView:
    return msgspec.structs.replace(
        view,
        input=hiding.input(view.input),
        output=hiding.value(view.output),
        error=None if view.error is None else hiding.problem(view.error),
        steps=tuple(_hidden_step(step, hiding) for step in view.steps),
        approvals=tuple(_hidden_approval(approval, hiding) for approval in view.approvals),
    )


def _hidden_step(step: StepView, hiding: Hiding) -> StepView:
    return msgspec.structs.replace(
        step,
        input=hiding.value(step.input),
        attempts=tuple(_hidden_outcome(attempt, hiding) for attempt in step.attempts),
        parts=tuple(_hidden_step(part, hiding) for part in step.parts),
        **_outcome(step, hiding),
    )


def _hidden_outcome(attempt: AttemptView, hiding: Hiding) -> AttemptView:
    return msgspec.structs.replace(attempt, **_outcome(attempt, hiding))


def _outcome(of: StepView | AttemptView, hiding: Hiding) -> Mapping[str, Any]:
    return {"output": hiding.value(of.output), "error": None if of.error is None else hiding.problem(of.error)}


def _hidden_approval(approval: ApprovalView, hiding: Hiding) -> ApprovalView:
    return msgspec.structs.replace(
        approval,
        context=hiding.value(approval.context),
        votes=tuple(_hidden_vote(vote, hiding) for vote in approval.votes),
    )


def _hidden_vote(vote: VoteView, hiding: Hiding) -> VoteView:
    return msgspec.structs.replace(vote, comment=hiding.value(vote.comment), data=hiding.value(vote.data))

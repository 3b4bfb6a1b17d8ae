"""What the store keeps beside a history, made from the state: run row, approvals, outbox items. Pure."""

import msgspec

from stepwell.core import history as h
from stepwell.core.errors import Problem, problem
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.core.status import Status
from stepwell.core.trace import step_span, under
from stepwell.engine.ids import seeded_id
from stepwell.store.model import NAME_LABEL, ApprovalRow, OutboxItem, RunRow

_RUNNING = Status.RUNNING
_WAITING = Status.WAITING
_CANCELLED = Status.CANCELLED
START_CHILD = "start_child"
CANCEL_CHILD = "cancel_child"
CHILD_ENDED = "child_ended"
SEND_EVENT = "send_event"
COMPENSATE = "compensate"

Shown = tuple[Status, str | None, float | None, int, float | None]


def shown(state: State) -> Shown:
    """What of the row can change after creation, beside seq, step and attempts: a cheap test for "write the row"."""
    if state.phase is _RUNNING and (state.active or not state.waits):
        return (_RUNNING, None, None, state.generation, None)  # by far the most frequent
    status = state.status
    if status is not _WAITING:
        return (status, None, None, state.generation, state.ended_at)
    return (status, state.waiting_for, state.waiting_until, state.generation, state.ended_at)


def run_row(state: State) -> RunRow:
    """The row of a run: equal to its fold (P1)."""
    status, start_at = state.status, state.start_at
    row = RunRow(  # fifteen at most: with more keywords, Python makes a call through a dict, three times as slow
        run_id=state.run_id,
        workflow=state.workflow,
        version=state.version,
        status=status,
        step=state.current,
        attempts=state.attempts,
        generation=state.generation,
        parent_id=state.parent.run_id if state.parent else None,
        door=state.door,
        owner=state.owner,
        labels=state.labels,
        created_at=state.created_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        seq=state.seq,
    )
    if status is _WAITING:
        row = msgspec.structs.replace(row, reason=state.waiting_for, until=state.waiting_until)
    if start_at is not None and not state.started_at:
        row = msgspec.structs.replace(row, until=start_at)
    if state.error is not None:
        row = msgspec.structs.replace(row, error_type=state.error.type, error_text=str(state.error))
    return row


def approval_row(state: State, key: str, step: Step) -> ApprovalRow:
    """The inbox row of an approval step."""
    approval = step.approval
    assert approval is not None
    request = approval.request
    outcome = msgspec.json.decode(step.output) if step.status is StepStatus.COMPLETED else None
    return ApprovalRow(
        approval_id=approval.id,
        run_id=state.run_id,
        key=key,
        status=_approval_status(step, outcome["decision"] if outcome else ""),
        workflow=state.workflow,
        owner=state.owner,
        title=request.title,
        prompt=request.prompt,
        schema=request.schema,
        context=request.context,
        requested_at=step.opened_at,
        approvers=approval.approvers,
        required=request.required,
        votes=sum(vote.approved for vote in approval.votes),
        due_at=step.due_at,
        decided_at=step.closed_at if step.closed else None,
        decided_by=approval.decided_by,
        comment=outcome["comment"] if outcome else "",
        name=step.name,
        allow_self_approval=request.allow_self_approval,
        on_timeout=f"goto:{request.goto}" if request.on_timeout == "goto" else request.on_timeout,
        escalated=approval.escalated,
        decisions=tuple(approval.votes),
    )


def _approval_status(step: Step, decision: str) -> str:
    if not step.closed:
        return "pending"
    if step.status is not StepStatus.COMPLETED:
        return "cancelled"
    return "expired" if step.approval is not None and step.approval.expired else decision


_UNDOING = (h.RunCancelled, h.RunRolledBack)
_TOLD_ELSEWHERE = frozenset(
    {h.ChildStarted, h.EventEmitted, h.RunCompleted, h.RunFailed, h.RunCancelled, h.RunRolledBack}
)
"""Looked up first, since every run comes here: a `case` that does not match is slow, see `core.run`."""


def outbox_items(state: State, events: list[h.AnyEvent], touched: set[str], now: float) -> list[OutboxItem]:
    """What is to be done elsewhere because of `events`: children started and cancelled, the parent told."""
    items = []
    for seq, event in enumerate(events, state.seq - len(events) + 1):
        if type(event) not in _TOLD_ELSEWHERE:
            continue
        if _is_undone(state, event):
            items.append(_compensate(state, seq, now))
        match event:
            case h.RunCompleted() | h.RunFailed() | h.RunCancelled():
                if state.parent and state.parent.key:
                    items.append(_child_ended(state, state.parent, now))
            case h.ChildStarted():
                items.append(_start_child(state, event, now))
            case h.EventEmitted():
                data = {"event": event.event, "owner": state.owner, "lineage": _followed_by(state)}
                items.append(OutboxItem(kind=SEND_EVENT, run_id=state.run_id, due_at=now, data=data))
    for key in touched:
        step = state.steps.get(key)
        if step is not None and step.kind is StepKind.CHILD and step.status is StepStatus.CANCELLED:
            items.append(OutboxItem(kind=CANCEL_CHILD, run_id=step.child_id, due_at=now, data={}))
    return items


def _is_undone(state: State, event: h.AnyEvent) -> bool:
    """Whether what had completed before an event is to be undone because of it."""
    if isinstance(event, _UNDOING):
        return event.compensate
    return isinstance(event, h.RunFailed) and state.undo_on_failure


def _compensate(state: State, seq: int, now: float) -> OutboxItem:
    data = {"seq": seq, "id": seeded_id(now, f"{state.run_id}/{seq}/compensate")}
    return OutboxItem(kind=COMPENSATE, run_id=state.run_id, due_at=now, data=data)


def _start_child(state: State, event: h.ChildStarted, now: float) -> OutboxItem:
    data = {
        "workflow": event.workflow,
        "version": event.version,
        "input": event.input,
        "owner": state.owner,
        "door": state.door,
        "parent": state.run_id,
        "key": event.key if event.wait else "",
        "lineage": _followed_by(state),
        "trace": under(state.trace, step_span(state.run_id, event.key, event.at)),
    }
    return OutboxItem(kind=START_CHILD, run_id=event.child_id, due_at=now, data=data)


def _followed_by(state: State) -> tuple[str, ...]:
    """The lineage of whatever this run starts."""
    return (*state.lineage, state.labels.get(NAME_LABEL) or state.workflow)


def _child_ended(state: State, parent: h.Parent, now: float) -> OutboxItem:
    error = ended_badly(state)
    data = {"key": parent.key, "child": state.run_id, "output": state.output, "error": error}
    return OutboxItem(kind=CHILD_ENDED, run_id=parent.run_id, due_at=now, data=data)


def ended_badly(state: State) -> Problem | None:
    """Why a run has no output: its error, or that it was cancelled; None when it completed."""
    if state.phase is _CANCELLED:
        return problem("cancelled", state.reason or "the run was cancelled", status=409)
    return state.error

"""Follows a history for its views: besides the state that the core folds, each attempt that ever was, what went on
under each key and when, and every vote. Pure.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from stepwell.core import history as h
from stepwell.core.errors import Problem, problem
from stepwell.core.program import SignalValue
from stepwell.core.run import apply
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.engine.attempts import decode
from stepwell.engine.views import ApprovalStatus, ApprovalView, AttemptStatus, VoteView

_CANCELLED: Final = StepStatus.CANCELLED  # as in `core.run`
_COMPLETED: Final = StepStatus.COMPLETED
_CALL: Final = StepKind.CALL
_ENDS: Final = (h.RunFailed, h.RunCancelled, h.RunRolledBack)
_CLOSES_ITS_OWN: Final = (
    h.StepFailed,
    h.TimerFired,
    h.WaitExpired,
    h.ChildEnded,
    h.ApprovalDecided,
)


class Try(msgspec.Struct, kw_only=True):
    """An attempt while it is followed."""

    started_at: float
    seq: int
    generation: int
    status: AttemptStatus = "running"
    ended_at: float | None = None
    ended_seq: int = 0
    output: Any = None
    error: Problem | None = None
    late: bool = False

    def end(
        self, status: AttemptStatus, at: float, seq: int, *, output: Any = None, error: Problem | None = None
    ) -> None:
        self.status, self.ended_at, self.ended_seq = status, at, seq
        self.output, self.error = output, error


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went on under a key. `by` is the race that cancelled it."""

    kind: Literal["opened", "closed", "cancelled", "recorded"]
    key: str
    at: float
    seq: int
    generation: int
    value: Any = None
    by: str = ""


class Log:
    """What a history says."""

    def __init__(self, events: Sequence[h.AnyEvent]) -> None:
        self.state = State()
        self.tries: dict[str, list[Try]] = {}
        """By key of the history, oldest first."""
        self.marks: list[Mark] = []
        self.ends: list[tuple[int, float]] = []
        """Seq and instant of each event that cut off all that was open."""
        self.inputs: dict[str, Raw] = {}
        self.approvals: dict[str, ApprovalView] = {}
        self.paused_at: float | None = None
        self.failed: tuple[str, ...] = ()
        """What the failure of the run named."""
        self._open: dict[str, Try] = {}
        for event in events:
            apply(self.state, event)
            self._follow(event)

    def output_of(self, step: Step) -> Any:
        """What a closed step came to, as programs see it."""
        value = decode(step.output)
        if step.kind is _CALL:
            return value
        if step.kind is StepKind.SIGNAL and value is not None:
            return msgspec.convert(value, SignalValue).data
        if step.kind is StepKind.APPROVAL and value is not None:
            return {name: value.get(name) for name in ("decision", "comment", "data")}
        return value

    # --- attempts ---------------------------------------------------------------------------------------------------

    def _follow(self, event: h.AnyEvent) -> None:
        hot = _HOT.get(type(event))
        if hot is not None:
            hot(self, event)
            return
        match event:
            case h.AttemptFailed():
                self._end(event.key, "failed", event.at, error=event.error)
            case h.TimerSet() | h.SignalAwaited():
                self._wait(event.key, event.at, event.input)
            case h.ChildStarted():
                self._wait(event.key, event.at, event.input)
                self._look(event.key, event.at)  # one that nobody waits for
            case h.ApprovalRequested():
                self._wait(event.key, event.at, h.NULL)
                self._asked(event)
            case h.ApprovalVoted() | h.ApprovalDecided() | h.ApprovalEscalated():
                self._answered(event)
            case h.ValueRecorded():
                self._mark("recorded", event.key, event.at, decode(event.value))
            case h.LateResultDiscarded():
                self._late(event)
            case h.RunPaused() | h.RunRolledBack():
                self.paused_at = event.at
            case h.RunResumed() | h.RunCancelled():
                self.paused_at = None
            case h.RunFailed():
                self.failed = event.forget
        if isinstance(event, _CLOSES_ITS_OWN):
            self._look(event.key, event.at)
        elif isinstance(event, h.RaceDecided):
            self._decided(event)
        elif isinstance(event, h.SignalReceived | h.SignalAwaited):
            self._look_at_all(event.at)
        elif isinstance(event, _ENDS):
            self._ended(event)

    def _scheduled(self, event: h.StepScheduled) -> None:
        self._opened(event.key, event.at, event.input)

    def _started(self, event: h.AttemptStarted) -> None:
        self._begin(event.key, event.at)

    def _completed(self, event: h.StepCompleted) -> None:
        self._look(event.key, event.at)

    def _opened(self, key: str, at: float, input: Raw) -> None:
        self._mark("opened", key, at)
        self.inputs[key] = input

    def _wait(self, key: str, at: float, input: Raw) -> None:
        self._opened(key, at, input)
        self._begin(key, at, "waiting")

    def _begin(self, key: str, at: float, status: AttemptStatus = "running") -> None:
        before = self._open.get(key)
        if before is not None:  # cut off by a crash
            before.end("cancelled", at, self.state.seq)
        found = Try(started_at=at, seq=self.state.seq, generation=self.state.generation, status=status)
        self._open[key] = found
        self.tries.setdefault(key, []).append(found)

    def _end(self, key: str, status: AttemptStatus, at: float, **outcome: Any) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            found.end(status, at, self.state.seq, **outcome)

    def _ended(self, event: h.AnyEvent) -> None:
        self._look_at_all(event.at)
        self.ends.append((self.state.seq, event.at))

    def _decided(self, event: h.RaceDecided) -> None:
        self._look_at_all(event.at, event.key)
        for key in event.cancelled:  # also those between two attempts
            self._mark("cancelled", key, event.at, by=event.key)

    def _look_at_all(self, at: float, by: str = "") -> None:
        for key in list(self._open):
            self._look(key, at, by)

    def _look(self, key: str, at: float, by: str = "") -> None:
        """Whether a step is closed now."""
        step = self.state.steps[key]
        if step.closed_seq != self.state.seq:
            return
        if step.status is _CANCELLED:
            self._end(key, "cancelled", at)
            if not by:
                self._mark("cancelled", key, at)
            return
        error = error_of(step)
        output = self.output_of(step)
        self._mark("closed", key, at, (output, error))
        self._end(key, "completed" if error is None else "failed", at, output=output, error=error)

    def _late(self, event: h.LateResultDiscarded) -> None:
        tries = self.tries.get(event.key, [])
        if 1 <= event.attempt <= len(tries):
            tries[event.attempt - 1].late = True

    def _mark(
        self,
        kind: Literal["opened", "closed", "cancelled", "recorded"],
        key: str,
        at: float,
        value: Any = None,
        by: str = "",
    ) -> None:
        state = self.state
        self.marks.append(
            Mark(kind=kind, key=key, at=at, seq=state.seq, generation=state.generation, value=value, by=by)
        )

    # --- approvals --------------------------------------------------------------------------------------------------

    def _asked(self, event: h.ApprovalRequested) -> None:
        request = event.request
        self.approvals[event.approval_id] = ApprovalView(
            id=event.approval_id,
            key=event.key,
            name=event.name,
            status="pending",
            requested_at=event.at,
            prompt=request.prompt,
            title=request.title,
            schema=request.schema,
            context=request.context,
            approvers=request.approvers,
            required=request.required,
            allow_self_approval=request.allow_self_approval,
            on_timeout=f"goto:{request.goto}" if request.on_timeout == "goto" else request.on_timeout,
            due_at=event.due_at,
        )

    def _answered(self, event: h.ApprovalVoted | h.ApprovalDecided | h.ApprovalEscalated) -> None:
        approval = self.state.steps[event.key].approval
        assert approval is not None, "an approval was asked for"
        view = self.approvals[approval.id]
        if isinstance(event, h.ApprovalEscalated):
            changes: dict[str, Any] = {"approvers": event.approvers, "due_at": event.due_at, "escalated": True}
        elif isinstance(event, h.ApprovalDecided):
            votes = () if event.expired else (self._vote(event, event.approved),)
            status = "expired" if event.expired else "approved" if event.approved else "rejected"
            changes = {"status": status, "decided_at": event.at, "votes": (*view.votes, *votes)}
        else:
            changes = {"votes": (*view.votes, self._vote(event, approved=True))}
        self.approvals[approval.id] = msgspec.structs.replace(view, **changes)

    def _vote(self, event: h.ApprovalVoted | h.ApprovalDecided, approved: bool) -> VoteView:
        approval = self.state.steps[event.key].approval
        assert approval is not None, "an approval was asked for"
        return VoteView(
            actor=event.actor,
            approved=approved,
            at=event.at,
            comment=event.comment,
            data=decode(event.data),
            via=event.via,
            bypass=approval.votes[-1].bypass,
        )

    def all_approvals(self) -> list[ApprovalView]:
        """Oldest first; those that nobody can decide any more without a decision are cancelled."""
        cancelled: ApprovalStatus = "cancelled"
        return [
            msgspec.structs.replace(view, status=cancelled, decided_at=self._gone_at(view))
            if view.status == "pending" and not self._is_open(view)
            else view
            for view in self.approvals.values()
        ]

    def _is_open(self, view: ApprovalView) -> bool:
        step = self.state.find(view.key)
        return step is not None and not step.closed and step.approval is not None and step.approval.id == view.id

    def _gone_at(self, view: ApprovalView) -> float | None:
        ended = (one.ended_at for one in self.tries[view.key] if one.started_at == view.requested_at)
        return next(ended, None)


def _nothing(_log: Log, _event: h.AnyEvent) -> None:
    """What only the state has a use for."""


_HOT: Final[dict[type[h.AnyEvent], Callable[[Log, Any], None]]] = {
    h.RunCreated: _nothing,
    h.RunStarted: _nothing,
    h.StepScheduled: Log._scheduled,
    h.AttemptStarted: Log._started,
    h.StepCompleted: Log._completed,
    h.RunCompleted: Log._ended,
}
"""Looked up first, as in `core.run`: a `case` that does not match is slow."""


def error_of(step: Step) -> Problem | None:
    """Why a closed step gave nothing: its error; of an approval also that it was rejected, or that nobody decided."""
    if step.kind is _CALL:
        return step.error
    if step.status is _COMPLETED and step.kind is StepKind.APPROVAL:
        found = decode(step.output)
        if found["decision"] != "approved":
            return _rejection(found)
    return step.error


def _rejection(found: dict[str, Any]) -> Problem:
    if found["expired"]:
        text = "expected a decision in time, found none"
        return problem("approval_timeout", text, status=408, retryable=False)
    by, because = found.get("actor"), found.get("comment")
    text = "rejected" + (f" by {by}" if by else "") + (f": {because}" if because else "")
    return problem("approval_rejected", text, status=403, retryable=False)

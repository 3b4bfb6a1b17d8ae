"""Short ways to write histories and commands in tables. A history is made of events; `state_of` folds it."""

from typing import Any

import msgspec
from msgspec import Raw

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.decide import Decision, Hold, Refusal, decide
from stepwell.core.errors import Problem
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.core.status import WaitReason

NOW = 100.0
BOOM = Problem(type="boom")
ANNA = h.Actor(type="user", id="anna")
BERT = h.Actor(type="user", id="bert", roles=("boss",))
OPERATOR = h.Actor(type="local", id="operator")


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def created(**more: Any) -> h.RunCreated:
    return h.RunCreated(at=1.0, run_id="r", workflow="w", version="1", definition="d", **more)


STARTED = h.RunStarted(at=2.0)


def running(*events: h.AnyEvent, **more: Any) -> list[h.AnyEvent]:
    """A run that was started, and then `events`."""
    return [created(**more), STARTED, *events]


def opened(key: str = "s", at: float = 3.0) -> list[h.AnyEvent]:
    """A step in flight."""
    return [h.StepScheduled(at=at, key=key), h.AttemptStarted(at=at, key=key, attempt=1)]


def completed(key: str = "s", value: Any = None) -> h.StepCompleted:
    return h.StepCompleted(at=4.0, key=key, output=raw(value))


def failed(key: str = "s", attempt: int = 1) -> list[h.AnyEvent]:
    return [h.AttemptFailed(at=4.0, key=key, attempt=attempt, error=BOOM), h.StepFailed(at=4.0, key=key, error=BOOM)]


def retrying(key: str = "s", due_at: float = 50.0) -> list[h.AnyEvent]:
    return [
        *opened(key),
        h.AttemptFailed(at=4.0, key=key, attempt=1, error=BOOM),
        h.RetryScheduled(at=4.0, key=key, due_at=due_at),
    ]


def timer(key: str = "t", due_at: float = 50.0) -> h.TimerSet:
    return h.TimerSet(at=3.0, key=key, due_at=due_at)


def awaited(key: str = "w", signal: str = "go", **more: Any) -> h.SignalAwaited:
    return h.SignalAwaited(at=3.0, key=key, signal=signal, **more)


def signalled(id: str = "1", signal: str = "go", data: Any = None) -> h.SignalReceived:
    return h.SignalReceived(at=4.0, id=id, signal=signal, data=raw(data))


def asked(key: str = "a", id: str = "A", due_at: float | None = None, **request: Any) -> h.ApprovalRequested:
    return h.ApprovalRequested(at=3.0, key=key, approval_id=id, request=ApprovalRequest(**request), due_at=due_at)


def child(key: str = "c", *, wait: bool = True) -> h.ChildStarted:
    return h.ChildStarted(at=3.0, key=key, child_id="kid", workflow="w2", wait=wait)


PAUSED = h.RunPaused(at=5.0)
RESUMED = h.RunResumed(at=6.0)
STOPPING = h.StopRequested(at=5.0)
CANCELLED = h.RunCancelled(at=9.0)
COMPLETED = h.RunCompleted(at=9.0)
FAILED = h.RunFailed(at=9.0, error=BOOM)


def state_of(events: list[h.AnyEvent]) -> State:
    return fold(events)


def outcome(events: list[h.AnyEvent], command: c.AnyCommand, now: float = NOW) -> Any:
    """What `decide` answers, as a table shows it: names of events, `hold`, or the code of a refusal."""
    return shown(decide(state_of(events), command, now))


def shown(decision: Decision) -> Any:
    if isinstance(decision, Refusal):
        return decision.code
    if isinstance(decision, Hold):
        return "hold"
    return [type(event).__name__ for event in decision]


def then(events: list[h.AnyEvent], command: c.AnyCommand, now: float = NOW) -> list[h.AnyEvent]:
    """The history after an accepted command."""
    decision = decide(state_of(events), command, now)
    assert isinstance(decision, list), decision
    return [*events, *decision]


CALLBACK = WaitReason.CALLBACK

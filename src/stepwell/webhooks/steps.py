"""What webhooks say of steps. Pure.

Flows and Python workflows have one step for each step of their history. A plan's step may be several (an agent's
turns, a callback's post): its key begins the keys of all of them, and how it ended is on record under `<key>/ended`;
that a further attempt is granted, under `<key>/retry`. `@3/` leads into the items of a `foreach`, `~2` is a second
attempt.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stepwell.core import history as h
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.webhooks.types import STEP

Said = tuple[str, dict[str, Any]]
"""The type, and what is particular about it."""

_PLAN: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The name of a plan's workflow is a UUID."""
_OWN: Final = re.compile(r"(?P<key>[^/@~]+(?:@\d+/[^/@~]+)*)(?:~(?P<attempt>\d+))?(?P<part>.*)")
_BEGINNINGS: Final = ("", "/turn@1", "/callback/nonce")
"""Parts of a step that it begins with: itself, an agent's first turn, a callback's token."""
_ENDS: Final = ("completed", "failed")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Where a key of a history belongs: the step, its attempt (0: the key does not tell), and which part of it."""

    key: str
    attempt: int = 0
    name: str = ""
    in_plan: bool = False


def part_of(state: State, key: str) -> Part:
    """The step that a key belongs to."""
    found = _OWN.fullmatch(key) if _PLAN.fullmatch(state.workflow) else None
    if found is None:
        return Part(key=key)
    return Part(key=found["key"], attempt=int(found["attempt"] or 0), name=found["part"], in_plan=True)


def said_of_step(state: State, event: h.AnyEvent) -> Iterator[Said]:
    """What an event says of a step by itself."""
    match event:
        case h.AttemptStarted():
            yield from _began(state, event.key, event.attempt)
        case h.TimerSet() | h.SignalAwaited() | h.ApprovalRequested() | h.ChildStarted():
            yield from _began(state, event.key)
        case h.StepCompleted() if not part_of(state, event.key).name:
            yield f"{STEP}completed", about(state, event.key)
        case h.StepFailed() if not part_of(state, event.key).name:
            yield f"{STEP}failed", about(state, event.key)
        case h.RetryScheduled():
            yield f"{STEP}retrying", {**about(state, event.key), "next_retry_at": instant(event.due_at)}
        case h.ValueRecorded() if (part := part_of(state, event.key)).in_plan:
            yield from _recorded(state, event, part.name)


def _began(state: State, key: str, attempt: int = 0) -> Iterator[Said]:
    if part_of(state, key).name in _BEGINNINGS:
        yield f"{STEP}started", about(state, key, attempt)


def _recorded(state: State, event: h.ValueRecorded, part: str) -> Iterator[Said]:
    """What the runner of a plan put on record about a step."""
    match part:
        case "/ended" if (status := msgspec.json.decode(event.value)["status"]) in _ENDS:
            yield f"{STEP}{status}", about(state, event.key)
        case "/retry":
            due_at = event.at + msgspec.json.decode(event.value)["delay_s"]
            yield f"{STEP}retrying", {**about(state, event.key), "next_retry_at": instant(due_at)}
        case "/callback/nonce":
            yield f"{STEP}started", about(state, event.key)


def said_of_wait(state: State, key: str) -> Iterator[Said]:
    """How a wait that has ended says its step did: an approval that was not given has failed.

    A plan puts failures, and all ends of callbacks, on record under the step's own key.
    """
    step, part = state.steps[key], part_of(state, key)
    failed = step.status is StepStatus.FAILED or _was_refused(step)
    told_elsewhere = part.in_plan and (failed or bool(part.name) or step.kind is StepKind.SIGNAL)
    if step.status is not StepStatus.CANCELLED and not told_elsewhere:
        yield f"{STEP}{'failed' if failed else 'completed'}", about(state, key)


def _was_refused(step: Step) -> bool:
    if step.approval is None or step.status is not StepStatus.COMPLETED:
        return False
    return bool(msgspec.json.decode(step.output)["decision"] != "approved")


def about(state: State, key: str, attempt: int = 0) -> dict[str, Any]:
    """The step that a key belongs to, and its attempt."""
    part = part_of(state, key)
    step = state.steps.get(key) or state.steps.get(part.key)
    number = attempt or part.attempt or (step.attempt if step is not None else 1)
    name = {"step_name": step.name} if step is not None and step.name else {}
    return {"step_key": part.key, **name, "attempt": number}


def instant(at: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

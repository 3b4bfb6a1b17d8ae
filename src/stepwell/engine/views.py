"""What doors show of a run, whichever program ran it: plain records, made by `viewing` from one fold of its history.

A flow, a pipeline or a Python workflow has one step per step of its history. A plan has an outline: its steps are all
there from the start, and whatever the history holds under the key of one (attempts, callbacks, turns of an agent,
items of a `foreach`) belongs to it.
"""

from typing import Any, Literal

import msgspec

from stepwell.core.errors import Problem
from stepwell.core.history import Actor
from stepwell.store.model import RunRow

ViewStatus = Literal["pending", "running", "waiting", "retrying", "completed", "failed", "skipped", "cancelled"]
AttemptStatus = Literal["running", "waiting", "completed", "failed", "cancelled"]
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "cancelled"]
StepType = str
"""task, wait, approval, callback, event, subworkflow; of plans also condition, foreach, agent."""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a step; numbers go on counting when the run is retried. Seconds since the epoch, UTC.

    `late`: it ended after nobody waited for it any more, and what came of it was discarded.
    """

    number: int
    status: AttemptStatus
    started_at: float
    ended_at: float | None = None
    output: Any = None
    error: Problem | None = None
    late: bool = False


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step, begun or not. Instants are seconds since the epoch, UTC; None is "not yet" or "does not apply".

    `attempt` is the number of the latest attempt, 0 before the first. `index` is the place in the list that the step
    belongs to. `parts` are the steps inside it: those of the items of a `foreach` (key `each@3/fetch`).
    """

    key: str
    name: str
    type: StepType
    index: int
    status: ViewStatus
    attempt: int = 0
    max_attempts: int = 1
    depends_on: tuple[str, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    input: Any = None
    output: Any = None
    error: Problem | None = None
    timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    last_heartbeat_at: float | None = None
    next_retry_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    ended_seq: int = 0
    """The seq of the event with which it ended; 0 before."""
    child_id: str = ""
    """The child run of a `subworkflow`."""
    parts: tuple["StepView", ...] = ()


class VoteView(msgspec.Struct, frozen=True, kw_only=True):
    """One person's answer to an approval. `via` is the channel; `bypass` the rule that an administrator overrode."""

    actor: Actor
    approved: bool
    at: float
    comment: str = ""
    data: Any = None
    via: str = ""
    bypass: str = ""


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """An approval, with every vote, oldest first. A retry of the run asks anew: the old one stays in the list."""

    id: str
    key: str
    """The step's key, as in `StepView`."""
    name: str
    status: ApprovalStatus
    requested_at: float
    prompt: str = ""
    title: str = ""
    schema: Any = None
    context: Any = None
    approvers: tuple[str, ...] = ()
    """Principal ids and `role:<name>`; none is the run's owner."""
    required: int = 1
    allow_self_approval: bool = True
    on_timeout: str = "fail"
    votes: tuple[VoteView, ...] = ()
    due_at: float | None = None
    escalated: bool = False
    decided_at: float | None = None


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it stands. Inputs that are secret are masked, here and in the steps."""

    row: RunRow
    input: Any = None
    output: Any = None
    error: Problem | None = None
    failed_step: str = ""
    """The key of the step whose error is the run's."""
    paused_at: float | None = None
    """Since when it is paused; None unless it is."""
    cancel_reason: str = ""
    timeout_at: float | None = None
    """When it fails because it takes too long; None while that stands still or there is no limit."""
    callback_url: str = ""
    updated_at: float = 0.0
    """When something happened to it last."""
    steps: tuple[StepView, ...] = ()
    """In the order of the outline, else in the order in which they began."""
    approvals: tuple[ApprovalView, ...] = ()
    """In the order in which they were asked for."""

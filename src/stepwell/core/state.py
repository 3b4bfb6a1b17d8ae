"""The state of one run: what its history adds up to. Plain records; `apply` is the only writer.

Outputs stay JSON text (`Raw`) until somebody asks for them: a recovered run may hold thousands it never looks at.
"""

from enum import StrEnum

import msgspec
from msgspec import Raw

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import Problem
from stepwell.core.history import NULL, SYSTEM, Actor, Base, Listen, Parent, SignalReceived
from stepwell.core.status import Status, WaitReason

# A lookup less on the path of every step, see `run`.
_RUNNING = Status.RUNNING
_WAITING = Status.WAITING
_PAUSED = Status.PAUSED
_SCHEDULED = Status.SCHEDULED


class StepKind(StrEnum):
    """What a step does: `call` works, the others wait."""

    CALL = "call"
    TIMER = "timer"
    SIGNAL = "signal"
    APPROVAL = "approval"
    CHILD = "child"


class StepStatus(StrEnum):
    """Where a step stands."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


CLOSED_STEP = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.CANCELLED})


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One approver's answer. `bypass`: the rule that an administrator overrode with it."""

    actor: str
    approved: bool
    at: float
    comment: str = ""
    data: Raw = NULL
    via: str = ""
    bypass: str = ""


class Approval(msgspec.Struct, kw_only=True):
    """An approval step's own part: what was asked, and who answered so far."""

    id: str
    request: ApprovalRequest
    approvers: tuple[str, ...] = ()
    votes: list[Vote] = []
    escalated: bool = False
    decided_by: str = ""
    expired: bool = False
    bypassed: str = ""
    """The rule that the decision which follows overrides."""


class Attempt(msgspec.Struct, kw_only=True):
    """One attempt of a step, as listings show it; instants in seconds since the epoch, UTC."""

    number: int
    started_at: float
    ended_at: float | None = None
    error: Problem | None = None


class Step(msgspec.Struct, kw_only=True):
    """A step: everything of a run that takes time, waits too. Instants in seconds since the epoch, UTC."""

    name: str
    kind: StepKind
    status: StepStatus
    opened_at: float
    attempt: int = 0
    failures: int = 0
    started_at: float | None = None
    """When the current attempt began."""
    started_seq: int = 0
    attempt_ended_at: float | None = None
    attempt_error: Problem | None = None
    closed_at: float = 0.0
    closed_seq: int = 0
    due_at: float | None = None
    output: Raw = NULL
    error: Problem | None = None
    reason: WaitReason = WaitReason.EVENT
    signal: str = ""
    deadline: float | None = None
    """Of a wait with heartbeats, whose `due_at` may be earlier."""
    heartbeat_s: float | None = None
    last_heartbeat_at: float | None = None
    progress: float | None = None
    approval: Approval | None = None
    child_id: str = ""
    detached: bool = False
    past: list[Attempt] = []
    """The attempts before the current one, oldest first."""
    late: tuple[int, ...] = ()
    """The attempts whose late result is on record."""
    forgotten: bool = False
    """A retry or a roll-back forgot its outcome; the entry stays for its attempts."""

    @property
    def closed(self) -> bool:
        return self.closed_seq > 0

    def attempts(self) -> list[Attempt]:
        """Every attempt so far, oldest first."""
        if self.started_at is None:
            return list(self.past)
        ended_at = self.closed_at if self.closed_seq else self.attempt_ended_at
        error = self.error if self.closed_seq else self.attempt_error
        latest = Attempt(number=self.attempt, started_at=self.started_at, ended_at=ended_at, error=error)
        return [*self.past, latest]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded value, or how a race was decided."""

    seq: int
    at: float
    value: Raw = NULL
    winner: str = ""
    error: Problem | None = None
    forget: tuple[str, ...] = ()


class EarlierBase(msgspec.Struct, frozen=True, kw_only=True):
    """What a run ran until a retry replaced it, at `until_seq`."""

    until_seq: int
    base: Base


class State(msgspec.Struct, kw_only=True):
    """The fold of a run's history up to `seq`."""

    run_id: str = ""
    workflow: str = ""
    version: str = ""
    definition: str = ""
    input: Raw = NULL
    owner: str = ""
    door: str = ""
    labels: dict[str, str] = {}
    parent: Parent | None = None
    created_by: Actor = SYSTEM
    start_at: float | None = None
    forked_from: str = ""
    listens: tuple[Listen, ...] = ()
    callback_url: str = ""
    lineage: tuple[str, ...] = ()
    trace: str = ""
    undo_on_failure: bool = False
    undone: bool = False
    """Whether a run of its own undoes what this one had completed when it ended."""
    timeout_s: float | None = None
    time_left_s: float | None = None
    """Of a paused run: what was left of its time when it was paused."""
    bases: list[EarlierBase] = []
    """What retries replaced, oldest first."""
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None

    seq: int = 0
    last_at: float = 0.0
    phase: Status = Status.PENDING
    """The status without WAITING, which is derived."""
    before_pause: Status = Status.PENDING
    not_due: bool = False
    """Whether the start time of a scheduled run is still to come."""
    generation: int = 1
    begun_at: float = 0.0
    """When the generation began, unless it is the first."""
    attempts: int = 0
    current: str = ""
    """The key of the step that was opened or tried last."""

    steps: dict[str, Step] = {}
    active: dict[str, None] = {}
    """Keys of call steps in flight or between attempts."""
    waits: dict[str, None] = {}
    """Keys of open waits, oldest first."""
    awaiting: dict[str, list[str]] = {}
    """Signal name to the keys of the waits for it, oldest first."""
    early: dict[str, list[SignalReceived]] = {}
    """Signal name to the signals that no wait has taken, oldest first."""
    heard: dict[str, None] = {}
    """`signal#id` of every signal received: each is taken once."""
    choices: dict[str, Choice] = {}
    timers: dict[str, float] = {}
    """Armed timers: key to due instant. The store's timer rows equal this (W1); two are the run's own: see `run`."""
    old_approvals: dict[str, Step] = {}
    """By id: approvals that were forgotten and asked anew under another id."""

    output: Raw = NULL
    error: Problem | None = None
    reason: str = ""
    forget: tuple[str, ...] = ()
    ended_seq: int = 0

    touched: list[str] = []
    """Keys whose waits or timers changed since the driver last looked; not part of the run's meaning."""

    def find(self, key: str) -> Step | None:
        """The step under a key, unless it never began or was forgotten."""
        step = self.steps.get(key)
        return None if step is None or step.forgotten else step

    @property
    def terminal(self) -> bool:
        return self.ended_seq > 0

    @property
    def at_rest(self) -> bool:
        """Whether the run needs no driver: it has ended, is paused, or its time has not come."""
        phase = self.phase
        return self.ended_seq > 0 or phase is _PAUSED or phase is _SCHEDULED

    @property
    def status(self) -> Status:
        """The phase, or WAITING when every live step of a running run waits."""
        if self.phase is _RUNNING and self.waits and not self.active:
            return _WAITING
        return self.phase

    @property
    def waiting_for(self) -> WaitReason | None:
        """Why a waiting run waits: the strongest of its open waits; None unless it waits."""
        if self.status is not Status.WAITING:
            return None
        reasons = {self.steps[key].reason for key in self.waits}
        return next(reason for reason in WaitReason if reason in reasons)

    @property
    def waiting_until(self) -> float | None:
        """The earliest instant at which a waiting run goes on by itself."""
        return min(self.timers.values(), default=None) if self.status is Status.WAITING else None

"""The event types: everything that can have happened to a run. Facts only; `run.apply` says what they mean.

A run's history is a list of these, numbered by `seq` from 1 without a gap. Values a program or a user gave are kept
as the JSON text they were given (`Raw`), so that what is read back is exactly what was written.

Fields may be added with a default; none is ever removed, renamed or given another meaning.
"""

import msgspec
from msgspec import Raw

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import Problem
from stepwell.core.status import WaitReason

NULL = Raw(b"null")


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked: `type` is user, api_key, system, internal or local; `ip` where it came over the network."""

    type: str = "system"
    id: str = "engine"
    ip: str = ""
    roles: tuple[str, ...] = ()


SYSTEM = Actor()


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """The run that started this one, and the key of the step that waits for it ("" when none waits)."""

    run_id: str
    key: str = ""


class Listen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run wants to hear: CloudEvents of this `type` and `source` (empty: any) reach it as this signal."""

    signal: str
    type: str = ""
    source: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="type"):
    """A recorded fact. `at` is its instant, seconds since the epoch, UTC; `actor` who caused it."""

    at: float
    actor: Actor = SYSTEM


# --- the run as a whole ---------------------------------------------------------------------------------------------


class RunCreated(Event, frozen=True, kw_only=True):
    """`definition` is the digest of the stored text; `start_at` puts the run off until that instant."""

    run_id: str
    workflow: str
    version: str
    definition: str
    input: Raw = NULL
    owner: str = ""
    door: str = ""
    labels: dict[str, str] = {}
    parent: Parent | None = None
    start_at: float | None = None
    forked_from: str = ""
    listens: tuple[Listen, ...] = ()


class RunFellDue(Event, frozen=True, kw_only=True):
    """The start time of a scheduled run was reached."""


class RunStarted(Event, frozen=True, kw_only=True):
    """A driver picked the run up for the first time (or the first time since a retry)."""


class RunPaused(Event, frozen=True, kw_only=True):
    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    pass


class StopRequested(Event, frozen=True, kw_only=True):
    """Steps in flight may finish; nothing new begins."""

    reason: str = ""


class RunCancelled(Event, frozen=True, kw_only=True):
    reason: str = ""


class RunCompleted(Event, frozen=True, kw_only=True):
    output: Raw = NULL


class RunFailed(Event, frozen=True, kw_only=True):
    """`forget`: the key whose error escaped and the keys cancelled because of it; a retry forgets these."""

    error: Problem
    forget: tuple[str, ...] = ()


class RunRetried(Event, frozen=True, kw_only=True):
    generation: int
    forget: tuple[str, ...] = ()


class RunRolledBack(Event, frozen=True, kw_only=True):
    """All outcomes recorded after `to_seq` are forgotten; the run is left paused."""

    to_seq: int
    generation: int
    reason: str = ""


class SnapshotTaken(Event, frozen=True, kw_only=True):
    """A named point to roll back to."""

    label: str = ""


# --- steps ----------------------------------------------------------------------------------------------------------


class StepScheduled(Event, frozen=True, kw_only=True):
    key: str
    name: str = ""


class AttemptStarted(Event, frozen=True, kw_only=True):
    key: str
    attempt: int


class AttemptFailed(Event, frozen=True, kw_only=True):
    key: str
    attempt: int
    error: Problem


class RetryScheduled(Event, frozen=True, kw_only=True):
    key: str
    due_at: float


class StepCompleted(Event, frozen=True, kw_only=True):
    key: str
    output: Raw = NULL


class StepFailed(Event, frozen=True, kw_only=True):
    key: str
    error: Problem


# --- waits ----------------------------------------------------------------------------------------------------------


class TimerSet(Event, frozen=True, kw_only=True):
    key: str
    due_at: float
    name: str = ""


class TimerFired(Event, frozen=True, kw_only=True):
    key: str


class SignalAwaited(Event, frozen=True, kw_only=True):
    """A wait for a signal began. If one of that name was early and is still free, it is taken at once."""

    key: str
    signal: str
    name: str = ""
    reason: WaitReason = WaitReason.EVENT
    deadline: float | None = None


class SignalReceived(Event, frozen=True, kw_only=True):
    """A signal arrived: taken by the oldest wait for its name, or kept until one begins."""

    id: str
    signal: str
    data: Raw = NULL


class WaitExpired(Event, frozen=True, kw_only=True):
    key: str


class ApprovalRequested(Event, frozen=True, kw_only=True):
    key: str
    approval_id: str
    request: ApprovalRequest
    name: str = ""
    due_at: float | None = None


class ApprovalVoted(Event, frozen=True, kw_only=True):
    """One of several approvers approved; the quorum is not reached yet."""

    key: str
    comment: str = ""
    data: Raw = NULL


class ApprovalDecided(Event, frozen=True, kw_only=True):
    """The decision that stands. `expired`: nobody decided in time and `on_timeout` did."""

    key: str
    approved: bool
    comment: str = ""
    data: Raw = NULL
    expired: bool = False


class ApprovalEscalated(Event, frozen=True, kw_only=True):
    """Nobody decided in time: others are asked, with a new deadline."""

    key: str
    approvers: tuple[str, ...]
    due_at: float


class ChildStarted(Event, frozen=True, kw_only=True):
    key: str
    child_id: str
    workflow: str
    version: str = ""
    input: Raw = NULL
    wait: bool = True
    name: str = ""


class ChildEnded(Event, frozen=True, kw_only=True):
    """The awaited child run ended: with `output`, or with `error` when it failed or was cancelled."""

    key: str
    output: Raw = NULL
    error: Problem | None = None


# --- choices --------------------------------------------------------------------------------------------------------


class RaceDecided(Event, frozen=True, kw_only=True):
    """The branch that decided, what it returned or the error it raised, and the keys cancelled because of it."""

    key: str
    winner: str
    value: Raw = NULL
    error: Problem | None = None
    cancelled: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()


class ValueRecorded(Event, frozen=True, kw_only=True):
    key: str
    value: Raw = NULL


class EventEmitted(Event, frozen=True, kw_only=True):
    """The program sent a CloudEvent (its JSON form) to whoever listens."""

    key: str
    event: Raw = NULL


class ItemPublished(Event, frozen=True, kw_only=True):
    """A program put an item on the stream under this key; the item itself is in the stream."""

    key: str


AnyEvent = (
    StepScheduled
    | AttemptStarted
    | StepCompleted
    | AttemptFailed
    | RetryScheduled
    | StepFailed
    | TimerSet
    | TimerFired
    | SignalAwaited
    | SignalReceived
    | WaitExpired
    | ApprovalRequested
    | ApprovalVoted
    | ApprovalDecided
    | ApprovalEscalated
    | ChildStarted
    | ChildEnded
    | RaceDecided
    | ValueRecorded
    | EventEmitted
    | ItemPublished
    | RunCreated
    | RunFellDue
    | RunStarted
    | RunPaused
    | RunResumed
    | StopRequested
    | RunCancelled
    | RunCompleted
    | RunFailed
    | RunRetried
    | RunRolledBack
    | SnapshotTaken
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[AnyEvent])


def encode_events(events: list[AnyEvent]) -> bytes:
    """One history row: the events of one commit as a JSON array, oldest first."""
    return _encoder.encode(events)


def decode_events(row: bytes) -> list[AnyEvent]:
    """The events of one history row, oldest first."""
    return _decoder.decode(row)

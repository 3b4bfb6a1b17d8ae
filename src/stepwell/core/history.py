"""The event types: everything that can have happened to a run. Facts only; `run.apply` says what they mean.

A run's history is a list of these, numbered by `seq` from 1 without a gap. Values a program or a user gave are kept
as the JSON text they were given (`Raw`), so that what is read back is exactly what was written.

Fields may be added with a default; none is ever removed, renamed or given another meaning.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import NewerHistoryError, Problem
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


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a run runs: the version and the digest of its definition, and its input."""

    version: str
    definition: str
    input: Raw = NULL


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="type"):
    """A recorded fact. `at` is its instant, seconds since the epoch, UTC; `actor` who caused it."""

    at: float
    actor: Actor = SYSTEM


# --- the run as a whole ---------------------------------------------------------------------------------------------


class RunCreated(Event, frozen=True, kw_only=True):
    """`definition` is the digest of the stored text; `start_at` puts the run off until that instant.

    `callback_url` is told of the run's end. `timeout_s` bounds the time from each start of the run to its end; pauses
    do not count. `undo_on_failure`: when it fails, what it has completed is undone as for `RunCancelled`. `lineage`
    names the workflows that led to it, the first one first: of its parents, or of the run whose event started it.
    `trace` is where it stands in a distributed trace (`core.trace`); "" where nobody traces it.
    """

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
    callback_url: str = ""
    timeout_s: float | None = None
    undo_on_failure: bool = False
    lineage: tuple[str, ...] = ()
    trace: str = ""


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
    """`compensate`: what the run has completed is undone by a run of its own; a retry begins from the start."""

    reason: str = ""
    compensate: bool = False


class RunCompleted(Event, frozen=True, kw_only=True):
    output: Raw = NULL


class RunFailed(Event, frozen=True, kw_only=True):
    """`forget`: the key whose error escaped and the keys cancelled because of it; a retry forgets these."""

    error: Problem
    forget: tuple[str, ...] = ()


class RunTimedOut(Event, frozen=True, kw_only=True):
    """The run took longer than it may; that it failed because of it follows."""


class RunRetried(Event, frozen=True, kw_only=True):
    """`from_step`: the step that was named to begin with again; `base`: what the run goes on with, where it is not
    what it had before.
    """

    generation: int
    forget: tuple[str, ...] = ()
    from_step: str = ""
    base: Base | None = None


class RunRolledBack(Event, frozen=True, kw_only=True):
    """All outcomes recorded after `to_seq` are forgotten; the run is left paused. `compensate`: they are undone by a
    run of their own.
    """

    to_seq: int
    generation: int
    reason: str = ""
    compensate: bool = False


class SnapshotTaken(Event, frozen=True, kw_only=True):
    """A named point to roll back to."""

    label: str = ""


# --- steps ----------------------------------------------------------------------------------------------------------


class StepScheduled(Event, frozen=True, kw_only=True):
    """`input` is what the program says of what the step works on, for those who look at the run."""

    key: str
    name: str = ""
    input: Raw = NULL


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


class LateResultDiscarded(Event, frozen=True, kw_only=True):
    """An attempt ended, or somebody answered, when nobody waited for it any more: what came of it changes nothing.

    The one event that may follow the end of a run.
    """

    key: str
    attempt: int
    output: Raw = NULL
    error: Problem | None = None


# --- waits ----------------------------------------------------------------------------------------------------------


class TimerSet(Event, frozen=True, kw_only=True):
    key: str
    due_at: float
    name: str = ""
    input: Raw = NULL


class TimerFired(Event, frozen=True, kw_only=True):
    key: str


class SignalAwaited(Event, frozen=True, kw_only=True):
    """A wait for a signal began. If one of that name was early and is still free, it is taken at once.

    With `heartbeat_s` it ends earlier than its deadline when nothing was heard for so long.
    """

    key: str
    signal: str
    name: str = ""
    reason: WaitReason = WaitReason.EVENT
    deadline: float | None = None
    heartbeat_s: float | None = None
    input: Raw = NULL


class SignalReceived(Event, frozen=True, kw_only=True):
    """A signal arrived: taken by the oldest wait for its name, or kept until one begins."""

    id: str
    signal: str
    data: Raw = NULL


class HeartbeatReceived(Event, frozen=True, kw_only=True):
    """Who is waited for is alive. `progress` is from 0 to 1, where it was given."""

    key: str
    progress: float | None = None


class WaitExpired(Event, frozen=True, kw_only=True):
    """`silent`: it was the heartbeat that was missed, not the deadline."""

    key: str
    silent: bool = False


class ApprovalRequested(Event, frozen=True, kw_only=True):
    key: str
    approval_id: str
    request: ApprovalRequest
    name: str = ""
    due_at: float | None = None


class ApprovalVoted(Event, frozen=True, kw_only=True):
    """One of several approvers approved; the quorum is not reached yet. `via`: the channel, e.g. a door's name."""

    key: str
    comment: str = ""
    data: Raw = NULL
    via: str = ""


class ApprovalDecided(Event, frozen=True, kw_only=True):
    """The decision that stands. `expired`: nobody decided in time and `on_timeout` did."""

    key: str
    approved: bool
    comment: str = ""
    data: Raw = NULL
    expired: bool = False
    via: str = ""


class ApprovalBypassed(Event, frozen=True, kw_only=True):
    """An administrator decides although `rule` (the code of a refusal) forbids it; the decision follows."""

    key: str
    rule: str


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
    | LateResultDiscarded
    | TimerSet
    | TimerFired
    | SignalAwaited
    | SignalReceived
    | HeartbeatReceived
    | WaitExpired
    | ApprovalRequested
    | ApprovalVoted
    | ApprovalDecided
    | ApprovalBypassed
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
    | RunTimedOut
    | RunRetried
    | RunRolledBack
    | SnapshotTaken
)

encode_events: Callable[[list[AnyEvent]], bytes] = msgspec.json.Encoder().encode
"""One history row: the events of one commit as a JSON array, oldest first."""
parse_events: Callable[[bytes], list[AnyEvent]] = msgspec.json.Decoder(list[AnyEvent]).decode
"""The events of a row that may be anything. Raises `msgspec.ValidationError`."""


def decode_events(row: bytes) -> list[AnyEvent]:
    """The events of a history row on record, oldest first. Raises `NewerHistoryError`."""
    try:
        return parse_events(row)
    except msgspec.ValidationError as fault:
        raise NewerHistoryError(fault) from fault

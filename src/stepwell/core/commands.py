"""The commands: requests to change a run, before any rule is applied. `decide` answers each with events or a refusal.

The first group comes from outside (doors, console, command line), the second from the run's own program.
"""

from typing import Literal

import msgspec
from msgspec import Raw

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import Problem
from stepwell.core.history import NULL, SYSTEM, Actor, Base
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.core.status import WaitReason


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A request to change a run; `actor` is who asks."""

    actor: Actor = SYSTEM


# --- from outside ---------------------------------------------------------------------------------------------------


class PauseRun(Command, frozen=True, kw_only=True):
    reason: str = ""


class ResumeRun(Command, frozen=True, kw_only=True):
    pass


class StopRun(Command, frozen=True, kw_only=True):
    """Let the steps in flight finish, begin nothing new, then end as cancelled."""

    reason: str = ""


class CancelRun(Command, frozen=True, kw_only=True):
    """`compensate`: what the run has completed is undone by a run of its own."""

    reason: str = ""
    compensate: bool = False


class RetryRun(Command, frozen=True, kw_only=True):
    """Go on from what failed (or was cut off); what completed stays.

    `from_step` is the step that somebody named to begin with again. `again` are the keys of the steps whose outcomes
    are forgotten for that, with all that was recorded below them; without any, `from_step` is a key itself, and all
    that was recorded after it goes too. `base` replaces what the run runs; `changed` are the keys of the steps that
    its definition changed: a kept outcome of one of them is refused.
    """

    from_step: str = ""
    again: tuple[str, ...] = ()
    base: Base | None = None
    changed: tuple[str, ...] = ()


class RollBackRun(Command, frozen=True, kw_only=True):
    """`compensate`: what is forgotten is undone by a run of its own."""

    to_seq: int
    reason: str = ""
    compensate: bool = False


class TakeSnapshot(Command, frozen=True, kw_only=True):
    label: str = ""


class SendSignal(Command, frozen=True, kw_only=True):
    """`id` makes the signal idempotent: a second one with the same name and id changes nothing."""

    id: str
    signal: str
    data: Raw = NULL


class AnswerCallback(Command, frozen=True, kw_only=True):
    """The one answer that a callback takes, as the signal that its token stands for."""

    signal: str
    data: Raw = NULL


class SendHeartbeat(Command, frozen=True, kw_only=True):
    """Whoever works for the wait for `signal` is alive; `progress` is from 0 to 1."""

    signal: str
    progress: float | None = None


class DecideApproval(Command, frozen=True, kw_only=True):
    """`via` is the channel it came by. `bypass`: an administrator who decides against the rules, on the record."""

    approval_id: str
    approved: bool
    comment: str = ""
    data: Raw = NULL
    via: str = ""
    bypass: bool = False


class EndChild(Command, frozen=True, kw_only=True):
    """A child run ended; `key` is the step of the parent that waits for it."""

    key: str
    child_id: str
    output: Raw = NULL
    error: Problem | None = None


# --- from the driver and the program --------------------------------------------------------------------------------


class PickUp(Command, frozen=True, kw_only=True):
    """A driver takes the run: starts it when its time has come."""


class ScheduleStep(Command, frozen=True, kw_only=True):
    key: str
    name: str = ""
    input: Raw = NULL


class StartAttempt(Command, frozen=True, kw_only=True):
    key: str


class CompleteStep(Command, frozen=True, kw_only=True):
    key: str
    attempt: int
    output: Raw = NULL


class FailAttempt(Command, frozen=True, kw_only=True):
    key: str
    attempt: int
    error: Problem
    retry: RetryPolicy = NO_RETRY


class SetTimer(Command, frozen=True, kw_only=True):
    """Due at the instant `due_at`, or `after_s` seconds after this is decided."""

    key: str
    due_at: float = 0.0
    after_s: float | None = None
    name: str = ""
    input: Raw = NULL


class FireTimer(Command, frozen=True, kw_only=True):
    """The timer under `key` is due: a sleep ends, a deadline passes, a retry or a scheduled run begins."""

    key: str


class AwaitSignal(Command, frozen=True, kw_only=True):
    key: str
    signal: str
    deadline: float | None = None
    heartbeat_s: float | None = None
    name: str = ""
    reason: WaitReason = WaitReason.EVENT
    input: Raw = NULL


class RequestApproval(Command, frozen=True, kw_only=True):
    key: str
    approval_id: str
    request: ApprovalRequest
    name: str = ""


class StartChild(Command, frozen=True, kw_only=True):
    key: str
    child_id: str
    workflow: str
    version: str = ""
    input: Raw = NULL
    wait: bool = True
    name: str = ""


class DecideRace(Command, frozen=True, kw_only=True):
    """`keys` are the keys that the losing branches had opened; those still open are cancelled."""

    key: str
    winner: str
    value: Raw = NULL
    error: Problem | None = None
    keys: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()


class RecordValue(Command, frozen=True, kw_only=True):
    key: str
    value: Raw = NULL


class EmitEvent(Command, frozen=True, kw_only=True):
    key: str
    event: Raw = NULL


class PublishItem(Command, frozen=True, kw_only=True):
    key: str


class CompleteRun(Command, frozen=True, kw_only=True):
    output: Raw = NULL


class FailRun(Command, frozen=True, kw_only=True):
    error: Problem
    forget: tuple[str, ...] = ()


class FinishStop(Command, frozen=True, kw_only=True):
    """Nothing of a stopping run is in flight any more."""


OutsideCommand = (
    PauseRun
    | ResumeRun
    | StopRun
    | CancelRun
    | RetryRun
    | RollBackRun
    | TakeSnapshot
    | SendSignal
    | AnswerCallback
    | SendHeartbeat
    | DecideApproval
    | EndChild
)
ProgramCommand = (
    ScheduleStep
    | StartAttempt
    | CompleteStep
    | FailAttempt
    | SetTimer
    | AwaitSignal
    | RequestApproval
    | StartChild
    | DecideRace
    | RecordValue
    | EmitEvent
    | PublishItem
    | CompleteRun
    | FailRun
)
AnyCommand = OutsideCommand | ProgramCommand | PickUp | FireTimer | FinishStop

Decision = Literal["approved", "rejected"]

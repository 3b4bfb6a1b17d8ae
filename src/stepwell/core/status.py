"""The states of a run, and what each trigger makes of them: data, walked cell by cell by a test.

`docs/status.md` is generated from `TRANSITIONS`. A cell is the next status, or one of three answers.
"""

from enum import StrEnum


class Status(StrEnum):
    """Where a run stands."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What can happen to a run as a whole."""

    PICK_UP = "pick_up"
    FINISH = "finish"
    FAIL = "fail"
    WAIT = "wait"
    WAKE = "wake"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    STOP = "stop"
    RETRY = "retry"
    ROLL_BACK = "roll_back"
    FALL_DUE = "fall_due"


class Answer(StrEnum):
    """A cell of the table that is not a status."""

    NO_CHANGE = "no_change"
    """Accepted, and nothing happens."""
    HOLD = "hold"
    """Kept, and done when the run is resumed."""
    REFUSE = "refuse"
    """Not allowed in this status."""


class WaitReason(StrEnum):
    """Why a waiting run waits, strongest first: the first that applies is shown."""

    APPROVAL = "approval"
    CALLBACK = "callback"
    EVENT = "event"
    TIMER = "timer"
    CHILD = "child"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

_S, _T, _A = Status, Trigger, Answer

# Only what is allowed is written; every other cell is REFUSE. A resumed run shows where it stood before the pause.
TRANSITIONS: dict[Status, dict[Trigger, Status | Answer]] = {
    _S.SCHEDULED: {
        _T.FALL_DUE: _S.PENDING,
        _T.PAUSE: _S.PAUSED,
        _T.RESUME: _A.NO_CHANGE,
        _T.CANCEL: _S.CANCELLED,
        _T.STOP: _S.CANCELLED,
    },
    _S.PENDING: {
        _T.PICK_UP: _S.RUNNING,
        _T.PAUSE: _S.PAUSED,
        _T.RESUME: _A.NO_CHANGE,
        _T.CANCEL: _S.CANCELLED,
        _T.STOP: _S.CANCELLED,
    },
    _S.RUNNING: {
        _T.FINISH: _S.COMPLETED,
        _T.FAIL: _S.FAILED,
        _T.WAIT: _S.WAITING,
        _T.PAUSE: _S.PAUSED,
        _T.RESUME: _A.NO_CHANGE,
        _T.CANCEL: _S.CANCELLED,
        _T.STOP: _S.STOPPING,
    },
    _S.WAITING: {
        _T.FAIL: _S.FAILED,
        _T.WAKE: _S.RUNNING,
        _T.PAUSE: _S.PAUSED,
        _T.RESUME: _A.NO_CHANGE,
        _T.CANCEL: _S.CANCELLED,
        _T.STOP: _S.CANCELLED,
    },
    _S.PAUSED: {
        _T.FINISH: _A.HOLD,
        _T.FAIL: _A.HOLD,
        _T.WAKE: _A.HOLD,
        _T.PAUSE: _A.NO_CHANGE,
        _T.RESUME: _S.RUNNING,
        _T.CANCEL: _S.CANCELLED,
        _T.STOP: _S.CANCELLED,
        _T.ROLL_BACK: _S.PAUSED,
        _T.FALL_DUE: _A.HOLD,
    },
    _S.STOPPING: {
        _T.FINISH: _S.COMPLETED,
        _T.FAIL: _S.FAILED,
        _T.CANCEL: _S.CANCELLED,
        _T.STOP: _A.NO_CHANGE,
    },
    _S.COMPLETED: {_T.STOP: _A.NO_CHANGE},
    _S.FAILED: {_T.STOP: _A.NO_CHANGE, _T.RETRY: _S.PENDING, _T.ROLL_BACK: _S.PAUSED},
    _S.CANCELLED: {
        _T.CANCEL: _A.NO_CHANGE,
        _T.STOP: _A.NO_CHANGE,
        _T.RETRY: _S.PENDING,
        _T.ROLL_BACK: _S.PAUSED,
    },
}


def outcome(status: Status, trigger: Trigger) -> Status | Answer:
    """What the table says of a trigger in a status."""
    return TRANSITIONS[status].get(trigger, Answer.REFUSE)


def allowed_from(trigger: Trigger) -> tuple[str, ...]:
    """The statuses in which a trigger is accepted, in the order of the table."""
    return tuple(str(status) for status, row in TRANSITIONS.items() if trigger in row)

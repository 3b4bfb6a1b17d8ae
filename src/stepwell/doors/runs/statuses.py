"""The status of a run in the words of this API, and back: a filter means all our statuses that a word stands for."""

from typing import Final, Literal

from stepwell.core.status import Status

RunStatus = Literal["scheduled", "running", "completed", "failed", "cancelled", "waiting"]

_WORDS: Final[dict[Status, RunStatus]] = {
    Status.SCHEDULED: "scheduled",
    Status.PENDING: "scheduled",
    Status.RUNNING: "running",
    Status.STOPPING: "running",
    Status.WAITING: "waiting",
    Status.PAUSED: "waiting",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
ENDED: Final[tuple[RunStatus, ...]] = ("completed", "failed", "cancelled")
WORDS: Final[tuple[RunStatus, ...]] = ("scheduled", "running", "waiting", *ENDED)


def run_status(status: Status) -> RunStatus:
    """The word for one of our statuses."""
    return _WORDS[status]


def statuses_of(word: RunStatus) -> tuple[Status, ...]:
    """Our statuses that the word stands for."""
    return tuple(status for status, known in _WORDS.items() if known == word)

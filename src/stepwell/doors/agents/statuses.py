"""The status of a run in the words of the agents door."""

from collections.abc import Iterable
from typing import Final, Literal

from stepwell.core.status import Status, WaitReason

RunStatus = Literal["pending", "running", "waiting_approval", "paused", "completed", "failed", "cancelled"]

_WORDS: Final[dict[Status, RunStatus]] = {
    Status.SCHEDULED: "pending",
    Status.PENDING: "pending",
    Status.RUNNING: "running",
    Status.WAITING: "running",
    Status.PAUSED: "paused",
    Status.STOPPING: "running",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}


def run_status(status: Status, reason: str | None = None) -> RunStatus:
    """Our status, with what a waiting run waits for."""
    if status is Status.WAITING and reason == WaitReason.APPROVAL:
        return "waiting_approval"
    return _WORDS[status]


def run_statuses(statuses: Iterable[str]) -> list[RunStatus]:
    """Every word that one of our statuses can have, each once: a waiting run has two."""
    found: dict[RunStatus, None] = {}
    for status in map(Status, statuses):
        found[run_status(status)] = None
        if status is Status.WAITING:
            found["waiting_approval"] = None
    return list(found)

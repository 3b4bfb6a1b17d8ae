"""What the store needs from whoever hands out runs: a job for each that needs a driver, in its own transaction."""

from collections.abc import Sequence
from typing import Any, Protocol

Job = tuple[str, str, str]
"""A run to be driven: its id, the job's key (the same twice is one job; it ends with `:0` while the run has not
begun), its workflow.
"""


class Jobs(Protocol):
    """Hands out runs (`dispatch.pgqueuer`). `connection` is asyncpg's."""

    async def install(self, connection: Any) -> None:
        """See to it that its own tables exist."""

    async def enqueue(self, connection: Any, jobs: Sequence[Job]) -> None:
        """Have each driven by some node once the connection's transaction has committed."""


def key_of(run_id: str, epoch: int) -> str:
    """The key of the job that hands out a run at an epoch."""
    return f"{run_id}:{epoch}"

"""The dispatch port: the only thing that is pluggable about running on one machine or many.

The journal is the truth; dispatch is hints. The promise: some live node drives each submitted run, at least once, and
again if that node dies. Driving twice at the same time is harmless (`(run, seq)` and the epoch see to that).
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

Drive = Callable[[str], Coroutine[Any, Any, bool]]
"""Drives the run with this id until it ends or is parked; False when this node cannot."""


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A process that drives runs of the database. `runs`: how many it drives; `silent_s`: seconds since it last said
    that it lives.
    """

    host: str
    pid: int
    version: str
    runs: int
    silent_s: float = 0.0


class Dispatch(Protocol):
    """Decides who drives a run."""

    def start(self, run_id: str, workflow: str) -> int:
        """A run is being created here: drive it at once, if it need not be handed out.

        The number that its record is to name for the node that drives it; 0 for none.
        """

    def submit(self, run_id: str, delay_s: float = 0.0) -> None:
        """See to it that the run is driven, after `delay_s` seconds at the earliest. Twice is once."""

    def interrupt(self, run_id: str) -> None:
        """Whoever drives the run should look at its history again."""

    async def serve(self, drive: Drive) -> None:
        """Take this node's share of the driving until `stop`."""

    async def stop(self, grace_s: float) -> None:
        """Take no more runs; give those in hand `grace_s` seconds, then let go of them."""

    async def nodes(self) -> list[NodeInfo]:
        """The processes that share the driving, by host and process id; this one among them while it serves."""

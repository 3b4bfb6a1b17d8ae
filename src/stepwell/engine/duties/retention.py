"""Deletes runs that ended longer ago than the retention time, a few at a time."""

from collections.abc import Awaitable, Callable
from typing import Final

PAGE: Final = 500
IDLE_S: Final = 60.0


class PruneEnded:
    """`keep_s`: how long an ended run is kept, in seconds. `prune` deletes those that ended before an instant."""

    name = "retention"

    def __init__(self, prune: Callable[[float], Awaitable[int]], keep_s: float) -> None:
        self._prune = prune
        self._keep_s = keep_s

    async def run_once(self, now: float) -> float:
        pruned = await self._prune(now - self._keep_s)
        return 0.1 if pruned >= PAGE else IDLE_S

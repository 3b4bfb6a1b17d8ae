"""Deletes runs that ended longer ago than the retention time, a few at a time."""

from typing import Final

from stepwell.store.port import RunStore

PAGE: Final = 500
IDLE_S: Final = 60.0


class PruneEnded:
    """`keep_s`: how long an ended run is kept, in seconds."""

    name = "retention"

    def __init__(self, store: RunStore, keep_s: float) -> None:
        self._store = store
        self._keep_s = keep_s

    async def run_once(self, now: float) -> float:
        pruned = await self._store.prune(now - self._keep_s, PAGE)
        return 0.1 if pruned >= PAGE else IDLE_S

"""Wakes parked runs whose timer is due, and picks up live runs that nobody drives."""

from typing import Final

from stepwell.dispatch.port import Dispatch
from stepwell.store.port import RunStore

PAGE: Final = 500
LONGEST_S: Final = 1.0
SHORTEST_S: Final = 0.02


class WakeRuns:
    """A timer of a live run is its driver's own business; `wanted` leaves those out."""

    name = "timers"

    def __init__(self, store: RunStore, dispatch: Dispatch) -> None:
        self._store = store
        self._dispatch = dispatch

    async def recover(self, now: float) -> int:
        """Submit every run that was being driven when the process before this one ended; how many."""
        found, after = 0, 0
        while page := [run for run in await self._store.wanted(now, PAGE, after) if run[0] > after]:
            for number, run_id in page:
                self._dispatch.submit(run_id)
                after = max(after, number)
            found += len(page)
        return found

    async def run_once(self, now: float) -> float:
        due = await self._store.wanted(now, PAGE, 2**62)
        for _, run_id in due:
            self._dispatch.submit(run_id)
        next_at = await self._store.next_due()
        if next_at is None:
            return LONGEST_S
        return min(LONGEST_S, max(SHORTEST_S, next_at - now))

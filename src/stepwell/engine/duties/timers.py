"""Wakes parked runs whose timer is due, and picks up live runs that nobody drives."""

from typing import Final

from stepwell.dispatch.port import Dispatch
from stepwell.store.port import RunStore

PAGE: Final = 500
LONGEST_S: Final = 1.0
SHORTEST_S: Final = 0.02
ALL: Final = 2**62
RECHECK_EVERY_S: Final = 2.0
"""How often runs that are live and have been forgotten are looked for where other nodes drive, too."""


class WakeRuns:
    """First, page by page, the runs that were being driven when the process before this one ended; then whatever
    falls due. A timer of a live run is its driver's own business; `wanted` leaves those out.
    """

    name = "timers"

    def __init__(self, store: RunStore, dispatch: Dispatch) -> None:
        self._store = store
        self._dispatch = dispatch
        self._recovered = 0
        self._checked_at = 0.0
        """The number of the last run taken up by recovery; beyond all numbers when that is done."""

    async def run_once(self, now: float) -> float:
        if self._store.shared and now - self._checked_at >= RECHECK_EVERY_S:
            self._recovered, self._checked_at = 0, now
        found = await self._store.wanted(now, PAGE, self._recovered)
        for _, run_id in found:
            self._dispatch.submit(run_id)
        if self._recovered < ALL:
            self._recovered = found[-1][0] if len(found) >= PAGE else ALL
            return 0.0  # those of this page begin before the next is read
        next_at = await self._store.next_due()
        return LONGEST_S if next_at is None else min(LONGEST_S, max(SHORTEST_S, next_at - now))

"""The rate of a run: messages leave no faster than so many a second, evenly."""

import asyncio
from typing import Final

SLACK_S: Final = 0.05
"""What a turn that came late may be made up for: timers are no finer than a millisecond or two."""


class Pace:
    """`rate` is messages per second; None for as fast as it goes."""

    def __init__(self, rate: float | None) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the turn of one message. No burst follows a halt: little of what was missed is made up for."""
        if not self._interval_s:
            return
        now = asyncio.get_running_loop().time()
        turn = max(now - SLACK_S, self._next) if self._next else now
        self._next = turn + self._interval_s
        if turn > now:
            await asyncio.sleep(turn - now)

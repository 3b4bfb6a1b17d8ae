"""The rate of a run: messages leave no faster than so many a second, evenly."""

import asyncio


class Pace:
    """`rate` is messages per second; None for as fast as it goes."""

    def __init__(self, rate: float | None) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the turn of one message. What was missed is not made up for: no burst follows a halt."""
        if not self._interval_s:
            return
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._interval_s
        if turn > now:
            await asyncio.sleep(turn - now)

"""Rate limits by token bucket: a bucket holds a minute's worth, and fills at an even rate.

Off unless set, and then seen: the two headers are those of the agents API, on every answer.
"""

import math
from collections import OrderedDict
from typing import Final

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BUCKETS: Final = 10_000
"""Callers remembered at once; the one not seen for longest is forgotten, and starts anew with a full bucket."""


class Left(msgspec.Struct, frozen=True):
    """Whether one more is allowed, how many are left after it, and in how many seconds one is there again."""

    allowed: bool
    remaining: int
    retry_after_s: int = 0


class Buckets:
    """One bucket per caller. `now` never goes back within a bucket: a clock set back only stops the filling."""

    def __init__(self, per_minute: int) -> None:
        self.size = per_minute
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> Left:
        """Take one, if there is one."""
        level = self._level(caller, now)
        if level < 1:
            return self._empty(level)
        self._levels[caller] = (level - 1, now)
        self._levels.move_to_end(caller)
        while len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)
        return Left(True, int(level - 1))

    def look(self, caller: str, now: float) -> Left:
        """Whether there is one, without taking it."""
        level = self._level(caller, now)
        return Left(True, int(level)) if level >= 1 else self._empty(level)

    def _level(self, caller: str, now: float) -> float:
        known = self._levels.get(caller)
        if known is None:
            return float(self.size)
        level, at = known
        return min(float(self.size), level + max(0.0, now - at) * self.size / 60)

    def _empty(self, level: float) -> Left:
        return Left(False, 0, max(1, math.ceil((1 - level) * 60 / self.size)))


def with_rate_headers(app: ASGIApp, left: Left, size: int) -> ASGIApp:
    """The same application, whose answers say what is left."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-ratelimit-limit"] = str(size)
                headers["x-ratelimit-remaining"] = str(left.remaining)
            await send(message)

        await app(scope, receive, send_counted)

    return counted

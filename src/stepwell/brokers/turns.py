"""Attempts to reach a broker, one at a time, whose failure is shared.

A broker that does not even refuse costs each attempt its whole time limit: were every message to make its own, one
after the other, the last of a hundred would wait for an hour before it fails.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from stepwell.brokers.port import BrokerError

FRESH_S: Final = 0.5
"""How long nobody tries again what just failed."""


class Turns:
    """Of one broker."""

    def __init__(self) -> None:
        self._taken = asyncio.Lock()
        self._failure = ""
        self._failed_at = float("-inf")

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Try inside. Raises `BrokerError` instead when another attempt has failed since this one was asked for, or
        just before.
        """
        asked_at = time.monotonic()
        async with self._taken:
            if self._failed_at > asked_at - FRESH_S:
                raise BrokerError(self._failure)
            try:
                yield
            except BrokerError as fault:
                if fault.retryable:
                    self._failure, self._failed_at = str(fault), time.monotonic()
                raise

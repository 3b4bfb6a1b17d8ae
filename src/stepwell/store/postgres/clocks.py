"""Whether this node's clock agrees with the database's: timers, and the instants on record, go by a node's own.

A node whose clock is wrong would fire timers early, or not at all, and say nothing: it is refused at the start, and
writes nothing while that lasts. Which of the two clocks is wrong cannot be known here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.store.postgres.connection import Connection

log = structlog.get_logger()
MOST_APART_S: Final = 10.0
"""Synchronised clocks differ by milliseconds; a machine that was suspended sets its own within a few seconds."""
COMPARED_EVERY_S = 5.0
TIME: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
Now = Callable[[], float]


class Clocks:
    """Compares them until closed. `database_time` may raise `StorageError`."""

    def __init__(self, now: Now | None, database_time: Callable[[], Awaitable[float]]) -> None:
        self._now = now
        self._database_time = database_time
        self._fault = ""
        self._task: asyncio.Task[None] | None = None

    async def open(self, connection: Connection) -> None:
        """Compare them for the first time. Raises `StorageUnavailableError`."""
        if self._now is None:
            return
        await self._compare(self._now, lambda: connection.fetchval(TIME))
        self.check()
        self._task = asyncio.create_task(self._watch(self._now), name="stepwell-clocks")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Raises `StorageUnavailableError` while they are too far apart."""
        if self._fault:
            raise StorageUnavailableError(self._fault, told=self._fault)

    async def _watch(self, now: Now) -> None:
        while True:
            await asyncio.sleep(COMPARED_EVERY_S)
            wrong = bool(self._fault)
            try:
                await self._compare(now, self._database_time)
            except StorageError:
                continue  # it is away, which those who need it say
            if bool(self._fault) != wrong:
                log.error("clock.wrong", error=self._fault) if self._fault else log.info("clock.right")

    async def _compare(self, now: Now, database_time: Callable[[], Awaitable[float]]) -> None:
        asked_at = now()
        there = await database_time()
        apart = there - min(max(there, asked_at), now())  # 0 between question and answer
        self._fault = _sentence(apart) if abs(apart) > MOST_APART_S else ""


def _sentence(apart: float) -> str:
    behind = "behind" if apart > 0 else "ahead of"
    return (
        f"the clock of this machine is {abs(apart):.0f} s {behind} the database's: set the wrong one, and keep "
        "both synchronised (NTP)"
    )

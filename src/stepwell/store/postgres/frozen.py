"""Ends sessions of nodes that froze between two messages to the server, with rows locked that others are to drive.

The server itself ends one that idles within a transaction. But one whose next statement is prepared and not executed,
or whose answer is not read, is at work for the server, and holds its locks until the process wakes up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from stepwell.core.errors import StorageError

log = structlog.get_logger()
LOOKED_EVERY_S = 2.0
END: Final = "end_frozen"


class Frozen:
    """Looks for such sessions until closed. `end` ends them, and says how many; it may raise `StorageError`."""

    def __init__(self, end: Callable[[], Awaitable[int]]) -> None:
        self._end = end
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="stepwell-frozen")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOKED_EVERY_S)
            with suppress(StorageError):  # it is away, which those who need it say
                if sessions := await self._end():
                    log.warning("store.frozen_sessions_ended", sessions=sessions)

"""Which runs other nodes appended to: heard on a connection of its own, from a notification per group of commits.

A notification is a hint: what is on record is read after it. When the connection was lost, hints may have been, too;
then `ANY_RUN` is among the changes.
"""

import asyncio
import base64
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import asyncpg

from stepwell.core.errors import StorageError
from stepwell.store.port import ANY_RUN
from stepwell.store.postgres.connection import Connection, connect, faults_named

CHANNEL: Final = "stepwell"
LONGEST: Final = 7_900
"""Bytes of one notification; PostgreSQL takes less than 8,000."""
AGAIN_AFTER_S: Final = 0.5


def payloads(run_ids: Iterable[str]) -> list[str]:
    """The ids of runs as few notifications: UUIDs as 22 letters each, ids of another form as they are."""
    found: list[list[str]] = [[]]
    size = 0
    for word in map(_packed, run_ids):
        if size + len(word) + 1 > LONGEST:
            found.append([])
            size = 0
        found[-1].append(word)
        size += len(word.encode()) + 1
    return [" ".join(words) for words in found]


def _packed(run_id: str) -> str:
    try:
        return base64.urlsafe_b64encode(uuid.UUID(run_id).bytes).decode().rstrip("=")
    except ValueError:
        return f"={run_id}"


def _unpacked(word: str) -> str:
    return word[1:] if word.startswith("=") else str(uuid.UUID(bytes=base64.urlsafe_b64decode(f"{word}==")))


class Changes:
    """Listens until closed."""

    def __init__(self, url: str, address: str) -> None:
        self._url = url
        self._address = address
        self.own: set[int] = set()
        """Process ids of the backends that this node writes on: what they say is known here."""
        self._changed: dict[str, None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        connection = await self._listen()
        self._task = asyncio.create_task(self._keep(connection), name="stepwell-changes")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def take(self) -> list[str] | None:
        """What changed since the last call; None when nobody wrote."""
        changed, self._changed = self._changed, None
        return None if changed is None else list(changed)

    def _note(self, run_ids: Iterable[str]) -> None:
        self._changed = (self._changed or {}) | dict.fromkeys(run_ids)

    async def _listen(self) -> Connection:
        connection = await connect(self._url, {})
        await connection.add_listener(CHANNEL, self._hear)
        return connection

    def _hear(self, _: Any, pid: int, __: str, payload: object) -> None:
        if pid not in self.own:
            self._note(map(_unpacked, str(payload).split()))

    async def _keep(self, connection: Connection) -> None:
        try:
            while True:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                if not connection.is_closed():
                    await lost.wait()
                connection = await self._again()
                self._note([ANY_RUN])
        finally:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection.terminate()

    async def _again(self) -> Connection:
        while True:
            await asyncio.sleep(AGAIN_AFTER_S)
            with suppress(StorageError), faults_named(self._address):
                return await self._listen()

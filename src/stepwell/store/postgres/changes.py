"""Which runs other nodes appended to: heard on a connection of its own, and told on another one.

A notification is a hint: what is on record is read after it. It is sent once that is on disk and not with it, since
all transactions that notify wait for each other's flush; while one is on its way, what else changes is gathered for
the next. When a connection was lost or a node died, hints may have been lost, too; then `ANY_RUN` is among the
changes. What somebody tells a run that another node may drive goes with the commit (`writer`).
"""

import asyncio
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import asyncpg

from stepwell.core.errors import StorageError
from stepwell.store.model import ANY_RUN
from stepwell.store.postgres.connection import Connection, Line, connect, faults_named
from stepwell.store.sql import statements

CHANNEL: Final = "stepwell"
TOLD: Final = "stepwell_told"
"""The channel of what is told to drivers: it is looked at at once."""
LONGEST: Final = 7_900
"""Bytes of one notification; PostgreSQL takes less than 8,000."""
KNOWN: Final = 10_000
"""Ids whose other form is kept: a run that goes on is told of again and again."""
AGAIN_AFTER_S: Final = 0.5
LAST_WORDS_S: Final = 2.0
"""What is still to be told gets so long when the store is closed."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


@lru_cache(maxsize=KNOWN)
def _packed(run_id: str) -> str:
    if _UUID.fullmatch(run_id):
        return b2a_base64(bytes.fromhex(run_id.replace("-", "")), newline=False)[:22].decode()
    return f"={run_id}"


@lru_cache(maxsize=KNOWN)
def _unpacked(word: str) -> str:
    return word[1:] if word.startswith("=") else str(UUID(bytes=urlsafe_b64decode(f"{word}==")))


class Changes:
    """Listens until closed."""

    def __init__(self, url: str, address: str) -> None:
        self._url = url
        self._address = address
        self.own: set[int] = set()
        """Process ids of the backends that this node writes on: what they say is known here."""
        self.on_told: Callable[[], None] | None = None
        """Called when somebody told a run something."""
        self._changed: dict[str, None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._telling = Line(url, {"synchronous_commit": "off"}, self.own)
        self._untold: dict[str, None] = {}
        self._teller: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        connection = await self._listen()
        self._task = asyncio.create_task(self._keep(connection), name="stepwell-changes")

    async def close(self) -> None:
        self._closed = True
        if self._teller is not None:
            await asyncio.wait([self._teller], timeout=LAST_WORDS_S)
            self._teller.cancel()
            await asyncio.gather(self._teller, return_exceptions=True)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._telling.close()

    def tell(self, run_ids: Iterable[str]) -> None:
        """Let the other nodes know that these runs were appended to."""
        self._untold.update(dict.fromkeys(run_ids))
        if self._untold and not self._closed and (self._teller is None or self._teller.done()):
            self._teller = asyncio.create_task(self._tell(), name="stepwell-tell")

    async def _tell(self) -> None:
        while self._untold:
            untold, self._untold = self._untold, {}
            try:
                with faults_named(self._address):
                    async with self._telling.use() as connection:
                        await connection.execute(statements("postgres")["notify"], CHANNEL, payloads(untold))
            except StorageError:  # the database is away: later
                self._untold = untold | self._untold
                await asyncio.sleep(AGAIN_AFTER_S)

    def take(self) -> list[str] | None:
        """What changed since the last call; None when nobody wrote."""
        changed, self._changed = self._changed, None
        return None if changed is None else list(changed)

    def note(self, run_ids: Iterable[str]) -> None:
        """These runs changed."""
        self._changed = (self._changed or {}) | dict.fromkeys(run_ids)

    async def _listen(self) -> Connection:
        connection = await connect(self._url, {})
        try:
            await connection.add_listener(CHANNEL, self._hear)
            await connection.add_listener(TOLD, self._hear)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _hear(self, _: Any, pid: int, channel: str, payload: object) -> None:
        if pid in self.own:
            return
        self.note(map(_unpacked, str(payload).split()))
        if channel == TOLD and self.on_told is not None:
            self.on_told()

    async def _keep(self, connection: Connection) -> None:
        try:
            while True:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                if not connection.is_closed():
                    await lost.wait()
                connection = await self._again()
                self.note([ANY_RUN])
        finally:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection.terminate()

    async def _again(self) -> Connection:
        while True:
            await asyncio.sleep(AGAIN_AFTER_S)
            with suppress(StorageError), faults_named(self._address):
                return await self._listen()

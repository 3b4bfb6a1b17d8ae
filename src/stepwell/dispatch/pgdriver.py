"""PgQueuer's connections: one for its statements, one for what it listens to; both made again when they were lost.

While the database is away its statements wait, so that PgQueuer goes on by itself afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Self, TypeVar, cast

import asyncpg
import structlog
from pgqueuer.core.tm import TaskManager
from pgqueuer.ports.driver import Driver

log = structlog.get_logger()
AGAIN_AFTER_S: Final = 0.3
CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 10.0
AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # it lets nobody in for now (ALLOW_CONNECTIONS)
    TimeoutError,
    OSError,
)
"""What says that the database is away (or may be read only, for now), not that the statement is wrong."""

_SETTINGS: Final = """
    SET synchronous_commit = off;  -- jobs are hints, and are lost with a crash of the server anyway
    -- A process that is frozen inside a transaction holds its node's job, which then nobody else can pick up.
    SET idle_in_transaction_session_timeout = '5s';
"""
T = TypeVar("T")
NotifyCallback = Callable[[str | bytes | bytearray], None]


class PatientDriver(Driver):
    """PgQueuer's port to a database, on connections of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._connection: Any = None
        self._listening: Any = None
        self._callbacks: dict[str, list[NotifyCallback]] = {}
        self._repairs: set[asyncio.Task[None]] = set()
        self._shutdown = asyncio.Event()
        self._closed = False

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        rows = await self._patiently(lambda connection: connection.fetch(query, *args))
        return [dict(row) for row in rows]

    async def execute(self, query: str, *args: object) -> str:
        return str(await self._patiently(lambda connection: connection.execute(query, *args)))

    async def together(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Several statements in one transaction."""

        async def transaction(connection: Any) -> T:
            async with connection.transaction():
                return await work(connection)

        return cast("T", await self._patiently(transaction))

    async def notify(self, channel: str, payload: str) -> None:
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def _patiently(self, work: Callable[[Any], Any]) -> Any:
        """Do it; again while the database is away, until this driver is closed."""
        while True:
            try:
                async with self._lock:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._connect()
                    return await work(self._connection)
            except AWAY:
                if self._closed:
                    raise
                if self._connection is not None:
                    self._connection.terminate()
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            server_settings={"application_name": "stepwell-jobs"},
        )
        try:  # not with the start of the session: PgBouncer refuses such settings
            await connection.execute(_SETTINGS)
        except BaseException:
            connection.terminate()
            raise
        return connection

    # --- listening --------------------------------------------------------------------------------------------------

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks.setdefault(channel, []).append(callback)
        if self._listening is None:
            await self._listen()
        else:
            await self._listening.add_listener(channel, self._hear)

    async def remove_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks.get(channel, []).remove(callback)

    def _hear(self, _: Any, __: int, channel: str, payload: object) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback(str(payload))

    async def _listen(self) -> None:
        """Listen on a new connection, as soon as there can be one."""
        while not self._closed:
            try:
                self._listening = await self._connect()
                for channel in self._callbacks:
                    await self._listening.add_listener(channel, self._hear)
                self._listening.add_termination_listener(self._lost)
                return
            except AWAY:
                await asyncio.sleep(AGAIN_AFTER_S)

    def _lost(self, _: Any) -> None:
        if not self._closed:
            repair = asyncio.ensure_future(self._listen())
            self._repairs.add(repair)
            repair.add_done_callback(self._repairs.discard)

    # --- life -------------------------------------------------------------------------------------------------------

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return TaskManager()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Whoever made the driver closes it: PgQueuer's last statements come after this."""

    def give_up(self) -> None:
        """From here on a database that is away is waited for no more: PgQueuer would not end before it is back."""
        self._closed = True

    async def close(self) -> None:
        self.give_up()
        for connection in (self._connection, self._listening):
            if connection is not None:
                with suppress(*AWAY):
                    await connection.close(timeout=2)

"""Connections to PostgreSQL: made when needed, made again when lost, and their faults as one clear sentence each."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from stepwell.core.errors import NotRecordableError, StorageError, StorageUnavailableError

Connection = Any
"""asyncpg's, which has no types in every version of it."""

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 15.0
"""After so long without an answer the server is taken for lost: a network that was cut says nothing."""
SETTINGS: Final = {
    # A process that is frozen inside a transaction holds locks on runs that others are to take over.
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "10s",
}
WRITER_SETTINGS: Final = {
    # Whatever a table's size: the ids of a batch in their order, each along the key.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_sort": "on",
    "plan_cache_mode": "force_generic_plan",
}
LISTING_SETTINGS: Final = {
    # How many runs have a status or a text differs too much for one plan; and a page is too short for more.
    "plan_cache_mode": "force_custom_plan",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

_PORT: Final = re.compile(r":\d+$")
_HOST: Final = re.compile(r"(\[[^]]+\]|[^]:[]*)(:(?P<port>\d{0,5}))?")
_UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # it lets nobody in for now (ALLOW_CONNECTIONS)
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    TimeoutError,
    OSError,
)


def address_of(url: str) -> str:
    """Where a database is, without its user and password: `host:port/name`, several hosts with commas.

    Raises `StorageError` for a URL that is none, which asyncpg would take for another port, or fail at.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _no_url(url) from None
    named = parts.netloc.rpartition("@")[2]
    if not all(map(_makes_sense, named.split(","))):
        raise _no_url(url)
    hosts = named or dict(parse_qsl(parts.query)).get("host", "localhost")
    return ",".join(host if _PORT.search(host) else f"{host}:5432" for host in hosts.split(",")) + parts.path


def _makes_sense(host: str) -> bool:
    found = _HOST.fullmatch(host)
    return found is not None and 0 < int(found["port"] or 5432) < 65_536


def _no_url(url: str) -> StorageError:
    """Of the URL only what is no part of a password, also of one that has an unexpected character in it."""
    rest, _, query = url.partition("://")[2].partition("?")
    shown = "this" if "@" in query else repr(rest.rpartition("@")[2])
    return StorageError(
        f"{shown} is no address of a PostgreSQL database: expected postgresql://user@host:port/name, with a port "
        "from 1 to 65535, and in a password %2F for / and the like"
    )


def holds(text: str) -> bool:
    """Whether a column can hold a text: NUL is no character there. One that none holds is not looked for."""
    return "\0" not in text


@contextmanager
def faults_named(address: str) -> Iterator[None]:
    """Turn the errors of PostgreSQL and its driver into `StorageError`s that say what, where and what to do."""
    try:
        yield
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as fault:
        raise StorageError(f"PostgreSQL at {address} refuses the user or password: check --db") from fault
    except asyncpg.InvalidCatalogNameError as fault:
        raise StorageError(f"there is no database {address}: create it (createdb), or name another --db") from fault
    except asyncpg.InsufficientPrivilegeError as fault:
        raise StorageError(
            f"the user of {address} lacks a permission ({fault}): make it the owner of the database"
        ) from fault
    except asyncpg.ReadOnlySQLTransactionError as fault:
        raise StorageUnavailableError(
            READ_ONLY.format(address=address), told="the database can only be read now"
        ) from fault
    except (asyncpg.DiskFullError, asyncpg.OutOfMemoryError) as fault:
        raise StorageUnavailableError(
            f"PostgreSQL at {address} has no space left ({fault}): free some", told="the database has no space left"
        ) from fault
    except asyncpg.TooManyConnectionsError as fault:
        raise StorageUnavailableError(
            f"PostgreSQL at {address} takes no more connections: raise max_connections, or run fewer nodes",
            told="the database takes no more connections",
        ) from fault
    except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError) as fault:
        raise StorageError(POOLED.format(address=address)) from fault
    except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError, asyncpg.DeadlockDetectedError) as fault:
        raise StorageUnavailableError(
            f"PostgreSQL at {address} is held up by another transaction",
            told="the database is held up by another transaction",
        ) from fault
    except (asyncpg.DataError, UnicodeError, OverflowError) as fault:  # a value that no column takes
        raise NotRecordableError(f"this cannot be put on record: {fault}") from fault
    except asyncpg.ProtocolViolationError as fault:
        raise StorageError(POOLED.format(address=address)) from fault
    except TimeoutError as fault:  # it stands still, or the network passes nothing on: nothing refuses anything
        raise StorageUnavailableError(
            f"PostgreSQL at {address} does not answer: check it and its network; work goes on by itself when it does",
            told="the database does not answer; work goes on by itself when it does",
        ) from fault
    except _UNAVAILABLE as fault:
        reason = str(fault) or type(fault).__name__
        raise StorageUnavailableError(
            f"PostgreSQL at {address} cannot be reached ({reason}): is it running, is the address right?",
            told="the database cannot be reached; work goes on by itself when it can",
        ) from fault
    except asyncpg.PostgresError as fault:
        raise StorageError(f"PostgreSQL at {address} refuses a statement: {fault}") from fault


READ_ONLY: Final = (
    "the database {address} can only be read: name the primary server (several hosts and "
    "?target_session_attrs=read-write find it), or end its read-only mode"
)
POOLED: Final = (
    "{address} is behind a connection pool that gives each transaction another session (PgBouncer's transaction "
    "mode): name the server itself with --db, or let the pool work in session mode"
)


class Line:
    """One connection, for one statement or transaction at a time; made again when it was lost.

    `known` collects the process ids of its backends. `may` is asked before each use, and raises what speaks against.
    """

    def __init__(
        self, url: str, settings: dict[str, str], known: set[int], *, may: Callable[[], None] = lambda: None
    ) -> None:
        self._url = url
        self._settings = settings
        self._known = known
        self._may = may
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self._unanswered = 0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, alone. One whose work was cut off half way is not used again, nor one that only reads: it
        would still do so when the database has been made writable, or another server is the primary.

        Where the server does not answer, all who wait for the line are told when the first one is: one after the
        other each of them would wait for as long.
        """
        self._may()
        unanswered = self._unanswered
        async with self._lock:
            if self._unanswered != unanswered:
                raise TimeoutError
            connection = await self._connected()
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError, asyncpg.ReadOnlySQLTransactionError):
                connection.terminate()
                raise

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            if self._closed:
                raise ConnectionError("the store is closed")
            try:
                self._connection = await connect(self._url, self._settings)
            except TimeoutError:
                self._unanswered += 1
                raise
            self._known.add(await backend_of(self._connection))
        return self._connection

    async def close(self) -> None:
        self._closed = True
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and not connection.is_closed():
                try:
                    await connection.close(timeout=2)
                except (*_UNAVAILABLE, asyncpg.PostgresError):
                    connection.terminate()


async def connect(url: str, settings: dict[str, str]) -> Connection:
    """A connection with our settings, which each of its transactions has."""
    connection = await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=STATEMENT_TIMEOUT_S,
        server_settings={"application_name": "stepwell"},
    )
    try:
        # Not with the start of the session: PgBouncer refuses those that it does not know.
        await connection.execute(_SET, *unnested([*{**SETTINGS, **settings}.items()]))
    except BaseException:
        connection.terminate()
        raise
    return connection


_SET: Final = "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS setting (name, value)"


async def backend_of(connection: Connection) -> int:
    """The process id of the server's side, also behind a pool, which makes up one of its own."""
    return int(await connection.fetchval("SELECT pg_backend_pid()"))


def numbers_text(numbers: list[int]) -> str:
    """Numbers as PostgreSQL's text of an array."""
    return f"{{{repr(numbers)[1:-1]}}}"


def texts_text(texts: list[str]) -> str:
    """Texts as PostgreSQL's text of an array."""
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') != 2 * (len(texts) - 1):
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f'{{"{joined}"}}'


def unnested(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]

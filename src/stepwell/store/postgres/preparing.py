"""Whether a database can be used: the server's version, what may be done there, whose tables they are; migrations."""

import asyncio
from typing import Final

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.store.postgres.connection import POOLED, READ_ONLY, Connection, backend_of
from stepwell.store.sql import migrations

OLDEST_SERVER: Final = 14
LOCK: Final = 0x53574C31
"""The key of the advisory lock of migrations ("SWL1")."""
ANSWER_WITHIN_S: Final = 5.0
LONGEST_MIGRATION_S: Final = 3_600.0
"""An index over many millions of rows takes its time."""


async def check_server(connection: Connection, other: Connection, address: str) -> None:
    """Refuse a server that is too old, read-only, or behind a pool that loses a session's state."""
    version = connection.get_server_version().major
    if version < OLDEST_SERVER:
        raise StorageError(f"{address} is PostgreSQL {version}: {OLDEST_SERVER} or newer is needed, upgrade it")
    if await connection.fetchval("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"):
        raise StorageUnavailableError(READ_ONLY.format(address=address))
    await _check_session(connection, other, address)


async def _check_session(connection: Connection, other: Connection, address: str) -> None:
    """A connection must stay with its session: its settings, statements, locks and what it listens for lie there.

    A pool that hands sessions out for a transaction gives the one just used to the other connection, or none while
    that holds the only one.
    """
    session = await backend_of(connection)
    async with other.transaction():
        await other.execute("SELECT")
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                same = await backend_of(connection) == session
        except TimeoutError:
            same = False
    if not same:
        raise StorageError(POOLED.format(address=address))


async def migrate(connection: Connection, address: str) -> None:
    """Bring the tables to this version, once, whoever else is starting: under an advisory lock."""
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '60s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=LONGEST_MIGRATION_S)
        version = await _version(connection, address)
        for number, text in migrations("postgres"):
            if number > version:
                await connection.execute(text, timeout=LONGEST_MIGRATION_S)
                await connection.execute("UPDATE stepwell_schema SET version = $1", number)


async def take_place(connection: Connection, address: str, place: int, places: int) -> None:
    """A database over which runs are spread, with others, knows its place among them: with another list, or another
    order, runs would be looked for where they are not. Of one that stands alone nothing is kept.
    """
    known = await connection.fetchval(_PLACE)
    wanted = f"{place + 1} of {places}"
    if known is None and places > 1:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM run)"):
            raise StorageError(f"{address} holds runs that are not spread: begin with empty databases (more_dbs)")
        await connection.execute(_KEEP_PLACE, wanted)
        known = await connection.fetchval(_PLACE)
    if known is not None and known != wanted:
        raise StorageError(
            f"{address} is number {known} databases that runs are spread over, not {wanted}: name the same ones in "
            "the same order (db, more_dbs)"
        )


_PLACE: Final = "SELECT data::json ->> 'place' FROM record WHERE kind = 'spread' AND id = 'place'"
_KEEP_PLACE: Final = (
    "INSERT INTO record (kind, id, owner, version, data) "
    "VALUES ('spread', 'place', '', 1, json_build_object('place', $1::text)::text) ON CONFLICT DO NOTHING"
)


async def _version(connection: Connection, address: str) -> int:
    """The migration that the database is at; 0 for an empty one, which is marked as ours."""
    if await connection.fetchval("SELECT to_regclass('stepwell_schema') IS NULL"):
        if await connection.fetchval("SELECT to_regclass('run') IS NOT NULL"):
            raise StorageError(f"{address} is a database of another program: name another one with --db")
        await connection.execute("CREATE TABLE stepwell_schema AS SELECT 0 AS version")
    version = int(await connection.fetchval("SELECT version FROM stepwell_schema"))
    latest = migrations("postgres")[-1][0]
    if version > latest:
        raise StorageError(
            f"{address} was written by a newer Stepwell (schema {version}, this one knows {latest}): upgrade Stepwell"
        )
    return version

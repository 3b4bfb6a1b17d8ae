"""Which file a database was begun from (`stepwell migrate`), kept in a table that only such a database has.

Until all of that file is there nobody may work on the database: runs would be driven whose history is still to come.
"""

from typing import Final

import msgspec

from stepwell.core.errors import StorageError
from stepwell.store.postgres.connection import Connection

ORIGIN: Final = "origin"
"""The row of the table `moving` that holds it, beside those of how far each table came."""


class Origin(msgspec.Struct, frozen=True):
    """The file, as an absolute path; a hash of what it held; whether all of it is there."""

    path: str
    state: str
    complete: bool = False


async def known_origin(connection: Connection) -> Origin | None:
    """The file that a database was begun from, if it was."""
    if await connection.fetchval("SELECT to_regclass('moving') IS NULL"):
        return None
    kept = await connection.fetchval("SELECT key FROM moving WHERE name = $1", ORIGIN)
    return msgspec.json.decode(kept, type=Origin) if kept is not None else None


async def check_whole(connection: Connection, address: str) -> None:
    """Raises `StorageError` while a part of the file is still to come."""
    origin = await known_origin(connection)
    if origin is not None and not origin.complete:
        raise StorageError(
            f"{address} holds only a part of {origin.path}, which is being moved there: finish that with "
            f"'stepwell migrate --from sqlite:///{origin.path} --to ...', or name an empty database"
        )

"""Copies a SQLite database into a PostgreSQL one, table by table, in pages of one transaction each.

How far a table came is kept with its rows, so that the same again goes on there. In the end every table is read from
both databases and must have as many rows and the same hash. Nobody may drive the runs meanwhile: the file is locked,
and no server may be on the other database.

That database knows which file it was begun from: no row of another one comes in, and none at all once it has
everything, since servers go on with it then.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver

from stepwell.core.errors import StorageError
from stepwell.dispatch.local import FileLock
from stepwell.dispatch.pgqueuer import PgQueuerJobs
from stepwell.dispatch.presence import living
from stepwell.files import BUFFERED
from stepwell.files.database import DatabaseFiles
from stepwell.store.model import RunRow
from stepwell.store.postgres import PostgresStore
from stepwell.store.postgres.connection import Connection, Line, address_of, faults_named
from stepwell.store.postgres.grams import grams_of, searched
from stepwell.store.postgres.origin import ORIGIN, Origin, known_origin
from stepwell.store.postgres.preparing import LOCK
from stepwell.store.sqlite import SqliteStore
from stepwell.store.sqlite import connection as sqlite

PAGE: Final = 2_000
SILENT_S: Final = 60.0
"""A node that has said nothing for so long is dead, whatever its `dead_after_s`."""
_decode_run = msgspec.json.Decoder(RunRow).decode


class Table(msgspec.Struct, frozen=True):
    """A table of both databases: its columns (with types of PostgreSQL), the first `keys` of which are its key."""

    name: str
    columns: dict[str, str]
    keys: int = 1
    numbered: bool = False
    """Whether PostgreSQL makes its ids."""


class Copied(msgspec.Struct, frozen=True):
    """What both databases hold of a table."""

    table: str
    rows: int
    digest: str


_I, _N, _T, _F, _B, _Y = "bigint", "int", "text", "float8", "bool", "bytea"
TABLES: Final = (
    Table("series", {"id": _I, "workflow": _T, "owner": _T, "name": _T}, numbered=True),
    Table("run", {"id": _I, "uuid": _T, "seq": _N, "live": _B, "attempts": _N, "created_at": _F, "ended_at": _F,
                  "series": _I, "status": _T, "owner": _T, "workflow": _T, "step": _T, "start_key": _T,
                  "definition": _T, "parent": _T, "shown": _T}, numbered=True),
    Table("history", {"run": _I, "seq": _N, "count": _N, "events": _Y, "hash": _Y}, keys=2),
    Table("stream", {"run": _I, "n": _I, "count": _N, "items": _Y}, keys=2),
    Table("snapshot", {"run": _I, "seq": _N, "state": _Y}),
    Table("timer", {"run": _I, "key": _T, "due_at": _F}, keys=2),
    Table("approval", {"id": _I, "uuid": _T, "run": _I, "status": _T, "owner": _T, "shown": _T}, numbered=True),
    Table("decider", {"who": _T, "status": _T, "approval": _I}, keys=3),
    Table("listener", {"type": _T, "source": _T, "run": _I, "signal": _T}, keys=4),
    Table("outbox", {"id": _I, "kind": _T, "run": _T, "data": _T, "tries": _N, "due_at": _F}, numbered=True),
    Table("delivery", {"id": _I, "uuid": _T, "endpoint": _T, "status": _T, "created_at": _F, "due_at": _F,
                       "shown": _T}, numbered=True),
    Table("run_count", {"series": _I, "day": _T, "status": _T, "runs": _I}, keys=3),
    Table("definition", {"digest": _T, "name": _T, "version": _T, "kind": _T, "text": _T, "created_at": _F,
                         "saved": _I}),
    Table("record", {"kind": _T, "id": _T, "owner": _T, "version": _N, "due_at": _F, "data": _T}, keys=2),
)  # fmt: skip


async def move(path: str, url: str, *, files: Path | None = None) -> list[Copied]:
    """Copy the file's tables into the database of the URL and compare them; then the folder of its runs' files.

    Raises `StorageError`.
    """
    _check_names(path, url)
    lock = FileLock(path).acquire()
    try:
        with sqlite.faults_named(path):
            await _bring_forward(path)
            source = sqlite.connect(path, read_only=True)
        try:
            found = _files_in(files) if files is not None else []
            return await _move(source, _origin_of(source, path), url, files=found)
        finally:
            source.close()
    finally:
        lock.release()


def _check_names(path: str, url: str) -> None:
    """Before anything is touched: SQLite would make the file, and its lock is a file, too."""
    address_of(url)
    if not Path(path).exists():
        raise StorageError(f"there is no file {path}: name the database to copy with --from")
    sqlite.check_folder(path)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.is_file())


async def _move_files(found: list[Path], url: str) -> Copied:
    """Every file of a run, under the name it has; what is there already is left alone."""
    target = DatabaseFiles(url)
    digests = hashlib.sha256(), hashlib.sha256()
    try:
        for path in found:
            incoming = target.begin_as(f"{path.parent.name}.{path.name}")
            with path.open("rb") as file:
                while data := file.read(BUFFERED):
                    digests[0].update(data)
                    await incoming.write(data)
            await incoming.finish()
            async for chunk in target.chunks(path.parent.name, path.name):
                digests[1].update(chunk)
    finally:
        await target.close()
    here, there = (digest.hexdigest() for digest in digests)
    if here != there:
        raise StorageError("the files differ from those in PostgreSQL: empty its table file_chunk, and try again")
    return Copied("file", len(found), there)


async def _bring_forward(path: str) -> None:
    """Both databases must have the tables of this version."""
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def _move(source: apsw.Connection, origin: Origin, url: str, *, files: list[Path]) -> list[Copied]:
    target = PostgresStore(url, jobs=PgQueuerJobs(), partial=True)
    await target.open()
    await target.close()
    line, address = Line(url, {}, set()), address_of(url)
    try:
        with faults_named(address):
            async with line.use() as connection:
                await _begin(connection, address, origin)
                for table in TABLES:
                    await _copy(source, connection, table)
                copied = [await _compare(source, connection, table) for table in TABLES]
        if files:
            copied.append(await _move_files(files, url))
        with faults_named(address):
            async with line.use() as connection:
                await _keep(connection, ORIGIN, msgspec.structs.replace(origin, complete=True))
    finally:
        await line.close()
    return copied


# --- whose the database is ------------------------------------------------------------------------------------------


def _origin_of(source: apsw.Connection, path: str) -> Origin:
    """Another file has another key, which is made by chance; whatever happens to a run adds to the history."""
    held = source.execute(
        "SELECT (SELECT data FROM record WHERE kind = 'secret' AND id = 'callbacks'), (SELECT max(id) FROM history)"
    ).fetchall()
    return Origin(str(Path(path).resolve()), hashlib.sha256(repr(held).encode()).hexdigest())


async def _begin(connection: Connection, address: str, origin: Origin) -> None:
    """An empty database, which then knows its origin, or one that this has begun to fill. Raises `StorageError`."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)  # another file may be about to begin here
        await connection.execute("CREATE TABLE IF NOT EXISTS moving (name text PRIMARY KEY, key text NOT NULL)")
        known = await known_origin(connection)
        if known is not None:
            _check_origin(known, origin, address)
        await _check_unused(connection, address)
        if known is None:
            await _clear(connection, address)
            await _keep(connection, ORIGIN, origin)


def _check_origin(known: Origin, origin: Origin, address: str) -> None:
    if known.complete:
        raise StorageError(
            f"{address} has got all of {known.path} already, nothing was copied: go on with --db there, or name an "
            "empty database with --to"
        )
    if known.path != origin.path:
        raise StorageError(
            f"{address} holds a part of {known.path}, nothing of {origin.path} was copied: move the rest of "
            "that file, or name an empty database with --to"
        )
    if known.state != origin.state:
        raise StorageError(
            f"{address} holds a part of {known.path} as it was before it changed: name an empty database with --to"
        )


async def _check_unused(connection: Connection, address: str) -> None:
    """A server would drive runs whose history is still to come, and hold a key that is replaced."""
    for node in await living(AsyncpgDriver(connection)):
        if node.silent_s < SILENT_S:
            raise StorageError(
                f"{address} is in use by a server (pid {node.pid} on {node.host}): stop it, or wait for a minute if "
                "it was killed"
            )


async def _clear(connection: Connection, address: str) -> None:
    """Take away what every server makes for itself: the file's is to hold, or is made anew. There may be no more."""
    await connection.execute("DELETE FROM record WHERE (kind, id) IN (('secret', 'callbacks'), ('probe', 'ready'))")
    kinds = await connection.fetch("SELECT DISTINCT kind FROM record ORDER BY kind")
    held = [f"record {kind!r}" for (kind,) in kinds] + [
        table.name
        for table in TABLES
        if table.name != "record" and await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.name})")
    ]
    if held:
        raise StorageError(f"{address} holds rows of its own ({', '.join(held)}): name an empty database with --to")


async def _keep(connection: Connection, name: str, value: Any) -> None:
    await connection.execute(
        "INSERT INTO moving (name, key) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET key = excluded.key",
        name,
        msgspec.json.encode(value).decode(),
    )


# --- tables ---------------------------------------------------------------------------------------------------------


async def _copy(source: apsw.Connection, connection: Connection, table: Table) -> None:
    """The rows after the last one that is there, page by page."""
    kept = await connection.fetchval("SELECT key FROM moving WHERE name = $1", table.name)
    after = msgspec.json.decode(kept) if kept is not None else None
    for page in _pages(source, table, after):
        async with connection.transaction():
            await _insert(connection, table, page)
            await _keep(connection, table.name, page[-1][: table.keys])
    if table.numbered:
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), coalesce(max(id), 0) + 1, false) "
            f"FROM {table.name}"
        )


def _pages(source: apsw.Connection, table: Table, after: Sequence[Any] | None) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of the file in the order of their key."""
    key = ", ".join(list(table.columns)[: table.keys])
    marks = ", ".join("?" * table.keys)
    while True:
        where = f"WHERE ({key}) > ({marks})" if after is not None else ""
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} {where} ORDER BY {key} LIMIT {PAGE}"
        page = list(source.execute(sql, tuple(after or ())))
        if not page:
            return
        yield page
        after = page[-1][: table.keys]


async def _insert(connection: Connection, table: Table, page: list[tuple[Any, ...]]) -> None:
    columns = dict(table.columns)
    rows = [_typed(table, row) for row in page]
    if table.name == "run":  # what PostgreSQL keeps in columns and tables of its own
        shown = [_decode_run(row[-1]) for row in page]
        rows = [(*row, one.door, one.reason) for row, one in zip(rows, shown, strict=True)]
        columns |= {"door": _T, "reason": _T}
        series = list(table.columns).index("series")
        texts = [
            (row[0], row[series], text := searched(one), grams_of(text)) for row, one in zip(page, shown, strict=True)
        ]
        await connection.executemany(
            "INSERT INTO run_text (run, series, text, grams) VALUES ($1, $2, $3, $4::text::int[])", texts
        )
    overriding = "OVERRIDING SYSTEM VALUE" if table.numbered else ""
    places = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), 1))
    await connection.execute(
        f"INSERT INTO {table.name} ({', '.join(columns)}) {overriding} SELECT * FROM unnest({places})",
        *(list(column) for column in zip(*rows, strict=True)),
    )


def _typed(table: Table, row: Sequence[Any]) -> tuple[Any, ...]:
    """A row of SQLite, which has no booleans and takes whole numbers for fractions."""
    return tuple(
        value if value is None else bool(value) if kind == _B else float(value) if kind == _F else value
        for value, kind in zip(row, table.columns.values(), strict=True)
    )


async def _compare(source: apsw.Connection, connection: Connection, table: Table) -> Copied:
    """Raises `StorageError` when the databases do not hold the same."""
    here, there = hashlib.sha256(), hashlib.sha256()
    rows = 0
    for page in _pages(source, table, None):
        rows += len(page)
        for row in page:
            here.update(repr(_typed(table, row)).encode())
    found = 0
    async for row in _rows_of(connection, table):
        found += 1
        there.update(repr(row).encode())
    if (rows, here.digest()) != (found, there.digest()):
        raise StorageError(
            f"the table {table.name} differs: {rows} rows in the file, {found} in PostgreSQL: find out who else "
            "wrote there, and name an empty database with --to"
        )
    return Copied(table.name, rows, here.hexdigest())


async def _rows_of(connection: Connection, table: Table) -> AsyncIterator[tuple[Any, ...]]:
    key = ", ".join(list(table.columns)[: table.keys])
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {key}", prefetch=PAGE
        ):
            yield tuple(row)

"""Opening a SQLite database: is it ours, of this version, usable; and its faults as one clear sentence each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.store.sql import migrations

APPLICATION_ID: Final = 0x53574C31  # "SWL1"
BUSY_TIMEOUT_MS: Final = 2_000
CHECKPOINT_PAGES: Final = 4_000  # 16 MB of log: few checkpoints under load, a short recovery
WRITER_CACHE_KB: Final = 12_288  # a group touches the ends of tables and indexes: more is kept for nothing
READER_CACHE_KB: Final = 32_768
STATEMENTS_KEPT: Final = 200
"""Prepared statements of a connection; the writer has nine for each kind of row."""


@contextmanager
def faults_named(path: str) -> Iterator[None]:
    """Turn SQLite's errors into `StorageError`s that say what, where and what to do."""
    try:
        yield
    except apsw.FullError as fault:
        raise StorageUnavailableError(
            f"the disk that holds {path} is full: free some space, work goes on by itself",
            told="the disk of the database is full; work goes on by itself when it has space",
        ) from fault
    except apsw.ReadOnlyError as fault:
        raise StorageUnavailableError(
            f"the database {path} cannot be written: make the file and its folder writable",
            told="the database cannot be written",
        ) from fault
    except (apsw.BusyError, apsw.LockedError) as fault:
        raise StorageUnavailableError(
            f"another process keeps the database {path} locked: end it or wait",
            told="another process keeps the database locked",
        ) from fault
    except apsw.NotADBError as fault:
        raise StorageError(f"{path} is no SQLite database: name another file with --db") from fault
    except apsw.CorruptError as fault:
        raise StorageError(
            f"the database {path} is damaged ({fault}): restore it from a backup", told="the database is damaged"
        ) from fault
    except apsw.CantOpenError as fault:
        raise StorageError(
            f"the database {path} cannot be opened: does its folder exist, may you read it?"
        ) from fault
    except apsw.IOError as fault:
        raise StorageUnavailableError(
            f"the disk that holds {path} fails ({fault}): check it", told="the disk of the database fails"
        ) from fault


def connect(path: str, *, read_only: bool = False) -> apsw.Connection:
    """A connection with our settings. `path` is a file, or a `file:` URI."""
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(path, flags=flags, statementcachesize=STATEMENTS_KEPT)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    cache_kb = READER_CACHE_KB if read_only else WRITER_CACHE_KB
    connection.execute(f"PRAGMA cache_size = -{cache_kb}; PRAGMA temp_store = memory; PRAGMA mmap_size = 0")
    if read_only:
        connection.execute("PRAGMA query_only = 1")
    return connection


def prepare(connection: apsw.Connection, path: str) -> None:
    """Check whose database it is, set it up for durable writes, migrate it forward."""
    application_id = connection.execute("PRAGMA application_id").get
    tables = connection.execute("SELECT count(*) FROM sqlite_master").get
    if application_id != APPLICATION_ID and tables:
        raise StorageError(f"{path} is a database of another program: name another file with --db")
    latest = migrations("sqlite")[-1][0]
    version = connection.execute("PRAGMA user_version").get
    if version > latest:
        raise StorageError(
            f"{path} was written by a newer Stepwell (schema {version}, this one knows {latest}): upgrade Stepwell"
        )
    connection.execute("PRAGMA journal_mode = wal")  # alone: apsw stops at the first statement that returns a row
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute("PRAGMA synchronous = full")  # no commit is acknowledged before it is on disk
    if version < latest:
        _migrate(connection)


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """All or nothing; for a reader, one unchanging view of the database."""
    with connection:
        yield


def _migrate(connection: apsw.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:  # another process may have been first, so the version is read inside the transaction
        version = connection.execute("PRAGMA user_version").get
        for number, text in migrations("sqlite"):
            if number > version:
                connection.execute(text)
                connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite has rolled back already
            connection.execute("ROLLBACK")
        raise


def check_folder(path: str) -> None:
    """Refuse a path whose folder does not exist, before SQLite says something vague."""
    if path.startswith("file:") or path == ":memory:":
        return
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise StorageError(f"the folder {folder} does not exist: create it, or name another file with --db")
    if Path(path).is_dir():
        raise StorageError(f"{path} is a folder: name a file with --db")
    if Path(path).exists() and not os.access(path, os.W_OK):
        raise StorageError(f"the database {path} cannot be written: make the file and its folder writable")

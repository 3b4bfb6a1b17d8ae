"""A PostgreSQL that cannot be used is one clear sentence at the start; one that goes away is a passing fault."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.store.port import RunQuery
from stepwell.store.postgres import PostgresStore, preparing

from .server import new_database, server


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def _refusal(url: str) -> str:
    """What is said when a store cannot be opened."""
    store = PostgresStore(url)
    with pytest.raises(StorageError) as caught:
        await store.open()
    await store.close()
    return str(caught.value)


def _as(user: str, url: str) -> str:
    return url.replace("postgres:@", f"{user}:@")


async def test_server_that_is_not_there() -> None:
    said = await _refusal("postgresql://nobody@127.0.0.1:9/none")
    assert said.startswith("PostgreSQL at 127.0.0.1:9/none cannot be reached (")


async def test_database_that_does_not_exist() -> None:
    said = await _refusal(str(server().get_uri(database="missing")))
    assert "there is no database" in said
    assert "createdb" in said


async def test_database_that_can_only_be_read() -> None:
    url = new_database()
    name = url.partition("@/")[2].partition("?")[0]
    await _execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "can only be read" in await _refusal(url)


async def test_user_without_permission() -> None:
    url = new_database()
    await _execute(url, "CREATE ROLE guest LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert "lacks a permission" in await _refusal(_as("guest", url))


async def test_database_of_another_program() -> None:
    url = new_database()
    await _execute(url, "CREATE TABLE run (distance_km int)")
    assert "is a database of another program" in await _refusal(url)


async def test_database_of_a_newer_version() -> None:
    url = new_database()
    store = PostgresStore(url)
    await store.open()
    await store.close()
    await _execute(url, "UPDATE stepwell_schema SET version = 999")
    assert "was written by a newer Stepwell (schema 999" in await _refusal(url)


async def test_server_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "OLDEST_SERVER", 99)
    assert "99 or newer is needed" in await _refusal(new_database())


async def test_pool_that_loses_what_is_listened_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PgBouncer does in transaction mode: LISTEN is accepted, and nothing is ever heard."""
    monkeypatch.setattr(preparing, "ANSWER_WITHIN_S", 0.1)
    monkeypatch.setattr(preparing, "CHECK_NOTICE", "SELECT $1::text")
    assert "PgBouncer's transaction mode" in await _refusal(new_database())


async def test_lost_connections_are_a_passing_fault() -> None:
    url = new_database()
    store = PostgresStore(url)
    await store.open()
    assert await store.list_runs(RunQuery()) == []
    await _execute(
        str(server().get_uri()),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stepwell' "
        f"AND datname = '{url.partition('@/')[2].partition('?')[0]}'",
    )
    with suppress(StorageUnavailableError):  # once, where the loss was not noticed before
        await store.list_runs(RunQuery())
    assert await store.list_runs(RunQuery()) == []
    async with asyncio.timeout(60):  # what it heard meanwhile may be lost: it says so
        while await store.changed_outside() != ["*"]:  # noqa: ASYNC110  # the store is to be asked
            await asyncio.sleep(0.05)
    await store.close()

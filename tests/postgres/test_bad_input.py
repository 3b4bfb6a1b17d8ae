"""A PostgreSQL that cannot be used is one clear sentence at the start; one that goes away is a passing fault."""

import asyncio
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cli.commands import Shell
from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.store.model import RunQuery
from stepwell.store.postgres import PostgresStore, connection, preparing

from .nodes import PATIENCE_S, node, nodes
from .pooler import pgbouncer
from .server import execute, name_of, new_database, server
from .wire import Wire


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


@pytest.mark.parametrize(
    "address", ["localhost:abc/db", "localhost:0/db", "localhost:65536/db", "a:5432,b:abc/db", "[::1/db", "::1/db"]
)
async def test_address_that_is_none(address: str) -> None:
    with pytest.raises(StorageError) as caught:
        PostgresStore(f"postgresql://ann:secret@{address}?connect_timeout=3")
    assert str(caught.value).startswith(f"'{address}' is no address of a PostgreSQL database: expected postgresql://")


@pytest.mark.parametrize("password", ["se/cret", "se#cret", "se?cret", "se[cret"])
async def test_password_with_an_unexpected_character_is_not_shown(password: str) -> None:
    with pytest.raises(StorageError, match="in a password %2F for /") as caught:
        PostgresStore(f"postgresql://ann:{password}@localhost/db")
    assert not {"se", "cret", password} & set(re.findall(r"\w+", str(caught.value)))


@pytest.mark.parametrize(
    "arguments",
    [("serve", "--db"), ("runs", "list", "--db"), ("migrate", "--from", "sqlite:///old.db", "--to")],
    ids=["serve", "runs list", "migrate"],
)
def test_port_that_is_no_number(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    sentence = Shell(tmp_path).run(*arguments, "postgresql://localhost:abc/db").sentence
    assert sentence.startswith("stepwell: 'localhost:abc/db' is no address of a PostgreSQL database: expected ")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://", "localhost:5432"),
        ("postgresql://ann:secret@db.example/runs", "db.example:5432/runs"),
        ("postgresql://ann@a:1,[::1]:2,[::1]/runs", "a:1,[::1]:2,[::1]:5432/runs"),
        ("postgresql://ann@/runs?host=/sockets/a:b", "/sockets/a:b:5432/runs"),
    ],
)
def test_address_is_where_the_database_is(url: str, address: str) -> None:
    assert PostgresStore(url).address == address


async def test_database_that_does_not_exist() -> None:
    said = await _refusal(str(server().get_uri(database="missing")))
    assert "there is no database" in said
    assert "createdb" in said


async def test_database_that_can_only_be_read() -> None:
    url = new_database()
    await execute(url, f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    assert "can only be read" in await _refusal(url)


async def test_user_without_permission() -> None:
    url = new_database()
    await execute(url, "CREATE ROLE guest LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert "lacks a permission" in await _refusal(_as("guest", url))


async def test_database_of_another_program() -> None:
    url = new_database()
    await execute(url, "CREATE TABLE run (distance_km int)")
    assert "is a database of another program" in await _refusal(url)


async def test_database_of_a_newer_version() -> None:
    url = new_database()
    store = PostgresStore(url)
    await store.open()
    await store.close()
    await execute(url, "UPDATE stepwell_schema SET version = 999")
    assert "was written by a newer Stepwell (schema 999" in await _refusal(url)


async def test_server_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "OLDEST_SERVER", 99)
    assert "99 or newer is needed" in await _refusal(new_database())


async def test_pool_that_gives_each_transaction_another_session(tmp_path: Path) -> None:
    with pgbouncer(new_database(), tmp_path, mode="transaction") as url:
        assert "PgBouncer's transaction mode" in await _refusal(url)


async def test_pool_in_session_mode_is_as_good_as_none(tmp_path: Path) -> None:
    with pgbouncer(new_database(), tmp_path, mode="session") as url:
        async with nodes(node(url), node(url, drive=False)) as (driving, beside):
            run_id = (await beside.start("at_once", 7)).run_id
            assert (await driving.result(run_id, timeout_s=PATIENCE_S)).output == 7


async def test_user_who_may_only_read() -> None:
    url = new_database()
    async with nodes(node(url)):
        pass
    await execute(url, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", "GRANT pg_read_all_data TO reader")
    app = node(_as("reader", url))
    with pytest.raises(StorageError, match="lacks a permission"):
        await app.open()


@pytest.mark.parametrize(
    ("apart", "said"), [(-3600, "3600 s behind"), (60, "60 s ahead of")], ids=["behind", "ahead"]
)
async def test_clock_that_differs_from_the_databases(apart: float, said: str) -> None:
    store = PostgresStore(new_database(), now=lambda: time.time() + apart)
    with pytest.raises(StorageUnavailableError, match=f"the clock of this machine is {said} the database's"):
        await store.open()
    await store.close()


async def test_lost_connections_are_a_passing_fault() -> None:
    url = new_database()
    store = PostgresStore(url)
    await store.open()
    assert await store.list_runs(RunQuery()) == []
    await execute(
        str(server().get_uri()),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stepwell' "
        f"AND datname = '{name_of(url)}'",
    )
    with suppress(StorageUnavailableError):  # once, where the loss was not noticed before
        await store.list_runs(RunQuery())
    assert await store.list_runs(RunQuery()) == []
    async with asyncio.timeout(60):  # what it heard meanwhile may be lost: it says so
        while await store.changed_outside() != ["*"]:  # noqa: ASYNC110  # the store is to be asked
            await asyncio.sleep(0.05)
    await store.close()


async def test_server_that_does_not_answer_is_waited_for_once_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 1.0)
    async with Wire(new_database()).laid() as wire:
        line = connection.Line(wire.url, {}, set())
        wire.cut()
        found = await asyncio.gather(*(_asked(line) for _ in range(10)), return_exceptions=True)
        assert [type(one) for one in found] == [StorageUnavailableError] * 10
        assert re.match(
            r"PostgreSQL at 127\.0\.0\.1:\d+/\w+ does not answer: check it and its network", str(found[-1])
        )
        assert wire.connections == 1
        wire.mend()
        await _asked(line)
        await line.close()


async def _asked(line: connection.Line) -> None:
    with connection.faults_named(connection.address_of(line._url)):
        async with line.use() as used:
            await used.execute("SELECT")


async def test_of_several_hosts_the_one_that_can_be_written_to_is_used() -> None:
    async with Wire(new_database()).laid() as wire:
        url = f"{wire.url.replace('@', '@127.0.0.1:9,')}?target_session_attrs=read-write"
        async with nodes(node(url)) as (engine,):
            assert (await engine.run("at_once", 7, timeout_s=PATIENCE_S)).output == 7

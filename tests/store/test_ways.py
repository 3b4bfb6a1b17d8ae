"""Several ways lead to a page on PostgreSQL, and a listing takes the shortest: here each of them is walked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postgres.server import emptied_database
from stepwell.store.model import RunQuery
from stepwell.store.postgres import PostgresStore, finding

from .listed import FILTERS, two_hundred


@pytest.fixture
async def store() -> AsyncIterator[PostgresStore]:
    store = PostgresStore(emptied_database())
    await store.open()
    yield store
    await store.close()


async def test_each_way_to_a_page_finds_it(store: PostgresStore) -> None:
    rows = await two_hundred(store)
    for query, wanted in FILTERS:
        expected = [run.run_id for run in rows if wanted(run)]
        assert await walked(store, RunQuery(**query), piece=7) == expected
        assert await walked(store, RunQuery(**query), piece=1_000) == expected
        behind = [one for one in expected if one < rows[50].run_id]
        assert await walked(store, RunQuery(before=rows[50].run_id, **query), piece=30) == behind


async def walked(store: PostgresStore, query: RunQuery, *, piece: int) -> list[str]:
    """What the ways to a page find, each walked to its end; they must agree."""
    answers: list[list[str]] = []
    async with store._querying.use() as connection:
        for way in (await finding._Finder.of(connection, query)).ways():
            while not way.ended:
                way.price = 0.0  # as if it were worth it
                await way.walk(connection, piece)
            names: dict[int, Any] = dict(
                await connection.fetch("SELECT id, uuid FROM run WHERE id = ANY ($1)", way.found)
            )
            answers.append([names[number] for number in way.found])
    assert all(answer == answers[0] for answer in answers), query
    return answers[0]

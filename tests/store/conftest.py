"""The stores under test: each is one entry of `STORES`, a function from a folder to a fresh, unopened store.

A second database is one more entry; every test of the conformance suite runs over all of them.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from postgres.server import emptied_database
from stepwell.store.port import Store
from stepwell.store.postgres import PostgresStore
from stepwell.store.spread import SpreadStore
from stepwell.store.sqlite import SqliteStore

MakeStore = Callable[[], Store]
"""Another store on the same database each time it is called."""

STORES: dict[str, Callable[[Path], MakeStore]] = {
    "sqlite": lambda folder: lambda: SqliteStore(str(folder / "runs.db")),
    "postgres": lambda folder: _on_postgres(),  # noqa: ARG005
    "spread": lambda folder: _spread(folder),  # noqa: PLW0108  # it is defined below
}


def _on_postgres() -> MakeStore:
    url = emptied_database()
    return lambda: PostgresStore(url)


def _spread(folder: Path) -> MakeStore:
    """Two databases as one: what is asked is what merging and numbering do, so the quicker ones will do."""
    paths = [str(folder / f"{n}.db") for n in range(2)]
    return lambda: SpreadStore([SqliteStore(path) for path in paths])


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    return STORES[request.param](tmp_path)


@pytest.fixture
async def store(make_store: MakeStore) -> AsyncIterator[Store]:
    store = make_store()
    await store.open()
    yield store
    await store.close()

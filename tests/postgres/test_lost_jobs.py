"""Jobs that were lost are missed: part by part as long as none is, at once where one was."""

from collections.abc import AsyncIterator

import pytest

from stepwell.dispatch.pgqueuer import PgQueuerJobs
from stepwell.store.postgres import PostgresStore
from stepwell.store.postgres import store as stores
from store.batches import T0, create, creation

from .server import execute, new_database

RUNS = 7
PART = 2
ALL = 2**62
IDS = [f"run {number}" for number in range(RUNS)]


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostgresStore]:
    """One with live runs, each with its job; `PART` of them are looked at at a time."""
    monkeypatch.setattr(stores, "LOOKED_AT", PART)
    store = PostgresStore(new_database(), jobs=PgQueuerJobs())
    await store.open()
    await create(store, *(creation(run_id) for run_id in IDS))
    yield store
    await store.close()


async def _missed(store: PostgresStore, *, limit: int = 100, after: int = 0) -> list[str]:
    return [run_id for _, run_id in await store.wanted(T0, limit, after)]


async def test_lost_job_is_missed_within_a_round(store: PostgresStore) -> None:
    await execute(store.url, "DELETE FROM pgqueuer WHERE dedupe_key LIKE 'run 3:%'")
    found = [await _missed(store) for _ in range(8)]
    assert found == [[], ["run 3"], [], [], ["run 3"], [], [], ["run 3"]]  # the part after it is looked at with it


async def test_all_jobs_lost_are_missed_at_once(store: PostgresStore) -> None:
    await execute(store.url, "TRUNCATE pgqueuer")
    assert await _missed(store) == IDS


async def test_all_jobs_lost_are_missed_page_by_page(store: PostgresStore) -> None:
    await execute(store.url, "TRUNCATE pgqueuer")
    pages = [await store.wanted(T0, 3)]
    while len(pages[-1]) == 3:
        pages.append(await store.wanted(T0, 3, pages[-1][-1][0]))
    assert [run_id for page in pages for _, run_id in page] == IDS


async def test_looking_for_due_timers_only_does_not_end_a_round(store: PostgresStore) -> None:
    await execute(store.url, "DELETE FROM pgqueuer WHERE dedupe_key LIKE 'run 3:%'")
    assert await _missed(store) == []
    assert await _missed(store, after=ALL) == []
    assert await _missed(store) == ["run 3"]


async def test_run_that_was_handed_out_again_is_not_missed_any_more(store: PostgresStore) -> None:
    await execute(store.url, "TRUNCATE pgqueuer")
    await store.hand_out(await _missed(store), 1)
    assert [await _missed(store) for _ in range(4)] == [[]] * 4

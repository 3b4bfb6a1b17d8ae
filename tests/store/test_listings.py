"""What every store must do with listings: filters, pages and totals, equal to what a walk over all runs finds."""

from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest

from stepwell.core.status import Status, WaitReason
from stepwell.engine.ids import new_id
from stepwell.store.model import CountQuery, RunQuery, RunRow
from stepwell.store.port import Store

from .batches import DAY, T0, append, create, creation, ids, row_of
from .listed import FILTERS, two_hundred


@pytest.fixture
async def rows(store: Store) -> list[RunRow]:
    return await two_hundred(store)


@pytest.mark.parametrize(("query", "wanted"), FILTERS, ids=[str(query) for query, _ in FILTERS])
async def test_filter_finds_exactly_what_it_says(
    store: Store, rows: list[RunRow], query: dict[str, Any], wanted: Any
) -> None:
    expected = [run for run in rows if wanted(run)]
    assert await store.list_runs(RunQuery(limit=1000, **query)) == expected
    assert await store.count_found(RunQuery(**query), 1000) == len(expected)
    assert await store.count_found(RunQuery(limit=1, before=rows[50].run_id, **query), 7) == min(7, len(expected))


@pytest.mark.parametrize(("query", "wanted"), FILTERS, ids=[str(query) for query, _ in FILTERS])
async def test_pages_put_together_are_the_listing(
    store: Store, rows: list[RunRow], query: dict[str, Any], wanted: Any
) -> None:
    expected = [run.run_id for run in rows if wanted(run)]
    found: list[str] = []
    before: str | None = None
    while page := await store.list_runs(RunQuery(limit=7, before=before, **query)):
        found += ids(page)
        before = page[-1].run_id
    assert found == expected
    by_number = [run for at in range(0, 200, 20) for run in await store.list_runs(RunQuery(offset=at, **query))]
    assert ids(by_number) == expected


async def test_run_is_found_by_its_id(store: Store, rows: list[RunRow]) -> None:
    wanted = rows[42].run_id
    assert wanted in ids(await store.list_runs(RunQuery(search=wanted)))
    assert wanted in ids(await store.list_runs(RunQuery(search=wanted[3:20].upper(), limit=1000)))


async def test_page_after_an_unknown_run_is_empty(store: Store, rows: list[RunRow]) -> None:
    assert rows
    assert await store.list_runs(RunQuery(before="unknown")) == []


async def test_bounds_of_time_are_exact_within_a_millisecond(store: Store) -> None:
    at = T0 + 0.000_2
    await create(store, creation(new_id(at), at=at))
    found = [
        len(await store.list_runs(RunQuery(**{bound: T0 + offset_s})))  # type: ignore[arg-type]
        for bound in ("created_from", "created_to")
        for offset_s in (0.000_1, 0.000_4)
    ]
    assert found == [1, 0, 0, 1]


async def test_totals_equal_the_listing(store: Store, rows: list[RunRow]) -> None:
    assert await store.count_runs(CountQuery()) == Counter((run.workflow, run.status) for run in rows)
    anna = Counter((run.workflow, run.status) for run in rows if run.owner == "anna" and run.workflow == "order")
    assert await store.count_runs(CountQuery(owner="anna", workflow="order")) == anna
    first = [run for run in rows if run.created_at < 1_750_032_000]  # midnight after T0, UTC
    assert await store.count_runs(CountQuery(to_day=DAY)) == Counter((run.workflow, run.status) for run in first)
    later = await store.count_runs(CountQuery(from_day="2025-06-16"))
    assert sum(later.values()) == len(rows) - len(first)


@pytest.mark.parametrize("named", ["order", "ÄRGER", "%", "_", "e", "nothing"])
@pytest.mark.parametrize("owner", [None, "anna"])
async def test_totals_of_a_name_equal_the_listing(
    store: Store, rows: list[RunRow], named: str, owner: str | None
) -> None:
    found = [run for run in rows if named.lower() in run.workflow_name.lower() and owner in (None, run.owner)]
    assert await store.count_runs(CountQuery(owner=owner, named=named)) == Counter(
        (run.workflow, run.status) for run in found
    )
    day = await store.count_runs(CountQuery(owner=owner, named=named, to_day=DAY))
    assert sum(day.values()) == sum(run.created_at < 1_750_032_000 for run in found)


async def test_hundreds_of_series_are_listed_in_order(store: Store) -> None:
    rng = Random(3)
    made = [
        creation(
            new_id(T0 + n), at=T0 + n, owner="anna", door=rng.choice("ab"),
            workflow=f"w{rng.randrange(300)}" if n % 1_000 < 900 else "w17",  # now and then one has all the newest
            status=rng.choice((Status.RUNNING, Status.COMPLETED)), seq=1,
        )
        for n in range(3_000)
    ]  # fmt: skip
    await create(store, *made)
    rows = [batch.row for batch in reversed(made) if batch.row is not None]
    for query, wanted in (
        (RunQuery(named="W1"), [run for run in rows if run.workflow.startswith("w1")]),
        (RunQuery(named="w", door="a"), [run for run in rows if run.door == "a"]),
    ):
        for offset, limit in ((0, 10), (90, 10), (500, 100), (0, 5_000)):
            page = await store.list_runs(msgspec.structs.replace(query, offset=offset, limit=limit))
            assert page == wanted[offset : offset + limit]


async def test_totals_follow_every_change_of_status(store: Store, rows: list[RunRow]) -> None:
    (run,) = await create(store, creation("new", owner="carl"))
    changes = [Status.WAITING, Status.RUNNING, Status.PAUSED, Status.RUNNING, Status.COMPLETED]
    was = Status.RUNNING
    for seq, status in enumerate(changes, 1):
        batch = append(run, "new", seq)
        batch.row, batch.was = row_of("new", owner="carl", status=status), was
        await store.commit([batch])
        was = status
        assert await store.count_runs(CountQuery(owner="carl")) == {("order", str(status)): 1}
    listed = Counter((run.workflow, run.status) for run in await store.list_runs(RunQuery(limit=1000)))
    assert await store.count_runs(CountQuery()) == listed
    assert len(rows) == 200


async def test_row_shows_seq_step_and_attempts_of_the_last_commit(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1, events=3, step="/do/7", attempts=5)])
    (row,) = await store.list_runs(RunQuery())
    assert (row.seq, row.step, row.attempts) == (4, "/do/7", 5)


@pytest.mark.parametrize("owner", [None, "anna", "nobody"])
async def test_waiting_runs_are_counted_by_what_they_wait_for(
    store: Store, rows: list[RunRow], owner: str | None
) -> None:
    waiting = [run for run in rows if run.status is Status.WAITING and owner in (None, run.owner)]
    counts = Counter(run.reason for run in waiting)
    assert await store.count_waiting(owner) == {reason: counts[reason] for reason in WaitReason}

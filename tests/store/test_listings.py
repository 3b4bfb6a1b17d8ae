# ruff: noqa: ARG005  # some filters look at no run
"""What every store must do with listings: filters, pages and totals, equal to what a walk over all runs finds."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from stepwell.core.status import TERMINAL, Status
from stepwell.engine.ids import new_id
from stepwell.store.port import CountQuery, RunQuery, RunRow, Store

from .batches import DAY, T0, append, create, creation, ids, row_of

WORKFLOWS = ("order", "Report", "invoice_daily")
COLOURS = ("red", "Blue", "dark green")


@pytest.fixture
async def rows(store: Store) -> list[RunRow]:
    """Two hundred runs of all kinds, newest first."""
    rng = Random(7)
    made = []
    for n in range(200):
        at = T0 + n * 977.0
        status = rng.choice(list(Status))
        batch = creation(
            new_id(at), at=at, status=status, owner=rng.choice(("anna", "bert", "")), workflow=rng.choice(WORKFLOWS),
            door=rng.choice(("runs", "agents")), parent_id=rng.choice((None, "parent-1")),
            labels={"colour": rng.choice(COLOURS)}, ended_at=at + 5 if status in TERMINAL else None, seq=1,
        )  # fmt: skip
        assert batch.row is not None
        made.append(batch)
    await create(store, *made)
    return [batch.row for batch in reversed(made) if batch.row is not None]


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda run: True),
    ({"owner": "anna"}, lambda run: run.owner == "anna"),
    ({"owner": ""}, lambda run: run.owner == ""),
    ({"owner": "nobody"}, lambda run: False),
    ({"workflows": ("order", "Report")}, lambda run: run.workflow in ("order", "Report")),
    ({"statuses": (Status.FAILED, Status.WAITING)}, lambda run: run.status in (Status.FAILED, Status.WAITING)),
    ({"owner": "bert", "workflows": ("order",), "statuses": (Status.PAUSED, Status.FAILED)},
     lambda run: run.owner == "bert" and run.workflow == "order" and run.status in (Status.PAUSED, Status.FAILED)),
    ({"door": "runs"}, lambda run: run.door == "runs"),
    ({"parent_id": "parent-1"}, lambda run: run.parent_id == "parent-1"),
    ({"created_from": T0 + 100_000}, lambda run: run.created_at >= T0 + 100_000),
    ({"created_to": T0 + 50_000}, lambda run: run.created_at < T0 + 50_000),
    ({"created_from": T0 + 977.0, "created_to": T0 + 3 * 977.0}, lambda run: 977 <= run.created_at - T0 < 3 * 977),
    ({"search": "invoice"}, lambda run: run.workflow == "invoice_daily"),
    ({"search": "REPORT"}, lambda run: run.workflow == "Report"),
    ({"search": "blue"}, lambda run: run.labels["colour"] == "Blue"),
    ({"search": "k gre"}, lambda run: run.labels["colour"] == "dark green"),
    ({"search": "green", "owner": "anna", "statuses": (Status.COMPLETED,)},
     lambda run: run.labels["colour"] == "dark green" and run.owner == "anna" and run.status is Status.COMPLETED),
    ({"search": "red", "workflows": ("order",)},
     lambda run: run.workflow == "order" and run.labels["colour"] == "red"),
    ({"search": "or"}, lambda run: run.workflow in ("order", "Report")),
    ({"search": "no such thing"}, lambda run: False),
    ({"search": '"; DROP'}, lambda run: False),
    ({"owner": "anna", "search": "order", "created_from": T0 + 50_000, "door": "agents"},
     lambda run: run.owner == "anna" and run.workflow == "order" and run.created_at >= T0 + 50_000
     and run.door == "agents"),
]  # fmt: skip


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

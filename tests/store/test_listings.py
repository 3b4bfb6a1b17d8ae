# ruff: noqa: ARG005  # some filters look at no run
"""What every store must do with listings: filters, pages and totals, equal to what a walk over all runs finds."""

from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest

from stepwell.core.status import TERMINAL, Status, WaitReason
from stepwell.engine.ids import new_id
from stepwell.store.port import NAME_LABEL, CountQuery, RunQuery, RunRow, Store
from stepwell.store.postgres import PostgresStore

from .batches import DAY, T0, append, create, creation, ids, row_of

WORKFLOWS = ("order", "Report", "invoice_daily")
NAMES = (None, "Order intake", "100% ÄRGER", "a_b")
COLOURS = ("red", "Blue", "dark green")


def labels_of(rng: Random) -> dict[str, str]:
    """A colour, and for some the name that the workflow had."""
    name = rng.choice(NAMES)
    return {"colour": rng.choice(COLOURS)} | ({NAME_LABEL: name} if name else {})


@pytest.fixture
async def rows(store: Store) -> list[RunRow]:
    """Two hundred runs of all kinds, newest first."""
    rng, reasons = Random(7), Random(8)
    made = []
    for n in range(200):
        at = T0 + n * 977.0
        status = rng.choice(list(Status))
        batch = creation(
            new_id(at), at=at, status=status, owner=rng.choice(("anna", "bert", "")), workflow=rng.choice(WORKFLOWS),
            door=rng.choice(("runs", "agents")), parent_id=rng.choice((None, "parent-1")),
            labels=labels_of(rng), ended_at=at + 5 if status in TERMINAL else None, seq=1,
            reason=reasons.choice(list(WaitReason)) if status is Status.WAITING else None,
        )  # fmt: skip
        assert batch.row is not None
        made.append(batch)
    await create(store, *made)
    if isinstance(
        store, PostgresStore
    ):  # it looks up a text by its rarest trigrams, as far as it knows which they are
        async with store._writing.use() as connection:
            await connection.execute("ANALYZE run_text")
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
    ({"reasons": (WaitReason.APPROVAL,)}, lambda run: run.reason in (None, "approval")),
    ({"statuses": (Status.WAITING, Status.FAILED), "reasons": (WaitReason.APPROVAL, WaitReason.TIMER)},
     lambda run: run.status is Status.FAILED or run.reason in ("approval", "timer")),
    ({"owner": "anna", "statuses": (Status.WAITING, Status.PAUSED), "reasons": (WaitReason.CALLBACK,)},
     lambda run: run.owner == "anna" and (run.status is Status.PAUSED or run.reason == "callback")),
    ({"owner": "anna", "statuses": (Status.PAUSED,), "reasons": (WaitReason.CALLBACK,)},
     lambda run: run.owner == "anna" and run.status is Status.PAUSED),
    ({"workflows": ("order",), "reasons": (WaitReason.CHILD,), "statuses": (Status.WAITING,)},
     lambda run: run.workflow == "order" and run.reason == "child"),
    ({"origins": ("child",)}, lambda run: run.parent_id is not None),
    ({"origins": ("runs",)}, lambda run: run.parent_id is None and run.door == "runs"),
    ({"origins": ("agents", "child"), "owner": "bert"},
     lambda run: run.owner == "bert" and (run.parent_id is not None or run.door == "agents")),
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
    ({"search": "rt"}, lambda run: run.workflow == "Report"),
    ({"named": "ORDER"}, lambda run: "order" in run.workflow_name.lower()),
    ({"named": "ärger"}, lambda run: run.workflow_name == "100% ÄRGER"),
    ({"named": "%"}, lambda run: "%" in run.workflow_name),
    ({"named": "a_b"}, lambda run: run.workflow_name == "a_b"),
    ({"named": "_"}, lambda run: "_" in run.workflow_name),
    ({"named": "e"}, lambda run: "e" in run.workflow_name.lower()),
    ({"named": "order", "owner": "anna", "workflows": ("Report", "order"), "statuses": (Status.FAILED,)},
     lambda run: "order" in run.workflow_name.lower() and run.owner == "anna"
     and run.workflow in ("Report", "order") and run.status is Status.FAILED),
    ({"named": "order", "door": "runs"}, lambda run: "order" in run.workflow_name.lower() and run.door == "runs"),
    ({"named": "order", "search": "green"},
     lambda run: "order" in run.workflow_name.lower() and "green" in run.labels["colour"]),
    ({"named": "nothing like it"}, lambda run: False),
    ({"search": "no such thing"}, lambda run: False),
    ({"search": '"; DROP'}, lambda run: False),
    ({"owner": "anna", "search": "order", "created_from": T0 + 50_000, "door": "agents"},
     lambda run: run.owner == "anna" and "order" in f"{run.workflow} {run.workflow_name}".lower()
     and run.created_at >= T0 + 50_000 and run.door == "agents"),
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

"""What every store must do with runs: create, append, refuse what is late, and read back what was written."""

import asyncio
from typing import Any, Literal

import msgspec
import pytest

from stepwell.core import history as h
from stepwell.core.status import Status
from stepwell.store.model import CONFLICT, ApprovalQuery, Batch, Committed, CountQuery, Exists, RunQuery, StreamItem
from stepwell.store.port import Store
from stepwell.store.spread import SpreadStore

from .batches import T0, append, asked, create, creation, ids, labels, outbox, row_of, with_items
from .conftest import MakeStore

# --- create, append, conflict ---------------------------------------------------------------------------------------


async def test_created_run_is_read_back(store: Store) -> None:
    (run,) = await create(store, creation("a", events=2))
    (loaded,) = await store.load(["a"])
    assert (loaded.run, loaded.run_id, loaded.seq, loaded.live, loaded.next_item) == (run, "a", 2, True, 1)
    assert await labels(store, "a") == ["event 1", "event 2"]


async def test_appended_events_follow_in_order(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    assert await store.commit([append(run, "a", 1, events=3)]) == [Committed(run)]
    assert await labels(store, "a") == [f"event {n}" for n in range(1, 5)]
    assert await labels(store, "a", 2) == ["event 3", "event 4"]


async def test_group_of_thousands_is_written_whole_or_loses_only_what_conflicts(store: Store) -> None:
    number = 2_500  # more values than one statement of SQLite takes
    run_ids = [f"r{n}" for n in range(number)]
    runs = await create(store, *(creation(run_id) for run_id in run_ids))
    assert len(set(runs)) == number
    both = list(zip(runs, run_ids, strict=True))
    results = await store.commit([append(run, run_id, 1, timers={"t": T0}) for run, run_id in both])
    assert results == [Committed(run) for run in runs]
    late = {0, 1_234, number - 1}  # these say that they follow an event which is not there
    results = await store.commit(
        [append(run, run_id, 2 + (n in late), timers={"t": None}, live=False) for n, (run, run_id) in enumerate(both)]
    )
    assert results == [CONFLICT if n in late else Committed(run) for n, run in enumerate(runs)]
    assert {n for n, loaded in enumerate(await store.load(run_ids)) if loaded.seq == 2} == late
    assert {run_id for _, run_id in await store.wanted(T0, number)} == {run_ids[n] for n in late}


async def test_page_of_events_starts_within_a_row(store: Store) -> None:
    (run,) = await create(store, creation("a", events=3))
    for base in range(3, 9, 2):
        await store.commit([append(run, "a", base, events=2)])
    for after in range(10):
        assert await labels(store, "a", after) == [f"event {n}" for n in range(after + 1, 10)]
        page = await labels(store, "a", after, 1)
        assert page == [f"event {n}" for n in range(after + 1, after + 1 + len(page))]
        assert page or after == 9


async def test_ends_of_histories_are_read_together(store: Store) -> None:
    *_, long = await create(store, creation("one row", events=3), creation('é "'), creation("long"))
    for base in range(1, 7, 2):
        await store.commit([append(long, "long", base, events=2)])
    ends = await store.ends(["long", "nobody", "one row", 'é "'])
    found = {
        run_id: [e.label for e in (both.first, both.last) if isinstance(e, h.SnapshotTaken)]
        for run_id, both in ends.items()
    }
    assert found == {
        "one row": ["event 1", "event 3"],
        'é "': ["event 1", "event 1"],
        "long": ["event 1", "event 7"],
    }
    assert await store.ends([]) == {}


async def test_unknown_runs_are_not_loaded(store: Store) -> None:
    await create(store, creation("a"))
    assert [loaded.run_id for loaded in await store.load(["x", "a", "y"])] == ["a"]
    assert await store.events("x", 0, 10) == []
    assert await store.stream("x", 0, 10) == []


async def test_batch_on_an_old_seq_is_a_conflict_and_writes_nothing(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1)])
    late = append(run, "a", 1, timers={"t": T0}, outbox=[outbox("x")])
    late.row, late.was = row_of("a", status=Status.FAILED), Status.RUNNING
    assert await store.commit([late]) == [CONFLICT]
    assert await labels(store, "a") == ["event 1", "event 2"]
    assert await store.next_due() is None
    assert await store.take_outbox(T0, 9) == []
    assert await store.count_runs(CountQuery()) == {("order", "running"): 1}


async def test_conflict_in_a_group_fails_only_its_own_run(store: Store) -> None:
    runs = await create(store, *(creation(name) for name in "abc"))
    await store.commit([append(runs[1], "b", 1)])
    results = await store.commit([append(run, name, 1, events=2) for run, name in zip(runs, "abc", strict=True)])
    assert results == [Committed(runs[0]), CONFLICT, Committed(runs[2])]
    assert [len(await store.events(name, 0, -1)) for name in "abc"] == [3, 2, 3]


async def test_steps_and_other_changes_share_a_group(store: Store) -> None:
    runs = await create(store, *(creation(name) for name in "abcd"))
    await store.commit([append(runs[2], "c", 1)])
    group = [append(run, name, 1, attempts=7) for run, name in zip(runs, "abcd", strict=True)]
    group[1].row, group[1].was = row_of("b", status=Status.PAUSED), Status.RUNNING
    group.insert(1, creation("e"))
    results = await store.commit(group)
    assert results[0] == Committed(runs[0])
    assert isinstance(results[1], Committed)
    assert results[2:] == [Committed(runs[1]), CONFLICT, Committed(runs[3])]
    assert [len(await store.events(name, 0, -1)) for name in "abcde"] == [2, 2, 2, 2, 1]
    rows = {row.run_id: row for row in await store.list_runs(RunQuery())}
    assert [rows[name].attempts for name in "abcde"] == [7, 7, 1, 7, 0]


async def test_steps_keep_keys_of_any_letters(store: Store) -> None:
    keys = ['/do/0/"quoted"', "/back\\slash", "/braces{,}", "/ümlaut/日本", "", "NULL", " blank ", "'"]
    runs = await create(store, *(creation(str(n)) for n in range(len(keys))))
    await store.commit([append(run, str(n), 1, step=keys[n]) for n, run in enumerate(runs)])
    rows = {row.run_id: row for row in await store.list_runs(RunQuery())}
    assert [rows[str(n)].step for n in range(len(keys))] == keys


async def test_conflict_is_noticed_whatever_the_batch_holds(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1)])
    with_row = append(run, "a", 1)
    with_row.row, with_row.was = row_of("a", status=Status.PAUSED), Status.RUNNING
    parking = append(run, "a", 1, events=0, live=False)
    assert await store.commit([with_row]) == [CONFLICT]
    assert await store.commit([parking]) == [CONFLICT]
    assert (await store.load(["a"]))[0].live


async def test_racing_writers_of_one_seq_have_one_winner(store: Store, make_store: MakeStore) -> None:
    (run,) = await create(store, creation("a"))
    other = make_store()
    await other.open()
    for seq in range(1, 21):
        results = await asyncio.gather(*(each.commit([append(run, "a", seq)]) for each in (store, other)))
        assert sorted(result == [CONFLICT] for result in results) == [False, True]
    await other.close()
    assert len(await store.events("a", 0, -1)) == 21


async def test_empty_commit_is_nothing(store: Store) -> None:
    assert await store.commit([]) == []


# --- start keys and ids ---------------------------------------------------------------------------------------------


async def test_start_key_starts_one_run_for_each_owner(store: Store) -> None:
    await create(store, creation("a", start_key="k", owner="anna"))
    assert await store.commit([creation("b", start_key="k", owner="anna")]) == [Exists("a")]
    await create(store, creation("c", start_key="k", owner="bert"), creation("d", owner="anna"))
    assert ids(await store.list_runs(RunQuery())) == ["d", "c", "a"]


async def test_start_key_twice_in_one_group_starts_one_run(store: Store) -> None:
    first, second = await store.commit([creation("a", start_key="k"), creation("b", start_key="k")])
    assert isinstance(first, Committed)
    assert second == Exists("a")


async def test_id_starts_one_run(store: Store) -> None:
    await create(store, creation("a"))
    assert await store.commit([creation("a")]) == [Exists("a")]
    assert await store.commit([creation("a", start_key="k", owner="x")]) == [Exists("a")]
    assert await store.count_runs(CountQuery()) == {("order", "running"): 1}


# --- timers, and who needs a driver ---------------------------------------------------------------------------------


async def _park(store: Store, run: int, run_id: str, timers: dict[str, float | None]) -> None:
    await store.commit([append(run, run_id, 1, timers=timers, live=False)])


async def test_next_due_is_the_earliest_timer(store: Store) -> None:
    assert await store.next_due() is None
    runs = await create(store, creation("a"), creation("b"))
    await _park(store, runs[0], "a", {"x": T0 + 9, "y": T0 + 5})
    await _park(store, runs[1], "b", {"x": T0 + 7})
    assert await store.next_due() == T0 + 5
    await store.commit([append(runs[0], "a", 2, timers={"y": None, "x": T0 + 8})])
    assert await store.next_due() == T0 + 7


async def test_parked_run_is_wanted_when_its_timer_is_due(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await _park(store, run, "a", {"x": T0 + 5, "y": T0 + 6})
    assert await store.wanted(T0 + 4, 10) == []
    assert await store.wanted(T0 + 6, 10) == [(run, "a")]
    assert await store.wanted(T0 + 6, 10, 2**62) == [(run, "a")]


async def test_live_runs_are_wanted_at_once_and_by_page(store: Store) -> None:
    runs = await create(store, *(creation(name) for name in "abcd"))
    await _park(store, runs[1], "b", {})
    first, second, third = sorted([(runs[0], "a"), (runs[2], "c"), (runs[3], "d")])
    assert await store.wanted(T0, 2) == [first, second]
    assert await store.wanted(T0, 2, second[0]) == [third]
    assert await store.wanted(T0, 2, 2**62) == []


async def test_timer_of_a_live_run_is_its_drivers_business(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1, timers={"x": T0})])
    assert await store.wanted(T0 + 9, 10, 2**62) == []


# --- approvals ------------------------------------------------------------------------------------------------------


async def test_inbox_shows_what_each_may_decide(store: Store) -> None:
    (run,) = await create(store, creation("a", owner="anna"))
    approvals = [asked("1", "a"), asked("2", "a", approvers=("bert", "role:boss")), asked("3", "a", owner="carl")]
    await store.commit([append(run, "a", 1, approvals=approvals)])

    async def inbox(**query: object) -> list[str]:
        return [row.approval_id for row in await store.list_approvals(ApprovalQuery(**query))]  # type: ignore[arg-type]

    assert await inbox() == ["3", "2", "1"]
    assert await inbox(deciders=("anna",)) == ["1"]
    assert await inbox(deciders=("bert",)) == ["2"]
    assert await inbox(deciders=("role:boss", "bert", "anna")) == ["2", "1"]
    assert await inbox(owner="anna") == ["2", "1"]
    assert await inbox(owner="anna", deciders=("carl",)) == []
    assert await inbox(run_id="a", limit=1) == ["3"]
    assert await inbox(before="3", limit=1) == ["2"]
    assert await inbox(deciders=("bert", "anna"), before="2") == ["1"]
    assert await inbox(run_id="unknown") == []
    assert await inbox(before="unknown") == []
    assert await inbox(offset=1) == ["2", "1"]
    assert await inbox(approval_id="2") == ["2"]
    assert await inbox(approval_id="2", deciders=("anna",)) == []


@pytest.mark.parametrize(
    ("query", "number"),
    [
        (ApprovalQuery(), 4),
        (ApprovalQuery(status=None), 5),
        (ApprovalQuery(owner="anna"), 4),
        (ApprovalQuery(deciders=("anna",)), 2),
        (ApprovalQuery(deciders=("bert", "role:boss")), 2),
        (ApprovalQuery(deciders=("bert", "role:boss", "anna", "bert")), 4),
        (ApprovalQuery(deciders=("bert",), status=None), 2),
        (ApprovalQuery(deciders=("bert", "anna"), owner="carl"), 0),
        (ApprovalQuery(deciders=("bert", "anna"), approval_id="2"), 1),
        (ApprovalQuery(deciders=("nobody",)), 0),
    ],
)
async def test_inbox_is_counted_on_all_its_pages(store: Store, query: ApprovalQuery, number: int) -> None:
    (run,) = await create(store, creation("a", owner="anna"))
    approvals = [
        asked("1", "a"),
        asked("2", "a", approvers=("bert", "role:boss")),
        asked("3", "a", approvers=("role:boss",)),
        asked("4", "a", approvers=("role:owner",)),
        asked("5", "a", approvers=("bert",), status="approved"),
    ]
    await store.commit([append(run, "a", 1, approvals=approvals)])
    assert await store.count_approvals(query) == number
    assert len(await store.list_approvals(query)) == number


@pytest.mark.parametrize("deciders", [("anna",), ("bert", "role:boss"), ("role:boss", "anna", "bert")])
@pytest.mark.parametrize("status", ["pending", None])
async def test_pages_of_an_inbox_are_the_whole_of_it(
    store: Store, deciders: tuple[str, ...], status: Literal["pending"] | None
) -> None:
    (run,) = await create(store, creation("a", owner="anna"))
    people = [("bert",), ("role:boss",), ("bert", "role:boss"), ()]
    states: list[Literal["pending", "approved"]] = ["pending", "pending", "approved"]
    approvals = [asked(f"{n:02}", "a", approvers=people[n % 4], status=states[n % 3]) for n in range(40)]
    await store.commit([append(run, "a", 1, approvals=approvals)])
    query = ApprovalQuery(deciders=deciders, status=status, limit=100)
    whole = await store.list_approvals(query)
    expected = [row for row in approvals if set(row.deciders) & set(deciders) and status in (row.status, None)]
    assert whole == expected[::-1]
    for size in (1, 3, 7):
        for start in range(0, len(whole) + 1, size):
            paged = msgspec.structs.replace(query, limit=size, offset=start)
            assert await store.list_approvals(paged) == whole[start : start + size]
            if start:
                behind = msgspec.structs.replace(query, limit=size, before=whole[start - 1].approval_id)
                assert await store.list_approvals(behind) == whole[start : start + size]


async def test_decided_approval_leaves_the_inbox_of_pending_ones(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1, approvals=[asked("1", "a", approvers=("bert",))])])
    done = asked("1", "a", approvers=("carl",), status="approved", decided_by="bert")
    await store.commit([append(run, "a", 2, approvals=[done])])
    assert await store.list_approvals(ApprovalQuery()) == []
    assert await store.list_approvals(ApprovalQuery(status=None)) == [done]
    assert await store.list_approvals(ApprovalQuery(status="approved", deciders=("bert",))) == []
    assert await store.list_approvals(ApprovalQuery(status="approved", deciders=("carl",))) == [done]


# --- outbox, stream, snapshots --------------------------------------------------------------------------------------


async def test_outbox_items_are_taken_until_they_are_settled(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    items = [outbox("x"), outbox("y"), outbox("later", due_at=T0 + 9)]
    await store.commit([append(run, "a", 1, outbox=items)])
    taken = await store.take_outbox(T0, 10)
    assert [(item.kind, item.tries, item.data) for item in taken] == [
        ("x", 0, {"kind": "x"}),
        ("y", 0, {"kind": "y"}),
    ]
    assert await store.take_outbox(T0, 10) == taken
    assert await store.take_outbox(T0, 1) == taken[:1]
    await store.settle_outbox([taken[0].id], [(taken[1].id, T0 + 5)])
    assert await store.take_outbox(T0, 10) == []
    again = await store.take_outbox(T0 + 9, 10)
    assert [(item.kind, item.tries) for item in again] == [("y", 1), ("later", 0)]


async def test_items_put_into_the_outbox_without_a_run_are_taken(store: Store) -> None:
    await store.put_outbox([outbox("x"), outbox("y")])
    assert [item.kind for item in await store.take_outbox(T0, 10)] == ["x", "y"]


async def test_stream_is_read_from_any_number(store: Store) -> None:
    (run,) = await create(store, with_items(creation("a"), 1, StreamItem(type="item", data=1)))
    two = [StreamItem(type="item", data=n, key="k", attempt=1, at=T0) for n in (2, 3)]
    await store.commit([with_items(append(run, "a", 1, events=0), 2, *two)])
    assert [(item.n, item.data) for item in await store.stream("a", 0, 10)] == [(1, 1), (2, 2), (3, 3)]
    assert [item.n for item in await store.stream("a", 2, 10)] == [3]
    assert [item.n for item in await store.stream("a", 3, 10)] == []
    assert (await store.load(["a"]))[0].next_item == 4


async def test_stream_number_is_used_once(store: Store) -> None:
    (run,) = await create(store, with_items(creation("a"), 1, StreamItem(type="item", data=1)))
    late = with_items(append(run, "a", 1), 1, StreamItem(type="item", data=2))
    assert await store.commit([late]) == [CONFLICT]
    assert len(await store.events("a", 0, -1)) == 1


async def test_snapshot_stands_in_for_the_first_events(store: Store) -> None:
    (run,) = await create(store, creation("a", events=5))
    await store.snapshot(run, 3, b"old")
    await store.snapshot(run, 4, b"state")
    (loaded,) = await store.load(["a"])
    assert (loaded.snapshot, len(loaded.events), loaded.seq) == (b"state", 1, 5)
    (after,) = await store.load(["a"], 2)
    assert (after.snapshot, len(after.events)) == (None, 3)
    assert len(await store.events("a", 0, -1)) == 5


# --- pruning --------------------------------------------------------------------------------------------------------


async def test_prune_takes_the_runs_that_ended_before(store: Store) -> None:
    ended: dict[str, Any] = {"status": Status.COMPLETED, "labels": {"a": "findme"}}
    batches = [creation(f"r{n}", at=T0 + n, ended_at=T0 + n, **ended) for n in range(4)]
    runs = await create(store, *batches, creation("open", at=T0 + 9))
    extra = with_items(append(runs[0], "r0", 1, approvals=[asked("1", "r0")]), 1, StreamItem(type="item"))
    await store.commit([extra])
    await store.snapshot(runs[0], 1, b"state")
    assert sorted(await store.prune(T0 + 2, 10)) == ["r0", "r1"]
    assert ids(await store.list_runs(RunQuery())) == ["open", "r3", "r2"]
    assert await store.load(["r0"]) == []
    assert await store.stream("r0", 0, 10) == []
    assert await store.list_approvals(ApprovalQuery(status=None)) == []
    assert await store.count_runs(CountQuery()) == {("order", "completed"): 2, ("order", "running"): 1}
    assert len(await store.list_runs(RunQuery(search="findme"))) == 2
    assert await store.prune(T0 + 2, 10) == []


async def test_prune_takes_at_most_so_many_oldest_first(store: Store) -> None:
    for n, status in enumerate((Status.FAILED, Status.COMPLETED, Status.CANCELLED, Status.COMPLETED)):
        await create(store, creation(f"r{n}", status=status, at=T0 + n, ended_at=T0 + n))
    pruned = await store.prune(T0 + 9, 2)
    left = ["r3", "r2", "r1", "r0"]
    assert len(pruned) == 2
    if not isinstance(store, SpreadStore):  # there each database has its own oldest
        assert pruned == ["r0", "r1"]
    assert ids(await store.list_runs(RunQuery())) == [run_id for run_id in left if run_id not in pruned]
    assert sorted([*pruned, *await store.prune(T0 + 9, 9)]) == left[::-1]


# --- another process ------------------------------------------------------------------------------------------------


async def _heard(store: Store) -> list[str]:
    """What the store hears of next: it may be told a moment later."""
    async with asyncio.timeout(30):
        while (changed := await store.changed_outside()) is None:  # noqa: ASYNC110  # the store is to be asked
            await asyncio.sleep(0.01)
    return changed


async def test_changes_of_another_process_are_seen_once(store: Store, make_store: MakeStore) -> None:
    runs = await create(store, creation("a"), creation("b"))
    other = make_store()
    await other.open()
    await store.changed_outside()
    assert await store.changed_outside() is None
    await other.commit([append(runs[0], "a", 1), creation("c")])
    assert {"a", "c"} <= set(await _heard(store))
    assert await store.changed_outside() is None
    await other.put_outbox([outbox("send-event")])
    assert await _heard(store) == []
    await other.close()


async def test_own_changes_are_not_reported(store: Store) -> None:
    (run,) = await create(store, creation("a"))
    await store.commit([append(run, "a", 1)])
    assert await store.changed_outside() is None


async def test_reopened_store_holds_what_was_written(store: Store, make_store: MakeStore) -> None:
    batches: list[Batch] = [creation(f"r{n}", at=T0 + n) for n in range(3)]
    await create(store, *batches)
    await store.close()
    again = make_store()
    await again.open()
    assert ids(await again.list_runs(RunQuery())) == ["r2", "r1", "r0"]
    await again.close()


@pytest.mark.parametrize("group", [1, 50])
async def test_many_writers_at_once_all_get_their_answer(store: Store, group: int) -> None:
    groups = [[creation(f"r{n}-{m}") for m in range(group)] for n in range(20)]
    results = await asyncio.gather(*(store.commit(batches) for batches in groups))
    assert all(isinstance(result, Committed) for answers in results for result in answers)
    assert sum((await store.count_runs(CountQuery())).values()) == 20 * group

"""Webhook deliveries as every store keeps them: written with a commit, found when due, paged, bounded."""

from typing import Any

import msgspec
import pytest

from stepwell.store.model import Committed, Delivery, DeliveryAttempt, DeliveryQuery
from stepwell.store.port import Store

from .batches import creation
from .conftest import MakeStore


def delivery(number: int, endpoint: str = "a", **more: Any) -> Delivery:
    given: dict[str, Any] = {"created_at": float(number), "due_at": float(number), "body": "{}", **more}
    return Delivery(id=f"{endpoint}-{number}", endpoint=endpoint, message=f"msg_{number}", type="t", **given)


async def put(store: Store, *deliveries: Delivery) -> None:
    for one in deliveries:
        await store.put_delivery(one)


async def listed(store: Store, endpoint: str = "a", **more: Any) -> list[str]:
    return [one.id for one in await store.list_deliveries(DeliveryQuery(endpoint=endpoint, **more))]


async def test_deliveries_are_written_with_the_commit_of_their_run(store: Store) -> None:
    sent = delivery(1, body='{"type":"t"}', run_id="r", url="https://example.com/", tries=2)
    batch = creation("01900000-0000-7000-8000-000000000001")
    batch.deliveries = [sent]
    (result,) = await store.commit([batch])
    assert isinstance(result, Committed)
    (found,) = await store.list_deliveries(DeliveryQuery(endpoint="a"))
    assert found == msgspec.structs.replace(sent, number=found.number)


async def test_deliveries_of_a_commit_that_loses_are_not_written(store: Store) -> None:
    batch = creation("01900000-0000-7000-8000-000000000001")
    await store.commit([batch])
    again = creation("01900000-0000-7000-8000-000000000001")
    again.deliveries = [delivery(1)]
    await store.commit([again])
    assert await listed(store) == []


async def test_what_is_due_is_found_by_endpoint_and_the_longest_due_first(store: Store) -> None:
    await put(store, delivery(3), delivery(1), delivery(2, status="delivered"), delivery(9), delivery(5, "b"))
    assert await store.waiting_endpoints() == [("a", 1.0), ("b", 5.0)]
    assert [one.id for one in await store.due_deliveries("a", 5.0, 10)] == ["a-1", "a-3"]
    assert [one.id for one in await store.due_deliveries("a", 5.0, 1)] == ["a-1"]


async def test_delivery_is_sent_by_one_node_at_a_time(store: Store, make_store: MakeStore) -> None:
    await put(store, delivery(1), delivery(2))
    if not store.shared:
        assert await store.hold_deliveries(["a-1"], 5.0, 35.0) == {"a-1"}
        return
    other = make_store()
    await other.open()
    assert await other.hold_deliveries(["a-1"], 5.0, 35.0) == {"a-1"}
    assert await store.hold_deliveries(["a-1", "a-2"], 5.0, 35.0) == {"a-2"}
    assert await store.due_deliveries("a", 5.0, 10) == []
    assert await store.hold_deliveries(["a-1"], 40.0, 70.0) == {"a-1"}  # its node has died
    await other.close()


async def test_no_endpoint_waits_when_nothing_is_pending(store: Store) -> None:
    await put(store, delivery(1, status="failed", due_at=None))
    assert await store.waiting_endpoints() == []


async def test_what_became_of_deliveries_is_kept(store: Store) -> None:
    await put(store, delivery(1), delivery(2))
    tried = (DeliveryAttempt(at=7.0, status=503, error="expected a status 2xx, found 503", took_s=0.1),)
    first, second = await store.due_deliveries("a", 9.0, 2)
    later = msgspec.structs.replace(first, due_at=12.0, attempts=tried, tries=1)
    taken = msgspec.structs.replace(second, status="delivered", due_at=None)
    await store.settle_deliveries([later, taken])
    assert await store.list_deliveries(DeliveryQuery(endpoint="a")) == [taken, later]
    assert await store.waiting_endpoints() == [("a", 12.0)]


async def test_pages_of_an_endpoint_follow_each_other_newest_first(store: Store) -> None:
    statuses = ("pending", "delivered", "failed")
    await put(store, *(delivery(n, status=statuses[n % 3]) for n in range(7)), delivery(1, "b"))
    page = await store.list_deliveries(DeliveryQuery(endpoint="a", limit=3))
    assert [one.id for one in page] == ["a-6", "a-5", "a-4"]
    assert await listed(store, before=page[-1].number, limit=3) == ["a-3", "a-2", "a-1"]
    assert await listed(store, offset=5, limit=3) == ["a-1", "a-0"]
    assert await listed(store, status="failed") == ["a-5", "a-2"]
    assert await listed(store, id="a-5") == ["a-5"]
    assert await listed(store, id="b-1") == []


async def test_deliveries_are_counted_up_to_a_number(store: Store) -> None:
    await put(store, *(delivery(n, status="failed" if n == 2 else "pending") for n in range(5)))
    assert await store.count_deliveries(DeliveryQuery(endpoint="a"), 100) == 5
    assert await store.count_deliveries(DeliveryQuery(endpoint="a"), 3) == 3
    assert await store.count_deliveries(DeliveryQuery(endpoint="a", status="failed"), 100) == 1


async def test_pending_deliveries_of_an_endpoint_are_given_up_page_by_page(store: Store) -> None:
    await put(store, *(delivery(n) for n in range(3)), delivery(1, "b"))
    assert await store.fail_deliveries("a", 2) == 2
    assert await store.fail_deliveries("a", 2) == 1
    assert await listed(store, status="failed") == ["a-2", "a-1", "a-0"]
    assert await store.waiting_endpoints() == [("b", 1.0)]


@pytest.mark.parametrize(
    ("before", "keep", "left"),
    [(0.0, 100, 8), (4.0, 100, 4), (0.0, 3, 3), (100.0, 0, 0)],
    ids=["nothing", "old ones", "too many", "all"],
)
async def test_ended_deliveries_that_are_old_or_too_many_are_pruned(
    store: Store, before: float, keep: int, left: int
) -> None:
    for endpoint in ("a", "b"):
        await put(store, *(delivery(n, endpoint, status="delivered", due_at=None) for n in range(8)))
        await put(store, delivery(9, endpoint), delivery(0, f"{endpoint}x", status="failed", due_at=None))
    while await store.prune_deliveries(before, keep, 2):
        pass
    assert await listed(store, "a", status="delivered") == [f"a-{n}" for n in range(7, 7 - left, -1)]
    assert await listed(store, "b", status="delivered") == [f"b-{n}" for n in range(7, 7 - left, -1)]
    assert await listed(store, "a", status="pending") == ["a-9"]


async def test_deliveries_of_an_endpoint_are_dropped_whatever_their_status(store: Store) -> None:
    await put(store, delivery(1), delivery(2, status="failed"), delivery(3, "b"))
    assert await store.drop_deliveries("a", 1) == 1
    assert await store.drop_deliveries("a", 10) == 1
    assert await store.drop_deliveries("a", 10) == 0
    assert await listed(store, "b") == ["b-3"]

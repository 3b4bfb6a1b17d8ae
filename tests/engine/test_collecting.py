"""What several events that start a run together come to, delivered in order, twice, or again after a while."""

from typing import Any

from stepwell.engine.collecting import REMEMBERED, Collection, collection_in
from stepwell.store.model import Record


def event(id: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "s", "type": "t"}


def ids(collection: Collection) -> list[str]:
    return [one["id"] for one in collection.events]


def test_events_stand_in_the_order_of_their_filters() -> None:
    collection = Collection().with_event([1], event("b"), ()).with_event([0, 1], event("a"), ())
    assert ids(collection) == ["a", "b"]


def test_each_filter_takes_one_event_and_each_event_one_filter() -> None:
    first = Collection().with_event([0, 1], event("a"), ())
    assert first.with_event([0, 1], event("a"), ()) is first
    assert first.with_event([0], event("b"), ()) is first
    assert ids(first.with_event([0, 1], event("b"), ())) == ["a", "b"]


def test_event_that_started_a_run_starts_no_other() -> None:
    done = Collection().with_event([0], event("a"), ()).with_event([1], event("b"), ()).emptied()
    assert done.with_event([0], event("a"), ()) is done
    assert done.with_event([1], event("b"), ()) is done
    assert ids(done.with_event([1], event("c"), ())) == ["c"]


def test_what_was_used_is_remembered_for_a_while() -> None:
    collection = Collection()
    for number in range(REMEMBERED + 50):
        collection = collection.with_event([0], event(str(number)), ()).emptied()
    assert len(collection.used) == REMEMBERED
    assert collection.with_event([0], event(str(REMEMBERED)), ()) is collection


def test_longest_lineage_counts() -> None:
    collection = Collection().with_event([0], event("a"), ("x", "y")).with_event([1], event("b"), ("z",))
    assert collection.lineage == ("x", "y")
    assert collection.emptied().lineage == ()


def test_events_collected_for_another_definition_are_dropped_and_those_used_are_not_used_again() -> None:
    old = Collection(definition="1").with_event([0], event("a"), ()).emptied().with_event([2], event("b"), ())
    record = Record(kind="trigger", id="w", data={"definition": "1", "kept": old.kept, "used": old.used})
    assert collection_in(record, "1").kept == old.kept
    new = collection_in(record, "2")
    assert new.kept == {}
    assert new.with_event([0], event("a"), ()) is new


def test_record_of_a_trigger_begins_empty() -> None:
    assert collection_in(Record(kind="trigger", id="w", data={}), "1") == Collection(definition="1")

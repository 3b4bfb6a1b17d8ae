"""What every store must do with definitions and with the small records of the product."""

import msgspec

from stepwell.store.model import CountQuery, Definition, Record, RunQuery
from stepwell.store.port import Store


def _definition(digest: str, name: str = "order", version: str = "1", at: float = 1.0) -> Definition:
    return Definition(digest=digest, kind="flow", name=name, version=version, text=f"text {digest}", created_at=at)


async def test_definition_is_found_by_digest_and_by_name(store: Store) -> None:
    first, second, other = _definition("1"), _definition("2", version="2"), _definition("3", name="report")
    for definition in (first, second, other):
        await store.save_definition(definition)
    assert await store.find_definition(digest="1") == first
    assert await store.find_definition(name="order") == second
    assert await store.find_definition(name="order", version="1") == first
    assert await store.find_definition(name="order", version="9") is None
    assert await store.find_definition(name="nothing") is None
    assert await store.find_definition(digest="9") is None


async def test_name_with_nul_is_that_of_nothing(store: Store) -> None:
    await store.save_definition(_definition("1"))
    assert await store.find_definition(name="order\0") is None
    assert await store.find_definition(name="order", version="\0") is None
    assert await store.find_definition(digest="\0") is None
    assert await store.get_records("handler", id="a\0b") == []
    assert await store.events("\0", 0, -1) == []
    for query in (RunQuery(workflows=("order\0", "order")), RunQuery(workflows=("\0",)), RunQuery(before="\0")):
        assert await store.list_runs(query) == []
        assert await store.count_found(query, 10) == 0
    assert await store.count_runs(CountQuery(workflow="\0")) == {}


async def test_definition_saved_last_is_the_default_also_when_it_was_known(store: Store) -> None:
    for definition in (_definition("1"), _definition("2", version="2"), _definition("1")):
        await store.save_definition(definition)
    found = await store.find_definition(name="order")
    assert found is not None
    assert found.digest == "1"
    assert len(await store.list_definitions()) == 2


async def test_list_shows_the_newest_of_each_name_and_version(store: Store) -> None:
    for definition in (_definition("1"), _definition("2"), _definition("3", version="2"), _definition("4", "a")):
        await store.save_definition(definition)
    assert [(d.name, d.version, d.digest) for d in await store.list_definitions()] == [
        ("a", "1", "4"),
        ("order", "2", "3"),
        ("order", "1", "2"),
    ]


def _record(id: str, version: int = 1, due_at: float | None = None) -> Record:
    return Record(
        kind="schedule", id=id, data={"n": version, "text": "ä"}, owner="anna", version=version, due_at=due_at
    )


async def test_record_is_read_back_replaced_and_dropped(store: Store) -> None:
    assert await store.put_record(_record("a"))
    assert await store.get_records("schedule", id="a") == [_record("a")]
    assert await store.put_record(_record("a", 7, due_at=3.0))
    assert await store.get_records("schedule") == [_record("a", 7, due_at=3.0)]
    await store.drop_record("schedule", "a")
    await store.drop_record("schedule", "a")
    assert await store.get_records("schedule") == []


async def test_record_is_written_over_the_expected_version_only(store: Store) -> None:
    assert await store.put_record(_record("a"), expect_version=0)
    assert not await store.put_record(_record("a", 2), expect_version=0)
    assert await store.put_record(_record("a", 2), expect_version=1)
    assert not await store.put_record(_record("a", 2), expect_version=1)
    assert not await store.put_record(_record("b", 2), expect_version=1)
    assert await store.get_records("schedule") == [_record("a", 2)]


async def test_records_that_are_due_are_found(store: Store) -> None:
    for id, due_at in (("a", 5.0), ("b", None), ("c", 3.0), ("d", 9.0)):
        await store.put_record(_record(id, due_at=due_at))
    assert [record.id for record in await store.get_records("schedule", due_by=5.0)] == ["c", "a"]
    assert [record.id for record in await store.get_records("schedule", limit=2)] == ["a", "b"]
    assert await store.get_records("other") == []


async def test_records_of_an_owner_are_found(store: Store) -> None:
    for id, owner in (("b", "anna"), ("a", "anna"), ("c", "bert")):
        await store.put_record(msgspec.structs.replace(_record(id), owner=owner))
    assert [record.id for record in await store.get_records("schedule", owner="anna")] == ["a", "b"]
    assert [record.id for record in await store.get_records("schedule", owner="anna", limit=1)] == ["a"]
    assert await store.get_records("schedule", owner="") == []
    assert await store.get_records("schedule", id="c", owner="anna") == []

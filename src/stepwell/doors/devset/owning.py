"""Small documents of this door, each of one owner: kept as records, found by name within their owner."""

from typing import Any, Final

from stepwell.doors.kit import Call
from stepwell.store.model import Record

DOCUMENT: Final = "pipeline_document"
"""The kind of saved workflows."""
SCHEMA: Final = "message_schema"


def record_id(owner: str, name: str) -> str:
    """The id of a record in the store: names are unique within an owner only."""
    return f"{owner}\x1f{name}"


async def owned(call: Call, kind: str) -> list[Record]:
    """The caller's records of a kind, by name."""
    records = await call.engine.store.get_records(kind, limit=10_000)
    mine = [record for record in records if record.owner == call.principal.owner]
    return sorted(mine, key=lambda record: record.id)


async def find(call: Call, kind: str, name: str) -> dict[str, Any] | None:
    """What is kept under a name; None when there is nothing."""
    records = await call.engine.store.get_records(kind, id=record_id(call.principal.owner, name))
    return records[0].data if records else None


async def put(call: Call, kind: str, name: str, data: dict[str, Any], *, only_new: bool = False) -> bool:
    """Keep something under a name; with `only_new` not over what is there. Says whether it did."""
    owner = call.principal.owner
    record = Record(kind=kind, id=record_id(owner, name), owner=owner, data=data)
    return await call.engine.store.put_record(record, expect_version=0 if only_new else None)


async def drop(call: Call, kind: str, name: str) -> None:
    """Forget what is kept under a name."""
    await call.engine.store.drop_record(kind, record_id(call.principal.owner, name))

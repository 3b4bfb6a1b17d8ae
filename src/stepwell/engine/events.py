"""CloudEvents inside the engine: checked, kept in the outbox, and taken to the runs and workflows that listen.

An event is acknowledged when it is in the outbox. Delivery is at least once; a run takes an event with the same
source and id once (CloudEvents 1.0 §3.1: the two together are unique), and one event starts one run of a workflow.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from stepwell.core import commands as c
from stepwell.core.errors import InvalidInputError, RefusedError, RunNotFoundError, StorageError
from stepwell.core.history import Listen, RunCreated
from stepwell.core.program import Trigger
from stepwell.engine.attempts import recorded
from stepwell.engine.collecting import CloudEvent, Collection, Lineage, collection_in, identity
from stepwell.store.model import Record

if TYPE_CHECKING:
    from stepwell.engine.engine import Engine

log = structlog.get_logger()
PAGE: Final = 500
TRIGGER: Final = "trigger"
COLLECTION: Final = "collection"
REQUIRED: Final = ("id", "source", "type")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way: who sent it, and the workflows that led to it."""

    event: CloudEvent
    owner: str
    lineage: Lineage


def check_event(event: Any) -> dict[str, Any]:
    """A CloudEvent 1.0 in JSON form, with `specversion` filled in. Raises `InvalidInputError`."""
    if not isinstance(event, Mapping):
        raise InvalidInputError(f"expected a CloudEvent (a JSON object), found {type(event).__name__}")
    for name in REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value:
            raise InvalidInputError(f"{name}: expected a text that is not empty, found {value!r}")
    if event.get("specversion", "1.0") != "1.0":
        raise InvalidInputError(f"specversion: expected 1.0, found {event['specversion']!r}")
    for name in event:
        if name not in ("data", "data_base64") and not (name.isascii() and name.isalnum() and name == name.lower()):
            raise InvalidInputError(f"{name}: attribute names are lower-case letters and digits")
    return {"specversion": "1.0", **event}


class Events:
    """Takes events to those who listen."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def deliver(self, event: CloudEvent, *, owner: str = "", lineage: Lineage = ()) -> None:
        """To every run that hears it, then to the workflows that it starts. Twice is harmless.

        What one owner sends reaches its own runs and those of nobody, never those of another owner; a run that it
        starts belongs to that owner. `lineage` names the workflows that led to the event, should a run have sent it.
        """
        await self._to_runs(event, owner)
        delivery = Delivery(event=event, owner=owner, lineage=lineage)
        for record in await self._engine.store.get_records(TRIGGER):
            try:
                await self._to_workflow(record.id, delivery)
            except (StorageError, RefusedError):
                raise  # it passes: the event is delivered again
            except Exception as fault:  # noqa: BLE001  # one that cannot be compiled keeps no event from the others
                log.error("event.not_delivered", workflow=record.id, error=str(fault))

    async def _to_runs(self, event: CloudEvent, owner: str) -> None:
        raw, _ = recorded(event)
        after = 0
        while page := await self._engine.store.listeners(event["type"], event["source"], after, PAGE):
            # The last run of a full page may go on in the next one; it takes no event twice.
            after = page[-1][0] - (len(page) == PAGE and page[0][0] != page[-1][0])
            for _, run_id, signal in page:
                if owner and await self._owner_of(run_id) not in ("", owner):
                    continue
                command = c.SendSignal(id=identity(event), signal=signal, data=raw)
                await self._signal(run_id, command)

    async def _signal(self, run_id: str, command: c.SendSignal) -> None:
        try:
            await self._engine.tell(run_id, command)
        except RunNotFoundError:
            pass  # pruned in the meantime
        except RefusedError as refusal:
            if refusal.code != "wrong_status":  # it ended in the meantime
                log.warning("event.not_kept", run_id=run_id, signal=command.signal, error=refusal.message)

    async def _owner_of(self, run_id: str) -> str:
        events = await self._engine.store.events(run_id, 0, 1)
        return events[0].owner if events and isinstance(events[0], RunCreated) else ""

    async def _to_workflow(self, name: str, delivery: Delivery) -> None:
        event = delivery.event
        definition = await self._engine.workflows.find(name)
        trigger: Trigger | None = (await self._engine.workflows.compiled(definition.digest)).trigger
        if trigger is None:
            return
        matched = [
            index
            for index, listen in enumerate(trigger.listens)
            if hears(listen, event) and await trigger.matches(index, event)
        ]
        if not matched:
            return
        if not trigger.all:
            await self._start(name, [event], delivery)
            return
        record, so_far = await self._collection(name, delivery.owner, definition.digest)
        collection = so_far.with_event(matched, event, delivery.lineage)
        if collection is so_far:
            return
        if len(collection.kept) == len(trigger.listens):
            longest = msgspec.structs.replace(delivery, lineage=collection.lineage)
            await self._start(name, collection.events, longest)
            collection = collection.emptied()
        changed = msgspec.structs.replace(record, data=msgspec.to_builtins(collection), version=record.version + 1)
        if not await self._engine.store.put_record(changed, expect_version=record.version):
            raise RefusedError("changed", f"what {name} has collected was changed by somebody else; again")

    async def _collection(self, name: str, owner: str, definition: str) -> tuple[Record, Collection]:
        """What the events of one owner have come to so far for a workflow that needs several."""
        id = f"{name}/{owner}"
        kept = await self._engine.store.get_records(COLLECTION, id=id)
        record = kept[0] if kept else Record(kind=COLLECTION, id=id, owner=owner, data={}, version=0)
        return record, collection_in(record, definition)

    async def _start(self, name: str, events: list[CloudEvent], delivery: Delivery) -> None:
        """A run for these events: one, however often the last of them is delivered."""
        await self._engine.start(
            name,
            events,
            start_key=f"event/{name}/{identity(delivery.event)}",
            owner=delivery.owner,
            door="event",
            lineage=delivery.lineage,
        )


def hears(listen: Listen, event: CloudEvent) -> bool:
    """Whether type and source are those asked for."""
    return listen.type in ("", event["type"]) and listen.source in ("", event["source"])

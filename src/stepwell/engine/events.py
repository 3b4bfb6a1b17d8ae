"""CloudEvents inside the engine: checked, kept in the outbox, and taken to the runs and workflows that listen.

An event is acknowledged when it is in the outbox. Delivery is at least once; a run takes an event with the same
source and id once (CloudEvents 1.0 §3.1: the two together are unique).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from stepwell.core import commands as c
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, RefusedError, RunNotFoundError, WorkflowNotFoundError
from stepwell.core.history import Listen, RunCreated
from stepwell.core.program import Trigger
from stepwell.engine.attempts import recorded
from stepwell.store.port import Record

if TYPE_CHECKING:
    from stepwell.engine.engine import Engine

log = structlog.get_logger()
PAGE: Final = 500
TRIGGER: Final = "trigger"
REQUIRED: Final = ("id", "source", "type")

CloudEvent = Mapping[str, Any]


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

    async def deliver(self, event: CloudEvent, *, owner: str = "") -> None:
        """To every run that hears it, then to the workflows that it starts. Twice is harmless.

        What one owner sends reaches its own runs and those of nobody, never those of another owner.
        """
        await self._to_runs(event, owner)
        for record in await self._engine.store.get_records(TRIGGER):
            try:
                await self._to_workflow(record, event)
            except (InvalidDefinitionError, WorkflowNotFoundError) as fault:
                # A workflow that cannot be compiled here must not keep the event from the others.
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
                command = c.SendSignal(id=f"{event['source']}#{event['id']}", signal=signal, data=raw)
                with suppress(RefusedError, RunNotFoundError):  # it ended in the meantime
                    await self._engine.tell(run_id, command)

    async def _owner_of(self, run_id: str) -> str:
        events = await self._engine.store.events(run_id, 0, 1)
        return events[0].owner if events and isinstance(events[0], RunCreated) else ""

    async def _to_workflow(self, record: Record, event: CloudEvent) -> None:
        name = record.id
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
        if trigger.all:
            await self._collect(record, trigger.listens, matched, event)
        else:
            await self._engine.start(name, [event], start_key=_key(name, event), door="event")

    async def _collect(
        self, record: Record, listens: Sequence[Listen], matched: list[int], event: CloudEvent
    ) -> None:
        """Keep the event until there is one for every filter, then start a run with all of them."""
        kept: dict[str, Any] = record.data.get("kept", {})
        index = next((str(index) for index in matched if str(index) not in kept), None)
        if index is None or any(_key("", old) == _key("", event) for old in kept.values()):
            return
        kept = {**kept, index: event}
        if len(kept) == len(listens):
            events = [kept[str(number)] for number in range(len(listens))]
            await self._engine.start(record.id, events, start_key=_key(record.id, event), door="event")
            kept = {}
        changed = msgspec.structs.replace(record, data={**record.data, "kept": kept}, version=record.version + 1)
        if not await self._engine.store.put_record(changed, expect_version=record.version):
            raise RefusedError("changed", f"the trigger of {record.id} was changed by somebody else; again")


def hears(listen: Listen, event: CloudEvent) -> bool:
    """Whether type and source are those asked for."""
    return listen.type in ("", event["type"]) and listen.source in ("", event["source"])


def _key(name: str, event: CloudEvent) -> str:
    return f"event/{name}/{event['source']}#{event['id']}"

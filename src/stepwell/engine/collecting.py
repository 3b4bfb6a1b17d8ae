"""What a workflow that several events start together (`schedule.on.all`) has of them so far. Pure; kept as a record.

Events are delivered at least once, and again when a process dies before it has said that they were: an event that has
started a run is known for a while, so that it does not start another one together with later events.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.store.model import Record

CloudEvent = Mapping[str, Any]
Lineage = tuple[str, ...]
REMEMBERED: Final = 400
"""Events that were used; deliveries that may come again are those of one page of the outbox."""


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """`kept`: the number of a filter to the event that passed it. `lineage`: the longest that led to one of them.

    `definition` is the digest of the definition that the filters belong to; `used` are digests of events.
    """

    definition: str = ""
    kept: dict[str, Any] = {}
    lineage: Lineage = ()
    used: tuple[str, ...] = ()

    def with_event(self, matched: Sequence[int], event: CloudEvent, lineage: Lineage) -> "Collection":
        """With the event for the first of the filters it passed that has none; itself when it takes no part."""
        index = next((str(index) for index in matched if str(index) not in self.kept), None)
        known = {*self.used, *map(_digest, self.kept.values())}
        if index is None or _digest(event) in known:
            return self
        longest = max(self.lineage, lineage, key=len)
        return msgspec.structs.replace(self, kept={**self.kept, index: event}, lineage=longest)

    @property
    def events(self) -> list[CloudEvent]:
        """One for every filter, in the order of the filters."""
        return [self.kept[index] for index in sorted(self.kept, key=int)]

    def emptied(self) -> "Collection":
        """After its events have started a run."""
        used = (*self.used, *map(_digest, self.kept.values()))
        return Collection(definition=self.definition, used=used[-REMEMBERED:])


def collection_in(record: Record, definition: str) -> Collection:
    """What a trigger's record holds. What was collected for other filters (another definition) is of no use."""
    found = msgspec.convert(record.data, Collection)
    if found.definition == definition:
        return found
    return Collection(definition=definition, used=found.used)


def identity(event: CloudEvent) -> str:
    """What makes an event this one and no other (CloudEvents 1.0 §3.1)."""
    return f"{event['source']}#{event['id']}"


def _digest(event: CloudEvent) -> str:
    return hashlib.sha256(identity(event).encode()).hexdigest()[:16]

"""`SpreadStore`: one store of several, for more runs than one database carries. A run's id decides which holds it.

Each database is a store of its own, with all that belongs to its runs; the first holds the documents, too. Numbers
(of runs, outbox items, deliveries) are those of their database times how many there are, plus its place. A listing
merges those of the databases by the instants of creation. While one is away, its own runs stand still, and so does
what needs all: listings, totals, events that may be heard anywhere. Without the first nothing is known of workflows.
"""

import asyncio
import math
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from stepwell.core.chain import ChainRow
from stepwell.core.errors import NotRecordableError, StorageError
from stepwell.core.history import AnyEvent
from stepwell.core.status import WaitReason
from stepwell.store.merging import merged_approvals, merged_runs
from stepwell.store.model import (
    ApprovalQuery,
    ApprovalRow,
    Batch,
    CommitResult,
    Committed,
    CountQuery,
    Definition,
    Delivery,
    DeliveryQuery,
    Ends,
    Loaded,
    OutboxItem,
    Record,
    RunQuery,
    RunRow,
    StreamItem,
    Unwritten,
)
from stepwell.store.port import Store

T = TypeVar("T")


def place_of(run_id: str, places: int) -> int:
    """Which of so many databases holds a run."""
    return zlib.crc32(run_id.encode()) % places


class SpreadStore:
    """Two stores or more as one (`store.port.Store`)."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = list(stores)
        self.places = len(self.stores)
        self._first = self.stores[0]

    @property
    def shared(self) -> bool:
        return self._first.shared

    @property
    def lines(self) -> int:
        return self._first.lines

    def place_of(self, key: str) -> int:
        return place_of(key, self.places)

    def _store_of(self, run_id: str) -> Store:
        return self.stores[self.place_of(run_id)]

    def _number(self, number: int, place: int) -> int:
        """A database's number as one of all."""
        return number * self.places + place

    async def _all(self, ask: Callable[[Store], Awaitable[T]]) -> list[T]:
        """What each says, in order."""
        return await asyncio.gather(*(ask(store) for store in self.stores))

    async def _there(self, ask: Callable[[Store], Awaitable[T]]) -> list[tuple[int, T]]:
        """What those say that can be asked now, with their places: one that is away does not stop the others."""
        answers = await asyncio.gather(*(ask(store) for store in self.stores), return_exceptions=True)
        faults = [answer for answer in answers if isinstance(answer, BaseException)]
        for fault in faults:
            if not isinstance(fault, StorageError) or len(faults) == self.places:
                raise fault
        return [(place, answer) for place, answer in enumerate(answers) if not isinstance(answer, BaseException)]

    def _parted(self, things: Iterable[T], place: Callable[[T], int]) -> list[tuple[int, list[T]]]:
        """Things by the place they belong to; places that have any."""
        parts: dict[int, list[T]] = {}
        for thing in things:
            parts.setdefault(place(thing), []).append(thing)
        return sorted(parts.items())

    # --- opening ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        for store in self.stores:
            await store.open()

    async def close(self) -> None:
        await self._all(lambda store: store.close())

    # --- writing ----------------------------------------------------------------------------------------------------

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        parts = self._parted(range(len(batches)), lambda n: self.place_of(batches[n].run_id))
        answers = await asyncio.gather(
            *(self._commit_at(place, [batches[n] for n in numbers]) for place, numbers in parts)
        )
        results: dict[int, CommitResult] = {}
        for (_, numbers), part in zip(parts, answers, strict=True):
            results.update(zip(numbers, part, strict=True))
        return [results[n] for n in range(len(batches))]

    async def _commit_at(self, place: int, batches: list[Batch]) -> list[CommitResult]:
        """What belongs to one database. Its faults are its own: the others have committed."""
        moved = [replace(batch, run=batch.run // self.places) for batch in batches]
        try:
            results = await self.stores[place].commit(moved)
        except NotRecordableError as fault:
            if len(batches) == 1:
                return [Unwritten(fault)]
            return [result for batch in batches for result in await self._commit_at(place, [batch])]
        except StorageError as fault:
            return [Unwritten(fault)] * len(batches)
        return [
            Committed(self._number(result.run, place)) if isinstance(result, Committed) else result
            for result in results
        ]

    async def snapshot(self, run: int, seq: int, state: bytes) -> None:
        number, place = divmod(run, self.places)
        await self.stores[place].snapshot(number, seq, state)

    async def put_outbox(self, items: Sequence[OutboxItem]) -> None:
        for place, part in self._parted(items, lambda item: self.place_of(item.run_id)):
            await self.stores[place].put_outbox(part)

    async def settle_outbox(self, done: Sequence[int], again: Sequence[tuple[int, float]]) -> None:
        for place, store in enumerate(self.stores):
            own = [id // self.places for id in done if id % self.places == place]
            later = [(id // self.places, at) for id, at in again if id % self.places == place]
            if own or later:
                await store.settle_outbox(own, later)

    async def prune(self, ended_before: float, limit: int) -> list[str]:
        pruned: list[str] = []
        for store in self.stores:  # the oldest of each, not of all
            if len(pruned) < limit:
                pruned += await store.prune(ended_before, limit - len(pruned))
        return pruned

    # --- who drives -------------------------------------------------------------------------------------------------

    async def wanted(self, now: float, limit: int, after: int = 0) -> list[tuple[int, str]]:
        def ask(store: Store) -> Awaitable[list[tuple[int, str]]]:
            return store.wanted(now, limit, (after - self.stores.index(store)) // self.places)

        parts = [
            [(self._number(number, place), run_id) for number, run_id in part]
            for place, part in await self._there(ask)
        ]
        return sorted(one for part in parts for one in part)[:limit]  # what they have not said yet comes after these

    async def next_due(self) -> float | None:
        found = await self._there(lambda store: store.next_due())
        return min((at for _, at in found if at is not None), default=None)

    def on_told(self, call: Callable[[], None]) -> None:
        for store in self.stores:
            store.on_told(call)

    async def changed_outside(self) -> list[str] | None:
        found = [part for _, part in await self._there(lambda store: store.changed_outside()) if part is not None]
        return [run_id for part in found for run_id in part] if found else None

    async def take_over(self, run_ids: Sequence[str]) -> list[Loaded]:
        return await self._loaded(run_ids, lambda store, ids: store.take_over(ids))

    async def hand_out(self, run_ids: Sequence[str], node: int = 0) -> None:
        for place, part in self._parted(run_ids, self.place_of):
            await self.stores[place].hand_out(part, node)

    async def hand_over(self, node: int) -> int:
        return sum(await self._all(lambda store: store.hand_over(node)))

    # --- reading runs -----------------------------------------------------------------------------------------------

    async def load(self, run_ids: Sequence[str], after_seq: int = 0) -> list[Loaded]:
        return await self._loaded(run_ids, lambda store, ids: store.load(ids, after_seq))

    async def _loaded(
        self, run_ids: Sequence[str], ask: Callable[[Store, list[str]], Awaitable[list[Loaded]]]
    ) -> list[Loaded]:
        """From each database its own, in the order in which they were asked for."""
        found: dict[str, Loaded] = {}
        for place, part in self._parted(run_ids, self.place_of):
            for loaded in await ask(self.stores[place], part):
                loaded.run = self._number(loaded.run, place)
                found[loaded.run_id] = loaded
        return [found[run_id] for run_id in run_ids if run_id in found]

    async def events(self, run_id: str, after_seq: int, limit: int) -> list[AnyEvent]:
        return await self._store_of(run_id).events(run_id, after_seq, limit)

    async def rows(self, run_id: str, after_seq: int, limit: int) -> tuple[int, list[ChainRow]]:
        return await self._store_of(run_id).rows(run_id, after_seq, limit)

    async def stream(self, run_id: str, after: int, limit: int) -> list[StreamItem]:
        return await self._store_of(run_id).stream(run_id, after, limit)

    async def take_outbox(self, now: float, limit: int) -> list[OutboxItem]:
        parts = await self._there(lambda store: store.take_outbox(now, limit))
        items = [replace(item, id=self._number(item.id, place)) for place, part in parts for item in part]
        return sorted(items, key=lambda item: (item.due_at, item.id))[:limit]

    async def listeners(self, type: str, source: str, after: int, limit: int) -> list[tuple[int, str, str]]:
        found: list[tuple[int, str, str]] = []
        for place, store in enumerate(self.stores):
            part = await store.listeners(type, source, (after - place) // self.places, limit)
            found += [(self._number(number, place), run_id, signal) for number, run_id, signal in part]
        return sorted(found)[:limit]

    # --- listings ---------------------------------------------------------------------------------------------------

    async def list_runs(self, query: RunQuery) -> list[RunRow]:
        before = 0 if query.before is None else self.place_of(query.before)
        return await merged_runs(self.stores, query, before)

    async def ends(self, run_ids: Sequence[str]) -> dict[str, Ends]:
        found: dict[str, Ends] = {}
        for place, part in self._parted(run_ids, self.place_of):
            found |= await self.stores[place].ends(part)
        return found

    async def count_runs(self, query: CountQuery) -> dict[tuple[str, str], int]:
        return _summed(await self._all(lambda store: store.count_runs(query)))

    async def count_waiting(self, owner: str | None) -> dict[WaitReason, int]:
        return _summed(await self._all(lambda store: store.count_waiting(owner)))

    async def count_found(self, query: RunQuery, at_most: int) -> int:
        return min(at_most, sum(await self._all(lambda store: store.count_found(query, at_most))))

    async def list_approvals(self, query: ApprovalQuery) -> list[ApprovalRow]:
        if query.run_id is not None:
            return await self._store_of(query.run_id).list_approvals(query)
        return await merged_approvals(self.stores, query)

    async def count_approvals(self, query: ApprovalQuery) -> int:
        return sum(await self._all(lambda store: store.count_approvals(query)))

    # --- documents: in the first database ---------------------------------------------------------------------------

    async def save_definition(self, definition: Definition) -> None:
        await self._first.save_definition(definition)

    async def find_definition(self, *, digest: str = "", name: str = "", version: str = "") -> Definition | None:
        return await self._first.find_definition(digest=digest, name=name, version=version)

    async def list_definitions(self) -> list[Definition]:
        return await self._first.list_definitions()

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        return await self._first.put_record(record, expect_version=expect_version)

    async def get_records(self, kind: str, **query: Any) -> list[Record]:
        return await self._first.get_records(kind, **query)

    async def drop_record(self, kind: str, id: str) -> None:
        await self._first.drop_record(kind, id)

    # --- webhooks on their way --------------------------------------------------------------------------------------

    async def put_delivery(self, delivery: Delivery) -> None:
        await self._store_of(delivery.run_id).put_delivery(delivery)

    async def waiting_endpoints(self) -> list[tuple[str, float]]:
        first: dict[str, float] = {}
        for _, part in await self._there(lambda store: store.waiting_endpoints()):
            for endpoint, due_at in part:
                first[endpoint] = min(due_at, first.get(endpoint, math.inf))
        return list(first.items())

    async def due_deliveries(self, endpoint: str, now: float, limit: int) -> list[Delivery]:
        parts = await self._there(lambda store: store.due_deliveries(endpoint, now, limit))
        return sorted(self._numbered(parts), key=lambda one: (one.due_at or 0.0, one.number))[:limit]

    def _numbered(self, parts: Iterable[tuple[int, Sequence[Delivery]]]) -> list[Delivery]:
        return [replace(one, number=self._number(one.number, place)) for place, part in parts for one in part]

    async def hold_deliveries(self, ids: Sequence[str], now: float, until: float) -> set[str]:
        return set().union(*await self._all(lambda store: store.hold_deliveries(ids, now, until)))

    async def settle_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        for place, part in self._parted(deliveries, lambda one: self.place_of(one.run_id)):
            await self.stores[place].settle_deliveries(part)

    async def fail_deliveries(self, endpoint: str, limit: int) -> int:
        return sum([await store.fail_deliveries(endpoint, limit) for store in self.stores])

    async def list_deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """Newest first of each database; their numbers, not their instants, order those of several."""
        many, before = query.offset + query.limit, query.before
        parts = []
        for place, store in enumerate(self.stores):
            own = None if before is None else -(-(before - place) // self.places)
            parts.append(await store.list_deliveries(replace(query, before=own, offset=0, limit=many)))
        return sorted(self._numbered(enumerate(parts)), key=lambda one: -one.number)[query.offset : many]

    async def count_deliveries(self, query: DeliveryQuery, at_most: int) -> int:
        return min(at_most, sum(await self._all(lambda store: store.count_deliveries(query, at_most))))

    async def prune_deliveries(self, created_before: float, keep: int, limit: int) -> int:
        return sum(await self._all(lambda store: store.prune_deliveries(created_before, keep, limit)))

    async def drop_deliveries(self, endpoint: str, limit: int) -> int:
        return sum(await self._all(lambda store: store.drop_deliveries(endpoint, limit)))


K = TypeVar("K")


def _summed(parts: Iterable[dict[K, int]]) -> dict[K, int]:
    total: Counter[K] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)

"""Short ways to make batches, as a run's journal makes them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from stepwell.core import history as h
from stepwell.core.status import TERMINAL, Status
from stepwell.engine.ids import new_id
from stepwell.store.model import ApprovalRow, Batch, Committed, OutboxItem, RunRow, StreamItem
from stepwell.store.port import Store

T0 = 1_750_000_000.0
DAY = "2025-06-15"


def row_of(run_id: str, *, at: float = T0, **more: Any) -> RunRow:
    given: dict[str, Any] = {"workflow": "order", "version": "1", "status": Status.RUNNING, "created_at": at, **more}
    return RunRow(run_id=run_id, **given)


def event(n: int = 0) -> h.AnyEvent:
    return h.SnapshotTaken(at=T0 + n, label=f"event {n}")


def creation(run_id: str = "", *, events: int = 1, start_key: str | None = None, **row: Any) -> Batch:
    """The batch that creates a run."""
    at = row.get("at", T0)
    run_id = run_id or new_id(at)
    shown = row_of(run_id, **row)
    return Batch(
        run=0, run_id=run_id, base_seq=0, epoch=0, count=events, step="", attempts=0, row=shown,
        events=h.encode_events([event(n) for n in range(1, events + 1)]), start_key=start_key, definition="d",
        live=shown.status not in TERMINAL,
    )  # fmt: skip


def append(run: int, run_id: str, base_seq: int, *, events: int = 1, **more: Any) -> Batch:
    """A batch of events that follow `base_seq`."""
    new = [event(base_seq + n) for n in range(1, events + 1)]
    given: dict[str, Any] = {"step": "s", "attempts": 1, **more}
    return Batch(
        run=run, run_id=run_id, base_seq=base_seq, epoch=0, count=events,
        events=h.encode_events(new) if new else b"", **given,
    )  # fmt: skip


def with_items(batch: Batch, first: int, *items: StreamItem) -> Batch:
    batch.first_item, batch.item_count, batch.items = first, len(items), msgspec.json.encode(items)
    return batch


async def create(store: Store, *batches: Batch) -> list[int]:
    """Commit creations; the store's numbers of the runs."""
    results = await store.commit(batches)
    assert all(isinstance(result, Committed) for result in results), results
    return [result.run for result in results if isinstance(result, Committed)]


async def labels(store: Store, run_id: str, after_seq: int = 0, limit: int = -1) -> list[str]:
    """The labels of a run's events, to compare."""
    return [e.label for e in await store.events(run_id, after_seq, limit) if isinstance(e, h.SnapshotTaken)]


def asked(approval_id: str, run_id: str, **more: Any) -> ApprovalRow:
    given: dict[str, Any] = {
        "key": "/approve", "status": "pending", "workflow": "order", "owner": "anna", "title": "?", "prompt": "",
        "requested_at": T0, **more,
    }  # fmt: skip
    return ApprovalRow(approval_id=approval_id, run_id=run_id, **given)


def outbox(kind: str, *, due_at: float = T0) -> OutboxItem:
    return OutboxItem(kind=kind, run_id="r", data={"kind": kind}, due_at=due_at)


def ids(rows: Sequence[RunRow]) -> list[str]:
    return [row.run_id for row in rows]

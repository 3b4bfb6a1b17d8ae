"""The store port: what the engine needs from a database, as four small Protocols.

One `commit` writes a group of per-run batches: events, the run row, timers, approvals, stream items, outbox rows and
webhooks of all of them in one transaction. Uniqueness of `(run, seq)` is the only lock on a run: a batch whose
`base_seq` is no longer the run's last seq is answered `CONFLICT` and fails alone.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from stepwell.core.chain import ChainRow
from stepwell.core.history import AnyEvent
from stepwell.core.status import WaitReason
from stepwell.store.model import (
    ApprovalQuery,
    ApprovalRow,
    Batch,
    CommitResult,
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
)


class RunStore(Protocol):
    """Runs, their histories and what follows from them: what driving runs needs."""

    @property
    def shared(self) -> bool:
        """Whether other nodes may drive runs of the same database. Then a run is taken over before it is driven, and
        a commit that creates or wakes a run hands it out by itself.
        """

    def place_of(self, key: str) -> int:
        """Which of several databases holds the run with this id; 0 where there is one."""

    @property
    def lines(self) -> int:
        """How many groups of commits may be on their way at once."""

    async def open(self) -> None:
        """Connect, check that the database is ours and of this version, migrate it forward."""

    async def close(self) -> None:
        """Let go of all connections."""

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        """Write all batches in one transaction, durable on return; one answer per batch, in order."""

    async def load(self, run_ids: Sequence[str], after_seq: int = 0) -> list[Loaded]:
        """The runs that exist of `run_ids`, in that order, with their events after `after_seq`.

        From 0, a snapshot may stand in for the first part of the history.
        """

    async def events(self, run_id: str, after_seq: int, limit: int) -> list[AnyEvent]:
        """Up to about `limit` events (whole rows) that follow `after_seq`, oldest first. No snapshot is used."""

    async def rows(self, run_id: str, after_seq: int, limit: int) -> tuple[int, list[ChainRow]]:
        """The run's last seq (0: there is none), and up to `limit` rows of its history as they are stored, oldest
        first: those with events after `after_seq`, and the one before.
        """

    async def stream(self, run_id: str, after: int, limit: int) -> list[StreamItem]:
        """Up to about `limit` items (whole rows) that follow number `after`, oldest first.

        An `after` below 0 counts from the end: -3 is the last three.
        """

    async def snapshot(self, run: int, seq: int, state: bytes) -> None:
        """Keep the folded state at `seq`: a cache, deleting it changes nothing."""

    async def wanted(self, now: float, limit: int, after: int = 0) -> list[tuple[int, str]]:
        """Number and id of runs that need a driver: live ones after number `after`, then those with a due timer.

        A store that hands runs out leaves out the live ones that it has handed out. To miss one of these it may look
        at a part of them each time that it is asked from the beginning (`after` 0), all of them in turn.
        """

    async def next_due(self) -> float | None:
        """The earliest due instant of any timer."""

    async def take_outbox(self, now: float, limit: int) -> list[OutboxItem]:
        """Outbox items that are due, oldest first; they stay until settled."""

    async def put_outbox(self, items: Sequence[OutboxItem]) -> None:
        """Write items that follow from no run's commit."""

    async def listeners(self, type: str, source: str, after: int, limit: int) -> list[tuple[int, str, str]]:
        """Number, id and signal of the runs (numbers above `after`, ascending) that hear such an event."""

    async def settle_outbox(self, done: Sequence[int], again: Sequence[tuple[int, float]]) -> None:
        """Drop the done items; put off the others until the given instants."""

    async def prune(self, ended_before: float, limit: int) -> list[str]:
        """Delete up to `limit` runs that ended before that instant, oldest first; their ids."""

    def on_told(self, call: Callable[[], None]) -> None:
        """Have `call` called when `changed_outside` has something that a driver is to know soon: a verb, a signal. A
        store that hears of nothing by itself is asked now and then.
        """

    async def changed_outside(self) -> list[str] | None:
        """Ids of runs that another process appended to since the last call; None when none wrote anything.

        `ANY_RUN` among them: it is not known which.
        """

    async def take_over(self, run_ids: Sequence[str]) -> list[Loaded]:
        """Fence off whoever drove these runs until now, and load them; those that need no driver are left out."""

    async def hand_out(self, run_ids: Sequence[str], node: int = 0) -> None:
        """Have these runs driven by some node, where that has not been seen to. `node` drives none of them."""

    async def hand_over(self, node: int) -> int:
        """Hand out the runs that a node created and drove: it is no more, or is stopping. How many they were."""


class Queries(Protocol):
    """What listings and dashboards need; never folds a history."""

    async def list_runs(self, query: RunQuery) -> list[RunRow]:
        """One page of run rows, newest first."""

    async def ends(self, run_ids: Sequence[str]) -> dict[str, Ends]:
        """How the histories of these runs begin and end, of those that exist, in one read."""

    async def count_runs(self, query: CountQuery) -> dict[tuple[str, str], int]:
        """How many runs: (workflow, status) to number; reads totals, never runs."""

    async def count_waiting(self, owner: str | None) -> dict[WaitReason, int]:
        """How many runs wait, by what they wait for."""

    async def count_found(self, query: RunQuery, at_most: int) -> int:
        """How many runs a query with filters finds, counted up to `at_most`."""

    async def list_approvals(self, query: ApprovalQuery) -> list[ApprovalRow]:
        """One page of the inbox, newest first."""

    async def count_approvals(self, query: ApprovalQuery) -> int:
        """How many there are on all pages."""


class Documents(Protocol):
    """Definitions, and the small records of the product."""

    async def save_definition(self, definition: Definition) -> None:
        """Keep a definition; the same digest twice is one, and the newest of a name is its default version."""

    async def find_definition(self, *, digest: str = "", name: str = "", version: str = "") -> Definition | None:
        """By digest, or by name and (optionally) version: the newest."""

    async def list_definitions(self) -> list[Definition]:
        """The newest definition of every name and version, by name."""

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        """Write a record. With `expect_version` only over that version (0: only if new); says whether it did."""

    async def get_records(
        self, kind: str, *, id: str = "", owner: str | None = None, due_by: float | None = None, limit: int = 1000
    ) -> list[Record]:
        """Records of a kind: all, the one with `id`, those of `owner`, or those with `due_at` up to `due_by`.

        In the order of their ids; without an owner, those that are due in the order in which they are.
        """

    async def drop_record(self, kind: str, id: str) -> None:
        """Delete a record, if it is there."""


class Deliveries(Protocol):
    """Webhooks on their way: written with the commit that caused them, kept for a while once they have ended."""

    async def put_delivery(self, delivery: Delivery) -> None:
        """Write one that follows from no run's commit."""

    async def waiting_endpoints(self) -> list[tuple[str, float]]:
        """Every endpoint that has pending deliveries, and when the first of them is due."""

    async def due_deliveries(self, endpoint: str, now: float, limit: int) -> list[Delivery]:
        """Pending deliveries of an endpoint that are due, the longest due first."""

    async def hold_deliveries(self, ids: Sequence[str], now: float, until: float) -> set[str]:
        """Keep due deliveries for this node until an instant, or until they are settled; those that are its own now.

        Where nobody else could send them there is nothing to be done.
        """

    async def settle_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Write what became of deliveries: their status, next try and attempts."""

    async def fail_deliveries(self, endpoint: str, limit: int) -> int:
        """Give up to `limit` pending deliveries of an endpoint up; how many."""

    async def list_deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """One page, newest first."""

    async def count_deliveries(self, query: DeliveryQuery, at_most: int) -> int:
        """How many there are, counted up to `at_most`; the query's place and limit do not matter."""

    async def prune_deliveries(self, created_before: float, keep: int, limit: int) -> int:
        """Delete up to `limit` ended deliveries: old ones, and all but the newest `keep` of an endpoint and status;
        how many.
        """

    async def drop_deliveries(self, endpoint: str, limit: int) -> int:
        """Delete up to `limit` deliveries of an endpoint, whatever their status; how many."""


class Store(RunStore, Queries, Documents, Deliveries, Protocol):
    """A database of runs. All methods raise `StorageError` (or `StorageUnavailableError`) and nothing else."""

"""The store port: what the engine needs from a database, as four small Protocols.

One `commit` writes a group of per-run batches: events, the run row, timers, approvals, stream items, outbox rows and
webhooks of all of them in one transaction. Uniqueness of `(run, seq)` is the only lock on a run: a batch whose
`base_seq` is no longer the run's last seq is answered `CONFLICT` and fails alone.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

from stepwell.core.approvals import OWNER_ROLE
from stepwell.core.chain import ChainRow
from stepwell.core.errors import StorageError
from stepwell.core.history import AnyEvent, Listen
from stepwell.core.state import Vote
from stepwell.core.status import Status, WaitReason

NAME_LABEL: Final = "workflow_name"
"""The label of a run that holds its workflow's name at the time, where that is another than the engine's."""


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing shows of a run: equal to the fold of its history (P1). Instants: seconds since the epoch."""

    run_id: str
    workflow: str
    version: str
    status: Status
    created_at: float
    reason: str | None = None
    until: float | None = None
    step: str = ""
    attempts: int = 0
    generation: int = 1
    error_type: str | None = None
    error_text: str | None = None
    parent_id: str | None = None
    door: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    started_at: float | None = None
    ended_at: float | None = None
    seq: int = 0

    @property
    def workflow_name(self) -> str:
        """The workflow's name at the time of the run."""
        return self.labels.get(NAME_LABEL) or self.workflow


class ApprovalRow(msgspec.Struct, frozen=True, kw_only=True):
    """An approval in the inbox. `status` is pending, approved, rejected, expired or cancelled; `name` the step's."""

    approval_id: str
    run_id: str
    key: str
    status: str
    workflow: str
    owner: str
    title: str
    prompt: str
    requested_at: float
    approvers: tuple[str, ...] = ()
    schema: Any = None
    context: Any = None
    required: int = 1
    votes: int = 0
    due_at: float | None = None
    decided_at: float | None = None
    decided_by: str = ""
    comment: str = ""
    name: str = ""
    allow_self_approval: bool = True
    on_timeout: str = "fail"
    escalated: bool = False
    decisions: tuple[Vote, ...] = ()
    """Every answer, oldest first; `votes` counts those that approve."""

    @property
    def deciders(self) -> tuple[str, ...]:
        """Who is asked: ids and `role:` names, the owner in its own person."""
        named = self.approvers or (OWNER_ROLE,)
        return tuple(dict.fromkeys(self.owner if who == OWNER_ROLE else who for who in named))


class OutboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done at least once after the commit that decided it. `id` orders; 0 until stored."""

    kind: str
    run_id: str
    data: dict[str, Any]
    id: int = 0
    tries: int = 0
    due_at: float = 0.0


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at a delivery: the answer's `status` (0: none came) and, when it was no success, why."""

    at: float
    status: int = 0
    error: str = ""
    took_s: float = 0.0


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook to be sent, or sent: `body` to `url` (empty: where the endpoint is now) until it is taken.

    `status` is pending, delivered or failed (no more tries). `message` is its id at the receiver, the same on every
    try; `tries` counts them since it was last asked for, `due_at` is the instant of the next one. `number` is the
    store's own, in the order of the commits, 0 until stored.
    """

    id: str
    endpoint: str
    message: str
    type: str
    body: str
    created_at: float
    run_id: str = ""
    url: str = ""
    status: str = "pending"
    due_at: float | None = None
    tries: int = 0
    attempts: tuple[DeliveryAttempt, ...] = ()
    number: int = 0


class Batch(msgspec.Struct, kw_only=True):
    """What one run commits at once.

    `run` is the store's own number of the run, 0 to create it (then `row` is required). `events` is the encoded
    history row of `count` events that follow `base_seq`. `row` is the whole new row, None when only `seq`, `step`
    and `attempts` change. `was` is the status the run was counted under. `timers`: key to due instant, None drops
    it. `listens` is what the run hears from now on (None: as before). `live`
    says whether the run needs a driver from now on (None: as before). `node` is the number of the node that creates
    the run and drives it already (0: it is to be handed out). `outside`: who appends does not drive the run, so
    whoever does has to hear of it. `items` is the encoded stream row of `item_count` items from number `first_item`.
    """

    run: int
    run_id: str
    base_seq: int
    epoch: int
    count: int
    events: bytes
    step: str
    attempts: int
    hash: bytes = b""
    row: RunRow | None = None
    was: Status | None = None
    live: bool | None = None
    outside: bool = False
    node: int = 0
    start_key: str | None = None
    definition: str = ""
    timers: dict[str, float | None] = {}
    approvals: Sequence[ApprovalRow] = ()
    outbox: Sequence[OutboxItem] = ()
    deliveries: Sequence[Delivery] = ()
    listens: Sequence[Listen] | None = None
    first_item: int = 0
    item_count: int = 0
    items: bytes = b""


class Committed(msgspec.Struct, frozen=True):
    """The batch is on disk; `run` is the store's number of its run."""

    run: int


class Exists(msgspec.Struct, frozen=True):
    """Nothing was written: the start key, or the id, is taken by this run."""

    run_id: str


class Conflict(Enum):
    """Nothing was written: somebody else appended first, or drives the run now."""

    CONFLICT = "conflict"


CONFLICT = Conflict.CONFLICT


class Unwritten(msgspec.Struct, frozen=True):
    """Nothing was written: of several databases, the batch's own failed, and the others did not."""

    fault: StorageError


CommitResult = Committed | Exists | Conflict | Unwritten


class Loaded(msgspec.Struct, kw_only=True):
    """A run as stored: its events after the asked-for seq, oldest first, on top of `snapshot` where there is one."""

    run: int
    run_id: str
    epoch: int
    seq: int
    events: list[AnyEvent]
    next_item: int
    live: bool
    snapshot: bytes | None = None
    hash: bytes = b""
    """Of the last event, where the chain is on."""
    driven_before: bool = False
    """Of a run that was taken over: whether another node had driven it since it was handed out."""


class Ends(msgspec.Struct, frozen=True):
    """The first and the last event of a run's history."""

    first: AnyEvent
    last: AnyEvent


class StreamItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of a run's stream. `n` counts from 1 without a gap; 0 until committed."""

    type: str
    data: Any = None
    key: str = ""
    attempt: int = 0
    at: float = 0.0
    n: int = 0


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs, newest first. Empty means all; `search` matches id, workflow or a label's value, in any case,
    `named` the workflow's name at the time of the run.

    `reasons`: of waiting runs only those that wait for one of these. `origins` are doors, and `child` for runs that
    another one started. `before` is the id of the last run of the page before; `offset` skips that many (for doors
    that number pages).
    """

    owner: str | None = None
    workflows: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    reasons: tuple[WaitReason, ...] = ()
    origins: tuple[str, ...] = ()
    door: str | None = None
    parent_id: str | None = None
    search: str = ""
    named: str = ""
    created_from: float | None = None
    created_to: float | None = None
    before: str | None = None
    offset: int = 0
    limit: int = 20

    def __post_init__(self) -> None:
        """Each of them may be a range of an index of its own: named twice, its runs would be found twice."""
        for name in ("statuses", "reasons"):
            msgspec.structs.force_setattr(self, name, tuple(dict.fromkeys(getattr(self, name))))


class CountQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to count. Days are `YYYY-MM-DD`, UTC, inclusive, of the run's creation; `named` as in `RunQuery`."""

    owner: str | None = None
    workflow: str | None = None
    named: str = ""
    from_day: str | None = None
    to_day: str | None = None


class ApprovalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which approvals, newest first. `deciders`: ids and `role:` names, one of which must be asked (or own it).

    `before` is the id of the last one of the page before; `offset` skips that many.
    """

    owner: str | None = None
    deciders: tuple[str, ...] = ()
    approval_id: str | None = None
    run_id: str | None = None
    status: str | None = "pending"
    before: str | None = None
    offset: int = 0
    limit: int = 50


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A stored workflow: `digest` is the hash of its text; a run keeps the one it started with."""

    digest: str
    kind: str
    name: str
    version: str
    text: str
    created_at: float = 0.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A small document of the product: schedules, keys, endpoints, ... `due_at` is when it wants attention."""

    kind: str
    id: str
    data: dict[str, Any]
    owner: str = ""
    version: int = 1
    due_at: float | None = None


ANY_RUN: Final = "*"
"""In place of a run's id: perhaps every run."""

STEADY: Final = ("template", "definition", "pipeline")
"""Kinds of records that every start of a run reads, and that change seldom: a store may keep them in memory, and see
late (as `changed_outside` does) that another process has written one."""


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


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries of an endpoint, newest first. `before` is the number of the last one of the page before."""

    endpoint: str
    status: str | None = None
    id: str = ""
    before: int | None = None
    offset: int = 0
    limit: int = 20


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

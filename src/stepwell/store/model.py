"""What the store takes and gives: runs as lists show them, batches of commits, queries, definitions, documents."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import msgspec

from stepwell.core.approvals import OWNER_ROLE
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


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries of an endpoint, newest first. `before` is the number of the last one of the page before."""

    endpoint: str
    status: str | None = None
    id: str = ""
    before: int | None = None
    offset: int = 0
    limit: int = 20

"""Writes large data sets, fast: real events, folded by the real `apply`, written by the real store in large groups.

So whatever the rows imply (run row, totals, search text, timers, approvals) is what the engine would have written;
`check` proves it on a sample and on the totals. Rows are split as the engine splits them: the start with the first
step, then the outcome.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import problem
from stepwell.core.run import apply, fold
from stepwell.core.state import State, StepKind
from stepwell.core.status import Status
from stepwell.engine.ids import derived_id, new_id
from stepwell.engine.projections import approval_row, run_row
from stepwell.store.model import Batch, Committed, CountQuery, Definition, RunQuery
from stepwell.store.port import Store

GROUP: Final = 5_000
KEY: Final = "/do/0/work"
Rows = list[list[h.AnyEvent]]

FINISHED: Final = {Status.COMPLETED: 1.0}
MIXED: Final = {
    Status.COMPLETED: 0.9, Status.FAILED: 0.05, Status.CANCELLED: 0.02, Status.WAITING: 0.02,
    Status.RUNNING: 0.005, Status.PAUSED: 0.003, Status.SCHEDULED: 0.001, Status.PENDING: 0.000_9,
    Status.STOPPING: 0.000_1,
}  # fmt: skip


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write: `runs` runs, spread evenly over the time from `first_at` to `last_at` and over `workflows`."""

    runs: int
    first_at: float
    last_at: float
    workflows: Sequence[Definition]
    shares: dict[Status, float]
    owner: str = ""
    doors: Sequence[str] = ("",)
    labelled: bool = False
    seed: int = 1


class Order(msgspec.Struct, frozen=True):
    """One run to write."""

    run_id: str
    at: float
    workflow: Definition
    status: Status
    owner: str
    door: str
    labels: dict[str, str]


def orders(plan: Plan) -> Iterator[Order]:
    """The runs of a plan, oldest first; the same for the same seed, but for the random part of the ids."""
    chance = random.Random(plan.seed)
    step_s = (plan.last_at - plan.first_at) / plan.runs
    statuses = chance.choices(list(plan.shares), list(plan.shares.values()), k=plan.runs)
    for number, status in enumerate(statuses):
        at = plan.first_at + number * step_s
        labels = _labels(number, chance) if plan.labelled else {}
        workflow, door = chance.choice(plan.workflows), chance.choice(plan.doors)
        yield Order(new_id(at), at, workflow, status, plan.owner, door, labels)


def _labels(number: int, chance: random.Random) -> dict[str, str]:
    """Values from "in half of all runs" to "in one run"."""
    labels = {
        "stage": "production" if chance.random() < 0.5 else "testing",
        "region": chance.choice(("north", "south", "east", "west")),
        "customer": f"customer {chance.randrange(10_000):04d}",
        "order": f"order-{number:07d}",
    }
    if number % 50_000 == 7:
        labels["note"] = "Zebra crossing"
    return labels


def events_of(order: Order) -> Rows:
    """The history of one run, row by row."""
    at = order.at
    created = h.RunCreated(
        at=at, run_id=order.run_id, workflow=order.workflow.name, version=order.workflow.version,
        definition=order.workflow.digest, owner=order.owner, door=order.door, labels=order.labels,
        start_at=at + 1e8 if order.status is Status.SCHEDULED else None,
    )  # fmt: skip
    if order.status in (Status.SCHEDULED, Status.PENDING):
        return [[created]]
    first: list[h.AnyEvent] = [created, h.RunStarted(at=at + 0.001)]
    if order.status is Status.WAITING:
        return [[*first, _waits(order)]]
    first += [
        h.StepScheduled(at=at + 0.001, key=KEY, name="work"),
        h.AttemptStarted(at=at + 0.001, key=KEY, attempt=1),
    ]
    last = _last(order.status, at + 0.005)
    return [first, last] if last else [first]


def _waits(order: Order) -> h.AnyEvent:
    at = order.at + 0.002
    match UUID(derived_id(order.run_id, KEY)).int % 3:
        case 0:
            return h.SignalAwaited(at=at, key=KEY, signal="go", name="work")
        case 1:
            return h.TimerSet(at=at, key=KEY, due_at=at + 1e8, name="work")
        case _:
            approval_id = str(derived_id(order.run_id, KEY))
            return h.ApprovalRequested(at=at, key=KEY, approval_id=approval_id, request=ApprovalRequest(prompt="Go?"))


def _last(status: Status, at: float) -> list[h.AnyEvent]:
    """What follows the first step's start."""
    fault = problem("runtime", "the warehouse does not answer")
    match status:
        case Status.COMPLETED:
            return [h.StepCompleted(at=at, key=KEY), h.RunCompleted(at=at)]
        case Status.FAILED:
            return [
                h.AttemptFailed(at=at, key=KEY, attempt=1, error=fault),
                h.StepFailed(at=at, key=KEY, error=fault),
                h.RunFailed(at=at, error=fault, forget=(KEY,)),
            ]
        case Status.CANCELLED:
            return [h.RunCancelled(at=at)]
        case Status.PAUSED:
            return [h.RunPaused(at=at)]
        case Status.STOPPING:
            return [h.StopRequested(at=at)]
        case _:
            return []


async def write(store: Store, plan: Plan) -> None:
    """Write all runs of a plan to an open store."""
    for workflow in plan.workflows:
        await store.save_definition(workflow)
    group: list[Order] = []
    for order in orders(plan):
        group.append(order)
        if len(group) == GROUP:
            await _write_group(store, group)
            group = []
    await _write_group(store, group)


async def _write_group(store: Store, group: list[Order]) -> None:
    """Two commits: all first rows, then all second rows."""
    runs = [(State(), events_of(order)) for order in group]
    numbers = await _commit(store, [_batch(state, rows[0], 0) for state, rows in runs])
    later = [(state, rows[1], number) for (state, rows), number in zip(runs, numbers, strict=True) if len(rows) > 1]
    await _commit(store, [_batch(state, events, number) for state, events, number in later])


async def _commit(store: Store, batches: list[Batch]) -> list[int]:
    results = await store.commit(batches) if batches else []
    numbers = [result.run for result in results if isinstance(result, Committed)]
    assert len(numbers) == len(batches), "nobody else writes"
    return numbers


def _batch(state: State, events: list[h.AnyEvent], run: int) -> Batch:
    """Fold the events in, and what the store is to write of them."""
    base_seq, was = state.seq, state.status if run else None
    for event in events:
        apply(state, event)
    approvals = [
        approval_row(state, key, step) for key, step in state.steps.items() if step.kind is StepKind.APPROVAL
    ]
    return Batch(
        run=run, run_id=state.run_id, base_seq=base_seq, epoch=0, count=len(events), events=h.encode_events(events),
        step=state.current, attempts=state.attempts, row=run_row(state), was=was, definition=state.definition,
        live=not (state.at_rest or state.status is Status.WAITING), timers=dict(state.timers), approvals=approvals,
    )  # fmt: skip


async def check(store: Store, plan: Plan, *, sample: int = 500) -> None:
    """Totals match the plan; sampled histories fold to their rows; sampled ids are found by search."""
    wanted = Counter((order.workflow.name, str(order.status)) for order in orders(plan))
    assert await store.count_runs(CountQuery(owner=plan.owner)) == wanted, "the totals differ"
    for offset in range(0, sample, 100):
        before = new_id(plan.last_at - (plan.last_at - plan.first_at) * offset / sample)
        nearest = await store.list_runs(RunQuery(created_to=_instant(before), limit=100))
        for row in nearest:
            assert run_row(fold(await store.events(row.run_id, 0, -1))) == row, f"{row.run_id} is not its fold"
        found = await store.list_runs(RunQuery(search=nearest[0].run_id))
        assert [row.run_id for row in found] == [nearest[0].run_id], "the search text is missing"


def _instant(run_id: str) -> float:
    """The time within a UUIDv7, in seconds."""
    return int(run_id.replace("-", "")[:12], 16) / 1000

"""The named invariants of the design (section 11), checked over a database as it lies on disk.

`ran` is the log of activities that began: each must have been the current attempt of a step that was open on disk.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import apsw
import msgspec

from stepwell.core import history as h
from stepwell.core.run import apply
from stepwell.core.state import State, Step, StepKind, StepStatus
from stepwell.core.status import TERMINAL, Status
from stepwell.engine.projections import approval_row, run_row
from stepwell.store.model import ApprovalRow, RunRow, StreamItem
from stepwell.store.rows import day_of


class Began(Protocol):
    """An activity that began, when, and the seq of its run on disk at that moment."""

    @property
    def run_id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def disk_seq(self) -> int: ...
    @property
    def at(self) -> float: ...


ENDS = (h.RunCompleted, h.RunFailed, h.RunCancelled)
AGAIN = (h.RunRetried, h.RunRolledBack)
LATE = (h.LateResultDiscarded,)
OPENINGS = (h.StepScheduled, h.TimerSet, h.SignalAwaited, h.ApprovalRequested, h.ChildStarted)
CLOSINGS = (h.StepCompleted, h.StepFailed, h.TimerFired, h.WaitExpired, h.ApprovalDecided, h.ChildEnded)
ANSWER_S = 0.05
"""So long after a write its process may begin what it allowed: what another one has written since, it cannot know."""
UNDER_WAY_S = 0.5
"""A start that is under way goes through, and the cancellation follows it; one that was put off takes longer."""
CHOICES = (h.RaceDecided, h.ValueRecorded, h.ItemPublished)


def check_invariants(
    disk: apsw.Connection, ran: Sequence[Began], *, crashes: int, quiet: bool, two: bool = False
) -> None:
    """`crashes`: how often the process died. `quiet`: nothing is left to be done, so the outbox must be empty.
    `two`: whether another process writes, too.
    """
    began: dict[str, list[Began]] = defaultdict(list)
    for one in ran:
        began[one.run_id].append(one)
    listed: Counter[tuple[str, str, str, str]] = Counter()
    for number, run_id, live in list(disk.execute("SELECT id, uuid, live FROM run")):
        events = read_history(disk, number)
        state, approvals = _check_history(run_id, events, began.get(run_id, []), crashes, two=two)
        row = _check_run_row(disk, run_id, state)
        listed[row.owner, row.workflow, day_of(row.created_at), row.status] += 1
        _check_timers(disk, number, state)
        _check_approvals(disk, number, approvals)
        _check_stream(disk, number, run_id, events)
        if state.at_rest or (quiet and state.waits and not state.active):
            assert not live, f"{run_id} is {state.status} and still live"
        if quiet:
            _check_children(disk, run_id, state)
    totals = disk.execute(
        "SELECT owner, workflow, day, status, sum(runs) FROM run_count JOIN series ON series.id = series "
        "GROUP BY 1, 2, 3, 4"
    )
    found = {tuple(row[:4]): row[4] for row in totals if row[4]}
    assert {key: runs for key, runs in found.items() if key[2]} == dict(listed), "totals differ from the listing"
    every_day = Counter[tuple[str, str, str, str]]()
    for (owner, workflow, _, status), runs in listed.items():
        every_day[owner, workflow, "", status] += runs
    assert {key: runs for key, runs in found.items() if not key[2]} == dict(every_day), "totals of all days differ"
    if quiet:
        left = list(disk.execute("SELECT kind, run, tries FROM outbox"))
        assert not left, f"the outbox is not empty: {left}"


def read_history(disk: apsw.Connection, number: int) -> list[h.AnyEvent]:
    """All events of a run; its rows must follow each other (H1)."""
    events: list[h.AnyEvent] = []
    for seq, count, row in disk.execute(
        "SELECT seq, count, events FROM history WHERE run = ? ORDER BY seq", (number,)
    ):
        found = h.decode_events(row)
        assert seq == len(events) + 1, f"H1: run {number} has a gap or an overlap at {seq}"
        assert count == len(found), f"H1: run {number} says {count} events at {seq}, has {len(found)}"
        events += found
    return events


def _check_history(
    run_id: str, events: list[h.AnyEvent], began: Sequence[Began], crashes: int, *, two: bool
) -> tuple[State, list[ApprovalRow]]:
    state = State()
    closed: set[str] = set()
    opened: set[str] = set()
    decided: set[str] = set()
    approvals: dict[str, ApprovalRow] = {}
    repeats: Counter[str] = Counter()
    spans: dict[tuple[str, int], list[float]] = {}
    for seq, event in enumerate(events, 1):
        place = f"{run_id}@{seq} {type(event).__name__}"
        assert not state.terminal or isinstance(event, (*AGAIN, *LATE)), f"H2: {place} follows the end"
        before = {key: state.steps[key] for key in (*state.active, *state.waits)}
        if isinstance(event, CLOSINGS):
            assert event.key in before, f"S1: {place} closes {event.key}, which is not open"
        if isinstance(event, OPENINGS):
            assert event.key not in opened, f"S1: {place} opens {event.key} a second time"
            opened.add(event.key)
        if isinstance(event, CHOICES):
            assert event.key not in decided, f"R1: {place} decides {event.key} a second time"
            decided.add(event.key)
        if isinstance(event, h.AttemptFailed):
            assert state.steps[event.key].attempt == event.attempt, f"L1: {place}"
        if isinstance(event, h.AttemptStarted):
            _count_repeat(state.steps.get(event.key), event, repeats, crashes, place)
            spans[event.key, event.attempt] = [seq, float("inf")]
        if isinstance(event, h.RunStarted):
            assert event.at >= (state.start_at or 0.0), f"{place} comes before its time, {state.start_at}"
        running = _running(state)
        apply(state, event)
        assert state.seq == seq
        for key in before:
            step = state.steps[key]
            if step.closed or step is not before[key]:
                assert key not in closed, f"S1: {place} ends {key} a second time"
                closed.add(key)
        for ended in running - _running(state):
            spans[ended][1] = seq
        if isinstance(event, AGAIN):
            gone = {key for key, step in state.steps.items() if step.forgotten}
            closed -= gone
            opened -= gone
            decided &= state.choices.keys()
        for key, step in state.steps.items():
            if step.approval is not None:
                approvals[step.approval.id] = approval_row(state, key, step)
    for one in began:
        span = spans.get((one.key, one.attempt))
        assert span is not None, f"{run_id}: {one.key} ran as attempt {one.attempt}, of which nothing is on record"
        unheard = two and span[1] <= one.disk_seq and one.at - events[int(span[1]) - 1].at < ANSWER_S
        assert span[0] <= one.disk_seq < span[1] or unheard, (
            f"{run_id}: attempt {one.attempt} of {one.key} began while the disk was at {one.disk_seq}, "
            f"but stands from {span[0]} to {span[1]}"
        )
    tried = Counter((one.key, one.attempt) for one in began)
    assert not tried or max(tried.values()) == 1, f"{run_id}: an attempt began twice: {tried.most_common(1)}"
    return state, list(approvals.values())


def _running(state: State) -> set[tuple[str, int]]:
    """Keys and attempts in flight."""
    steps = ((key, state.steps[key]) for key in state.active)
    return {(key, step.attempt) for key, step in steps if step.status is StepStatus.RUNNING}


def _count_repeat(
    step: Step | None, event: h.AttemptStarted, repeats: Counter[str], crashes: int, place: str
) -> None:
    """An attempt that follows one which did not fail repeats it: only a crash may cause that."""
    assert step is not None
    if step.attempt and not step.closed and step.due_at is None and step.started_at is not None:
        repeats[event.key] += 1
        assert repeats[event.key] <= crashes, f"{place}: {event.key} was repeated without a crash"


def _check_run_row(disk: apsw.Connection, run_id: str, state: State) -> RunRow:
    """P1: the row equals the fold."""
    seq, step, attempts, status, ended_at, shown = next(
        disk.execute("SELECT seq, step, attempts, status, ended_at, shown FROM run WHERE uuid = ?", (run_id,))
    )
    row = msgspec.structs.replace(msgspec.json.decode(shown, type=RunRow), seq=seq, step=step, attempts=attempts)
    expected = run_row(state)
    assert row == expected, f"P1: {run_id} is listed as {row}, folds to {expected}"
    assert (status, ended_at) == (row.status, row.ended_at), f"P1: columns of {run_id}"
    return row


def _check_timers(disk: apsw.Connection, number: int, state: State) -> None:
    rows = dict(disk.execute("SELECT key, due_at FROM timer WHERE run = ?", (number,)))
    assert rows == state.timers, f"W1: {state.run_id} has timers {state.timers}, rows {rows}"


def _check_approvals(disk: apsw.Connection, number: int, expected: list[ApprovalRow]) -> None:
    rows = {
        row.approval_id: row
        for (shown,) in disk.execute("SELECT shown FROM approval WHERE run = ?", (number,))
        for row in [msgspec.json.decode(shown, type=ApprovalRow)]
    }
    assert rows == {row.approval_id: row for row in expected}, f"A1: inbox {rows}, folds to {expected}"


def _check_stream(disk: apsw.Connection, number: int, run_id: str, events: list[h.AnyEvent]) -> None:
    items: list[StreamItem] = []
    for n, count, row in disk.execute("SELECT n, count, items FROM stream WHERE run = ? ORDER BY n", (number,)):
        found = msgspec.json.decode(row, type=list[StreamItem])
        assert n == len(items) + 1, f"{run_id}: the stream has a gap at {n}"
        assert len(found) == count
        items += found
    said = Counter(event.key for event in events if isinstance(event, h.ItemPublished))
    records = {event.key for event in events if isinstance(event, h.ValueRecorded)}  # which show items beside them
    there = Counter(item.key for item in items if not item.attempt and item.key not in records)
    assert said == there, f"{run_id} published {said}, its stream holds {there}"


def _check_children(disk: apsw.Connection, run_id: str, state: State) -> None:
    for key, step in state.steps.items():
        if step.kind is not StepKind.CHILD:
            continue
        found: Any = disk.execute("SELECT shown FROM run WHERE uuid = ?", (step.child_id,)).get
        if found is None:  # cancelled before it was started: then it never is
            assert step.status is StepStatus.CANCELLED, f"{run_id}: the child under {key} was never started"
            continue
        child = msgspec.json.decode(found, type=RunRow)
        if step.closed and not step.detached:
            assert child.status in TERMINAL, f"{run_id}: the child under {key} is {child.status}, nobody waits for it"
            late = child.created_at > step.closed_at + UNDER_WAY_S and child.status is not Status.CANCELLED
            assert not late, f"{run_id}: the child under {key} was started when nobody waited for it any more"

"""The status table, walked cell by cell against `decide` on real histories."""

from typing import Any

import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.decide import decide
from stepwell.core.run import apply
from stepwell.core.state import State
from stepwell.core.status import TERMINAL, TRANSITIONS, Answer, Status, Trigger, WaitReason, allowed_from, outcome

from .histories import (
    BOOM,
    CALLBACK,
    CANCELLED,
    COMPLETED,
    FAILED,
    NOW,
    PAUSED,
    STOPPING,
    asked,
    awaited,
    child,
    created,
    opened,
    retrying,
    running,
    shown,
    signalled,
    state_of,
    timer,
)  # fmt: skip

STANDING: dict[Status, list[h.AnyEvent]] = {
    Status.SCHEDULED: [created(start_at=50.0)],
    Status.PENDING: [created()],
    Status.RUNNING: running(),
    Status.WAITING: running(timer()),
    Status.PAUSED: running(*opened(), timer(), PAUSED),
    Status.STOPPING: running(STOPPING),
    Status.COMPLETED: running(COMPLETED),
    Status.FAILED: running(FAILED),
    Status.CANCELLED: running(CANCELLED),
}
"""A history that ends in each status."""

COMMANDS: dict[Trigger, c.AnyCommand] = {
    Trigger.PICK_UP: c.PickUp(),
    Trigger.FINISH: c.CompleteRun(),
    Trigger.FAIL: c.FailRun(error=BOOM),
    Trigger.WAIT: c.SetTimer(key="new", due_at=200.0),
    Trigger.WAKE: c.FireTimer(key="t"),
    Trigger.PAUSE: c.PauseRun(),
    Trigger.RESUME: c.ResumeRun(),
    Trigger.CANCEL: c.CancelRun(),
    Trigger.STOP: c.StopRun(),
    Trigger.RETRY: c.RetryRun(),
    Trigger.ROLL_BACK: c.RollBackRun(to_seq=1),
    Trigger.FALL_DUE: c.FireTimer(key=""),
}

SILENT = {Trigger.PICK_UP, Trigger.WAIT, Trigger.WAKE, Trigger.FALL_DUE}
"""What the run's own driver asks: where it is not due it changes nothing, or is held, and nobody is told."""

OF_ITSELF = {(Status.WAITING, Trigger.FINISH), (Status.WAITING, Trigger.WAIT)}
"""WAITING is derived: a program that goes on by itself has woken, whatever else is open. Not refused."""


def _after(events: list[h.AnyEvent], command: c.AnyCommand) -> tuple[Any, State]:
    state = state_of(events)
    decision = decide(state, command, NOW)
    if isinstance(decision, list):
        for event in decision:
            apply(state, event)
    return shown(decision), state


@pytest.mark.parametrize("status", Status)
def test_history_of_the_table_stands_where_it_says(status: Status) -> None:
    assert state_of(STANDING[status]).status is status


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("status", Status)
def test_decide_does_what_the_cell_says(status: Status, trigger: Trigger) -> None:
    cell = outcome(status, trigger)
    answer, state = _after(STANDING[status], COMMANDS[trigger])
    match cell:
        case Status():
            assert state.status is cell
            assert answer, f"{trigger} in {status} should cause an event"
        case Answer.NO_CHANGE:
            assert answer == []
        case Answer.HOLD:
            assert answer in ("hold", []), "held: asked again when the run is resumed"
            assert state.status is status
        case Answer.REFUSE if (status, trigger) in OF_ITSELF:
            assert isinstance(answer, list)
        case Answer.REFUSE:
            assert answer == "wrong_status" or (trigger in SILENT and answer in ([], "hold")), answer
            assert state.status is status


def test_stops_and_cancels_are_accepted_wherever_the_run_lives() -> None:
    living = {str(status) for status in Status} - {str(status) for status in TERMINAL}
    assert living <= set(allowed_from(Trigger.STOP)) & set(allowed_from(Trigger.CANCEL))


def test_only_retry_and_roll_back_leave_an_end() -> None:
    for status in TERMINAL:
        leaving = {trigger for trigger, cell in TRANSITIONS[status].items() if isinstance(cell, Status)}
        assert leaving <= {Trigger.RETRY, Trigger.ROLL_BACK}


def test_resumed_run_stands_where_it_stood() -> None:
    for status in (Status.SCHEDULED, Status.PENDING, Status.RUNNING, Status.WAITING):
        resumed = [*STANDING[status], PAUSED, h.RunResumed(at=6.0)]
        assert state_of(resumed).status is status


WAITS: list[tuple[list[h.AnyEvent], WaitReason | None]] = [
    ([], None),
    ([timer()], WaitReason.TIMER),
    ([awaited()], WaitReason.EVENT),
    ([awaited(reason=CALLBACK)], WaitReason.CALLBACK),
    ([child()], WaitReason.CHILD),
    ([asked()], WaitReason.APPROVAL),
    ([child(), timer()], WaitReason.TIMER),
    ([child(), timer(), awaited(), asked()], WaitReason.APPROVAL),
    ([timer(), *opened()], None),
    ([timer(), *retrying()], None),
    ([awaited(), signalled()], None),
]


@pytest.mark.parametrize(("events", "reason"), WAITS)
def test_strongest_reason_to_wait_is_shown(events: list[h.AnyEvent], reason: WaitReason | None) -> None:
    state = state_of(running(*events))
    assert state.waiting_for is reason
    assert (state.status is Status.WAITING) is (reason is not None)


def test_waiting_run_says_until_when() -> None:
    state = state_of(running(timer("t", 80.0), timer("u", 60.0), awaited(deadline=90.0)))
    assert state.waiting_until == 60.0
    assert state_of(running(awaited())).waiting_until is None
    assert state_of(running()).waiting_until is None


@pytest.mark.parametrize("status", Status)
def test_run_at_rest_needs_no_driver(status: Status) -> None:
    at_rest = {*TERMINAL, Status.PAUSED, Status.SCHEDULED}
    assert state_of(STANDING[status]).at_rest is (status in at_rest)

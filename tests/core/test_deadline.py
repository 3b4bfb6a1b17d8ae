"""A run's own time: it counts from its start, stands still in a pause, begins anew with a retry, and ends the run."""

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.run import DEADLINE_TIMER
from stepwell.core.status import Status

from .histories import (
    CANCELLED,
    PAUSED,
    RESUMED,
    STARTED,
    STOPPING,
    created,
    opened,
    outcome,
    running,
    state_of,
    then,
    timer,
)

FIRE = c.FireTimer(key=DEADLINE_TIMER)
BOUNDED = running(*opened(), timer(due_at=500.0), timeout_s=60.0)


def _due(events: list[h.AnyEvent]) -> float | None:
    return state_of(events).timers.get(DEADLINE_TIMER)


def test_time_counts_from_the_start() -> None:
    assert _due([created(timeout_s=60.0)]) is None
    assert _due(BOUNDED) == 62.0
    assert _due(running()) is None


def test_run_that_takes_too_long_fails() -> None:
    events = then(BOUNDED, FIRE, now=62.0)
    state = state_of(events)
    assert [type(event).__name__ for event in events[-2:]] == ["RunTimedOut", "RunFailed"]
    assert (state.status, state.timers, state.forget) == (Status.FAILED, {}, ("s", "t"))
    assert state.error is not None
    assert state.error.type.endswith("/run_timeout")
    assert state.error.detail == "the run took longer than 60 s"


def test_run_does_not_fail_before_its_time() -> None:
    assert outcome(BOUNDED, FIRE, now=61.9) == []


def test_run_that_stops_too_slowly_fails_too() -> None:
    assert outcome([*BOUNDED, STOPPING], FIRE, now=62.0) == ["RunTimedOut", "RunFailed"]


def test_time_stands_still_in_a_pause() -> None:
    paused = [*BOUNDED, PAUSED]  # at 5
    assert _due(paused) is None
    assert outcome(paused, FIRE, now=1000.0) == []
    assert _due([*paused, h.RunResumed(at=105.0)]) == 162.0
    assert _due([*paused, RESUMED, h.RunPaused(at=10.0), h.RunResumed(at=20.0)]) == 73.0


def test_retry_has_the_whole_time_again() -> None:
    retried = [*BOUNDED, PAUSED, CANCELLED, h.RunRetried(at=100.0, generation=2)]
    assert _due(retried) is None
    assert _due([*retried, h.RunStarted(at=101.0)]) == 161.0


def test_rolled_back_run_has_the_whole_time_again() -> None:
    rolled_back = [*BOUNDED, PAUSED, h.RunRolledBack(at=100.0, to_seq=2, generation=2), h.RunResumed(at=110.0)]
    assert _due(rolled_back) is None
    assert _due([*rolled_back, h.RunStarted(at=111.0)]) == 171.0


def test_started_run_without_a_limit_has_no_timer_of_its_own() -> None:
    assert state_of([created(), STARTED]).timers == {}

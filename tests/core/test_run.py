"""`apply`: what a history adds up to, above all what retry and roll-back forget."""

from typing import Any

import msgspec
import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.errors import (
    ERROR_BASE,
    Problem,
    ProgramError,
    RunNotFoundError,
    StepFailure,
    WorkflowNotFoundError,
    code_of,
    problem,
)
from stepwell.core.state import State, StepStatus
from stepwell.core.status import Status

from .histories import (
    BOOM,
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    RESUMED,
    STARTED,
    asked,
    awaited,
    child,
    completed,
    created,
    failed,
    opened,
    raw,
    retrying,
    running,
    signalled,
    state_of,
    then,
    timer,
)  # fmt: skip


def data_of(state: State, key: str) -> Any:
    return msgspec.json.decode(state.steps[key].output)["data"]


# --- signals --------------------------------------------------------------------------------------------------------


def test_signal_goes_to_the_oldest_wait_for_its_name() -> None:
    state = state_of(running(awaited("w1"), awaited("w2"), awaited("x", "other"), signalled(data="hello")))
    assert [state.steps[key].closed for key in ("w1", "w2", "x")] == [True, False, False]
    assert data_of(state, "w1") == "hello"


def test_early_signals_are_kept_and_taken_in_order() -> None:
    state = state_of(running(signalled("1", data=1), signalled("2", data=2), awaited("w1"), awaited("w2")))
    assert [data_of(state, key) for key in ("w1", "w2")] == [1, 2]
    assert state.early == {}


def test_signal_with_a_deadline_disarms_its_timer() -> None:
    assert state_of(running(awaited(deadline=50.0), signalled())).timers == {}


def test_wait_that_lost_its_race_takes_no_signal() -> None:
    race = h.RaceDecided(at=4.0, key="r", winner="x", cancelled=("w1",))
    state = state_of(running(awaited("w1"), race, awaited("w2"), signalled(data=1)))
    assert state.steps["w1"].status is StepStatus.CANCELLED
    assert data_of(state, "w2") == 1


# --- retry and roll-back --------------------------------------------------------------------------------------------


def test_retry_forgets_what_failed_and_what_the_end_cut_off() -> None:
    events = running(*opened("done"), completed("done"), *opened("bad"), *failed("bad"), timer())
    events = then(events, c.FailRun(error=BOOM, forget=("bad",)))
    state = state_of(then(events, c.RetryRun()))
    assert [key for key, step in state.steps.items() if step.forgotten] == ["bad", "t"]
    assert (state.phase, state.generation, state.error) == (Status.PENDING, 2, None)


def test_retry_of_a_cancelled_run_forgets_what_the_cancel_cut_off() -> None:
    events = then(running(*opened("done"), completed("done"), *opened("cut")), c.CancelRun(reason="no"))
    assert state_of(events).reason == "no"
    state = state_of(then(events, c.RetryRun()))
    assert [key for key, step in state.steps.items() if step.forgotten] == ["cut"]
    assert state.reason == ""


def test_retry_gives_a_forgotten_signal_back() -> None:
    events = running(
        awaited(), signalled("7", data="hello"), FAILED, h.RunRetried(at=10.0, generation=2, forget=("w",))
    )
    state = state_of([*events, STARTED, awaited()])
    assert data_of(state, "w") == "hello"


def test_signals_are_given_back_in_the_order_they_came() -> None:
    waits: list[h.AnyEvent] = [awaited("w1"), signalled("1", data=1), awaited("w2"), signalled("2", data=2)]
    late: list[h.AnyEvent] = [signalled("3", data=3)]
    again = h.RunRolledBack(at=10.0, to_seq=2, generation=2)
    resumed: list[h.AnyEvent] = [h.RunResumed(at=11.0), STARTED, awaited("w1"), awaited("w2"), awaited("w3")]
    state = state_of(running(*waits, *late, PAUSED, again, *resumed))
    assert [data_of(state, key) for key in ("w1", "w2", "w3")] == [1, 2, 3]


def test_expired_wait_gives_nothing_back() -> None:
    expired: list[h.AnyEvent] = [awaited(deadline=50.0), h.WaitExpired(at=50.0, key="w")]
    state = state_of(running(*expired, FAILED, h.RunRetried(at=60.0, generation=2, forget=("w", "w", "unknown"))))
    assert state.early == {}


def test_roll_back_forgets_all_outcomes_after_the_point() -> None:
    before = running(*opened("x"), completed("x"), h.ValueRecorded(at=4.0, key="v1"))
    after = [*opened("b"), completed("b"), h.ValueRecorded(at=5.0, key="v2"), timer(), asked(due_at=70.0), PAUSED]
    state = state_of([*before, *after, h.RunRolledBack(at=10.0, to_seq=len(before), generation=2)])
    assert state.find("x") is not None
    assert all(state.find(key) is None for key in ("b", "t", "a"))
    assert list(state.choices) == ["v1"]
    assert state.timers == {}
    assert state.phase is Status.PAUSED
    assert (
        state_of([*before, *after, h.RunRolledBack(at=10.0, to_seq=3, generation=2), RESUMED]).phase is Status.PENDING
    )


def test_roll_back_to_before_an_end_takes_the_end_back() -> None:
    state = state_of(running(FAILED, h.RunRolledBack(at=10.0, to_seq=1, generation=2)))
    assert (state.ended_at, state.error, state.terminal) == (None, None, False)


def test_roll_back_to_an_end_begins_anew_what_that_end_cut_off() -> None:
    events = running(*opened("done"), completed("done"), timer(), CANCELLED)
    state = state_of([*events, h.RunRolledBack(at=10.0, to_seq=len(events), generation=2)])
    assert state.find("done") is not None
    assert state.find("t") is None


def test_approval_opened_again_after_a_roll_back_is_a_new_one() -> None:
    events = running(asked(id="A1"), PAUSED, h.RunRolledBack(at=10.0, to_seq=1, generation=2), RESUMED, STARTED)
    state = state_of([*events, asked(id="A2")])
    approval = state.steps["a"].approval
    assert approval is not None
    assert (approval.id, approval.votes) == ("A2", [])


# --- attempts -------------------------------------------------------------------------------------------------------


def test_attempts_keep_their_times_and_errors() -> None:
    events = running(*retrying(), h.AttemptStarted(at=50.0, key="s", attempt=2), completed())
    step = state_of(events).steps["s"]
    assert [(one.number, one.started_at, one.ended_at, one.error) for one in step.attempts()] == [
        (1, 3.0, 4.0, BOOM),
        (2, 50.0, 4.0, None),
    ]


def test_attempt_cut_off_by_a_crash_ends_when_the_next_begins() -> None:
    step = state_of(running(*opened(), h.AttemptStarted(at=8.0, key="s", attempt=2))).steps["s"]
    assert [(one.number, one.ended_at) for one in step.attempts()] == [(1, 8.0), (2, None)]


def test_attempts_of_all_generations_are_listed() -> None:
    again: list[h.AnyEvent] = [FAILED, h.RunRetried(at=10.0, generation=2, forget=("s",)), STARTED]
    second: list[h.AnyEvent] = [h.StepScheduled(at=11.0, key="s"), h.AttemptStarted(at=11.0, key="s", attempt=2)]
    state = state_of(running(*opened(), *failed(), *again, *second))
    assert [one.number for one in state.steps["s"].attempts()] == [1, 2]
    assert state.attempts == 2


def test_step_that_has_not_begun_has_no_attempt() -> None:
    assert state_of(running(h.StepScheduled(at=3.0, key="s"))).steps["s"].attempts() == []


# --- timers, pauses, children, ends ---------------------------------------------------------------------------------


def test_pause_disarms_sleeps_and_retries_but_no_deadline() -> None:
    events = running(timer(), *retrying(), awaited(deadline=80.0), asked(due_at=90.0))
    assert state_of([*events, PAUSED]).timers == {"w": 80.0, "a": 90.0}
    assert state_of([*events, PAUSED, RESUMED]).timers == {"t": 50.0, "s": 50.0, "w": 80.0, "a": 90.0}


def test_retry_that_comes_up_during_a_pause_is_armed_by_the_resume() -> None:
    attempt: list[h.AnyEvent] = [
        h.AttemptFailed(at=6.0, key="s", attempt=1, error=BOOM),
        h.RetryScheduled(at=6.0, key="s", due_at=50.0),
    ]
    paused = running(*opened(), PAUSED, *attempt)
    assert state_of(paused).timers == {}
    assert state_of([*paused, RESUMED]).timers == {"s": 50.0}


@pytest.mark.parametrize("end", [COMPLETED, FAILED, CANCELLED])
def test_end_closes_what_is_open(end: h.AnyEvent) -> None:
    state = state_of(running(*opened(), *retrying("r"), timer(), awaited(deadline=80.0), asked(), child(), end))
    assert {step.status for step in state.steps.values()} == {StepStatus.CANCELLED}
    assert (state.timers, dict(state.active), dict(state.waits)) == ({}, {}, {})
    assert state.ended_at == 9.0


def test_child_that_ends_gives_its_output_or_its_error() -> None:
    good = state_of(running(child(), h.ChildEnded(at=4.0, key="c", output=raw(7)))).steps["c"]
    assert (good.status, bytes(good.output)) == (StepStatus.COMPLETED, b"7")
    bad = state_of(running(child(), h.ChildEnded(at=4.0, key="c", error=BOOM))).steps["c"]
    assert (bad.status, bad.error) == (StepStatus.FAILED, BOOM)


def test_detached_child_is_done_when_it_is_started() -> None:
    step = state_of(running(child(wait=False))).steps["c"]
    assert (step.status, msgspec.json.decode(step.output)) == (StepStatus.COMPLETED, {"id": "kid"})


def test_scheduled_run_falls_due_and_is_started() -> None:
    state = state_of([created(start_at=50.0), h.RunFellDue(at=50.0)])
    assert (state.status, state.timers) == (Status.PENDING, {})


_PUT_OFF = created(start_at=50.0)
_ROLLED_BACK = h.RunRolledBack(at=7.0, to_seq=1, generation=2)


@pytest.mark.parametrize(
    "commands",
    [
        [PAUSED, RESUMED],
        [PAUSED, _ROLLED_BACK, RESUMED],
        [PAUSED, _ROLLED_BACK, h.RunRolledBack(at=8.0, to_seq=2, generation=3), RESUMED, PAUSED, RESUMED],
        [CANCELLED, h.RunRetried(at=10.0, generation=2)],
        [CANCELLED, _ROLLED_BACK, RESUMED],
        [PAUSED, CANCELLED, h.RunRetried(at=10.0, generation=2)],
    ],
)
def test_run_whose_time_has_not_come_is_scheduled_again_whatever_is_done_to_it(commands: list[h.AnyEvent]) -> None:
    state = state_of([_PUT_OFF, *commands])
    assert (state.status, state.timers) == (Status.SCHEDULED, {"": 50.0})
    assert state_of([_PUT_OFF, *commands[:1]]).timers == {}


@pytest.mark.parametrize(
    "commands", [[PAUSED, _ROLLED_BACK, RESUMED], [CANCELLED, h.RunRetried(at=60.0, generation=2)]]
)
def test_run_whose_time_has_come_waits_for_no_other(commands: list[h.AnyEvent]) -> None:
    state = state_of([_PUT_OFF, h.RunFellDue(at=50.0), *commands])
    assert (state.status, state.timers) == (Status.PENDING, {})


def test_run_started_again_keeps_its_first_start() -> None:
    assert state_of(running(FAILED, h.RunRetried(at=10.0, generation=2), h.RunStarted(at=11.0))).started_at == 2.0


def test_snapshot_changes_nothing_but_the_seq() -> None:
    state = state_of(running(h.SnapshotTaken(at=3.0, label="x")))
    assert (state.seq, state.status) == (3, Status.RUNNING)


def test_published_item_is_recorded_under_its_key() -> None:
    assert state_of(running(h.ItemPublished(at=3.0, key="p"))).choices["p"].at == 3.0


def test_emitted_event_is_recorded_under_its_key() -> None:
    state = state_of(running(h.EventEmitted(at=3.0, key="e", event=raw({"type": "t"}))))
    assert state.choices["e"].at == 3.0


@pytest.mark.parametrize(
    ("kind", "title", "code"),
    [
        ("timeout", "Step time-out", "step_timeout"),
        ("timeout", "Heartbeat time-out", "heartbeat_timeout"),
        ("timeout", "", "timeout"),
        ("communication", "Step time-out", "communication"),
    ],
)
def test_failure_in_one_word(kind: str, title: str, code: str) -> None:
    assert code_of(problem(kind, "why", title=title)) == code
    assert code_of(Problem(type="https://x.y/odd/")) == "odd"


# --- errors and faults say what they are about ----------------------------------------------------------------------

TEXTS: list[tuple[object, str]] = [
    (problem("timeout", "too slow"), "too slow"),
    (Problem(type="boom", title="Boom"), "Boom"),
    (Problem(type="boom"), "boom"),
    (Problem(type="boom", detail="it broke", instance="/do/0"), "it broke (/do/0)"),
    (ProgramError(BOOM), "boom"),
    (StepFailure(BOOM), "boom"),
    (RunNotFoundError("r"), "there is no run r"),
    (WorkflowNotFoundError("w"), "there is no workflow 'w'"),
    (WorkflowNotFoundError("w", "2"), "there is no workflow 'w' in version 2"),
    (Fault(pointer="/do", line=3, message="no"), "line 3, /do: no"),
    (Fault(pointer="/do", line=0, message="no"), "/do: no"),
    (Fault(pointer="", line=3, message="no"), "line 3: no"),
    (Fault(pointer="", line=0, message="no"), "document: no"),
    (InvalidDefinitionError([Fault(pointer="", line=1, message=text) for text in "ab"]), "line 1: a\nline 1: b"),
]


@pytest.mark.parametrize(("thing", "text"), TEXTS)
def test_text(thing: object, text: str) -> None:
    assert str(thing) == text


def test_standard_problem_has_its_type_and_a_title() -> None:
    timeout = problem("timeout", "too slow", status=408)
    assert (timeout.type, timeout.title, timeout.status) == (f"{ERROR_BASE}timeout", "Timeout error", 408)

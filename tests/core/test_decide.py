"""`decide`, as tables of (history, command) and its answer."""

import msgspec
import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.decide import MAX_EVENTS, Refusal, decide
from stepwell.core.errors import NewerHistoryError
from stepwell.core.retry import RetryPolicy
from stepwell.core.status import Status

from .histories import (
    BOOM,
    CANCELLED,
    COMPLETED,
    FAILED,
    NOW,
    PAUSED,
    RESUMED,
    STARTED,
    STOPPING,
    asked,
    awaited,
    child,
    completed,
    created,
    failed,
    opened,
    outcome,
    raw,
    retrying,
    running,
    shown,
    signalled,
    state_of,
    timer,
)

SCHEDULE = c.ScheduleStep(key="s")
DONE = c.CompleteStep(key="s", attempt=1, output=raw(1))
FAIL = c.FailAttempt(key="s", attempt=1, error=BOOM)
FAIL_RETRIED = c.FailAttempt(key="s", attempt=1, error=BOOM, retry=RetryPolicy(max_attempts=2))
REQUEST = c.RequestApproval(key="a", approval_id="A", request=ApprovalRequest())
START_CHILD = c.StartChild(key="c", child_id="kid", workflow="w2")
RACE = c.DecideRace(key="r", winner="a", keys=("s", "t", "unknown"))

VERBS: list[tuple[str, list[h.AnyEvent], c.AnyCommand, object]] = [
    ("a step begins with its first attempt", running(), SCHEDULE, ["StepScheduled", "AttemptStarted"]),
    ("a key is used once", running(*opened()), SCHEDULE, "key_taken"),
    ("also by a step that ended", running(*opened(), completed()), SCHEDULE, "key_taken"),
    ("also by a record", running(h.ValueRecorded(at=3.0, key="s")), SCHEDULE, "key_taken"),
    ("nothing begins before the start", [created()], SCHEDULE, "hold"),
    ("nothing begins while paused", running(PAUSED), SCHEDULE, "hold"),
    ("nothing begins while stopping", running(STOPPING), SCHEDULE, "hold"),
    ("nothing begins after the end", running(CANCELLED), SCHEDULE, "wrong_status"),
    ("an attempt completes its step", running(*opened()), DONE, ["StepCompleted"]),
    ("a step in flight completes while paused", running(*opened(), PAUSED), DONE, ["StepCompleted"]),
    ("a step in flight completes while stopping", running(*opened(), STOPPING), DONE, ["StepCompleted"]),
    ("an unknown step does not complete", running(), DONE, "late_result"),
    ("a step completes once", running(*opened(), completed()), DONE, "late_result"),
    ("a step between attempts does not complete", running(*retrying()), DONE, "late_result"),
    ("an old attempt does not complete its step",
     running(*opened(), h.AttemptStarted(at=4.0, key="s", attempt=2)), DONE, "late_result"),
    ("nothing completes after the end", running(*opened(), CANCELLED), DONE, "late_result"),
    ("without a retry policy the first failure is final", running(*opened()), FAIL, ["AttemptFailed", "StepFailed"]),
    ("with one a retry follows", running(*opened()), FAIL_RETRIED, ["AttemptFailed", "RetryScheduled"]),
    ("a late failure is refused", running(*opened(), completed()), FAIL, "late_result"),
    ("a cut-off attempt is begun anew", running(*opened()), c.StartAttempt(key="s"), ["AttemptStarted"]),
    ("but not while paused", running(*opened(), PAUSED), c.StartAttempt(key="s"), "hold"),
    ("nor of a closed step", running(*opened(), completed()), c.StartAttempt(key="s"), "step_closed"),
    ("nor of an unknown one", running(), c.StartAttempt(key="s"), "step_closed"),
    ("a timer is set", running(), c.SetTimer(key="t", due_at=200.0), ["TimerSet"]),
    ("a signal is awaited", running(), c.AwaitSignal(key="w", signal="go"), ["SignalAwaited"]),
    ("an approval is requested", running(), REQUEST, ["ApprovalRequested"]),
    ("a child is started", running(), START_CHILD, ["ChildStarted"]),
    ("a value is recorded", running(), c.RecordValue(key="v"), ["ValueRecorded"]),
    ("a value is recorded once", running(h.ValueRecorded(at=3.0, key="v")), c.RecordValue(key="v"), "key_taken"),
    ("nothing is recorded while paused", running(PAUSED), c.RecordValue(key="v"), "hold"),
    ("nothing is recorded after the end", running(COMPLETED), c.RecordValue(key="v"), "wrong_status"),
    ("an item is published", running(), c.PublishItem(key="p"), ["ItemPublished"]),
    ("an event is emitted", running(), c.EmitEvent(key="e"), ["EventEmitted"]),
    ("a race is decided", running(*opened(), timer()), RACE, ["RaceDecided"]),
    ("a race is decided once", running(h.RaceDecided(at=3.0, key="r", winner="b")), RACE, "key_taken"),
    ("a run completes", running(), c.CompleteRun(), ["RunCompleted"]),
    ("not while paused", running(PAUSED), c.CompleteRun(), "hold"),
    ("also while stopping", running(STOPPING), c.CompleteRun(), ["RunCompleted"]),
    ("not twice", running(COMPLETED), c.CompleteRun(), "wrong_status"),
    ("a run fails", running(), c.FailRun(error=BOOM), ["RunFailed"]),
    ("not while paused either", running(PAUSED), c.FailRun(error=BOOM), "hold"),
    ("a stop ends when nothing is in flight", running(STOPPING), c.FinishStop(), ["RunCancelled"]),
    ("only a stop", running(), c.FinishStop(), []),
    ("a pending run is picked up", [created()], c.PickUp(), ["RunStarted"]),
    ("a running one is not", running(), c.PickUp(), []),
    ("a scheduled one is not", [created(start_at=200.0)], c.PickUp(), []),
]  # fmt: skip

TIMERS: list[tuple[str, list[h.AnyEvent], str, object]] = [
    ("a sleep ends", running(timer()), "t", ["TimerFired"]),
    ("not before its time", running(timer(due_at=NOW + 1)), "t", []),
    ("not twice", running(timer(), h.TimerFired(at=60.0, key="t")), "t", []),
    ("a retry begins", running(*retrying()), "s", ["AttemptStarted"]),
    ("a wait expires", running(awaited(deadline=50.0)), "w", ["WaitExpired"]),
    ("a wait without a deadline does not", running(awaited()), "w", []),
    ("a scheduled run falls due", [created(start_at=50.0)], "", ["RunFellDue"]),
    ("not before its time", [created(start_at=200.0)], "", []),
    ("a sleep stands still while paused", running(timer(), PAUSED), "t", []),
    ("a retry stands still while paused", running(*retrying(), PAUSED), "s", []),
    ("a start stands still while paused", [created(start_at=50.0), PAUSED], "", []),
    ("a deadline goes on while paused", running(awaited(deadline=50.0), PAUSED), "w", ["WaitExpired"]),
    ("an approval's too", running(asked(due_at=50.0), PAUSED), "a", ["ApprovalDecided"]),
    ("a sleep goes on when resumed", running(timer(), PAUSED, RESUMED), "t", ["TimerFired"]),
    ("a retry goes on when resumed", running(*retrying(), PAUSED, RESUMED), "s", ["AttemptStarted"]),
    ("a start goes on when resumed", [created(start_at=50.0), PAUSED, RESUMED], "", ["RunFellDue"]),
    ("a retry is held while stopping", running(*retrying(), STOPPING), "s", "hold"),
    ("nothing is due after the end", running(timer(), CANCELLED), "t", []),
    ("an approval without a rule fails", running(asked(due_at=50.0)), "a", ["ApprovalDecided"]),
]

OUTSIDE: list[tuple[str, list[h.AnyEvent], c.AnyCommand, object]] = [
    ("a signal is taken", running(awaited()), c.SendSignal(id="1", signal="go"), ["SignalReceived"]),
    ("a signal may be early", running(), c.SendSignal(id="1", signal="go"), ["SignalReceived"]),
    ("also before the start", [created()], c.SendSignal(id="1", signal="go"), ["SignalReceived"]),
    ("also while paused", running(PAUSED), c.SendSignal(id="1", signal="go"), ["SignalReceived"]),
    ("the same one twice is once", running(signalled("1")), c.SendSignal(id="1", signal="go"), []),
    ("also when it was taken", running(awaited(), signalled("1")), c.SendSignal(id="1", signal="go"), []),
    ("an id is its signal's own", running(signalled("1")), c.SendSignal(id="1", signal="on"), ["SignalReceived"]),
    ("not after the end", running(COMPLETED), c.SendSignal(id="1", signal="go"), "wrong_status"),
    ("a child ends", running(child()), c.EndChild(key="c", child_id="kid"), ["ChildEnded"]),
    ("also while paused", running(child(), PAUSED), c.EndChild(key="c", child_id="kid"), ["ChildEnded"]),
    ("only the child that is waited for", running(child()), c.EndChild(key="c", child_id="other"), []),
    ("only while it is waited for", running(child(), CANCELLED), c.EndChild(key="c", child_id="kid"), []),
    ("only when anybody waits", running(), c.EndChild(key="c", child_id="kid"), []),
    ("a detached child is not waited for", running(child(wait=False)), c.EndChild(key="c", child_id="kid"), []),
    ("a snapshot is taken", running(), c.TakeSnapshot(label="x"), ["SnapshotTaken"]),
    ("not after the end", running(FAILED), c.TakeSnapshot(), "wrong_status"),
    ("a roll-back needs a point in the history", running(PAUSED), c.RollBackRun(to_seq=0), "no_such_snapshot"),
    ("not beyond its end", running(PAUSED), c.RollBackRun(to_seq=4), "no_such_snapshot"),
    ("within it is fine", running(PAUSED), c.RollBackRun(to_seq=3), ["RunRolledBack"]),
    ("a stop lets steps in flight finish", running(*opened()), c.StopRun(), ["StopRequested"]),
    ("a stop of a waiting run ends it", running(timer()), c.StopRun(), ["RunCancelled"]),
    ("a second stop changes nothing", running(STOPPING), c.StopRun(), []),
    ("a cancel ends a stop", running(STOPPING), c.CancelRun(), ["RunCancelled"]),
]


def _ids(table: list[tuple[str, list[h.AnyEvent], object, object]]) -> list[str]:
    return [row[0] for row in table]


@pytest.mark.parametrize(("name", "events", "command", "expected"), VERBS, ids=[row[0] for row in VERBS])
def test_verb(name: str, events: list[h.AnyEvent], command: c.AnyCommand, expected: object) -> None:
    assert outcome(events, command) == expected, name


@pytest.mark.parametrize(("name", "events", "key", "expected"), TIMERS, ids=[row[0] for row in TIMERS])
def test_timer(name: str, events: list[h.AnyEvent], key: str, expected: object) -> None:
    assert outcome(events, c.FireTimer(key=key)) == expected, name


@pytest.mark.parametrize(("name", "events", "command", "expected"), OUTSIDE, ids=[row[0] for row in OUTSIDE])
def test_command_from_outside(name: str, events: list[h.AnyEvent], command: c.AnyCommand, expected: object) -> None:
    assert outcome(events, command) == expected, name


def test_race_cancels_only_what_is_open() -> None:
    decision = decide(state_of(running(*opened(), completed(), timer())), RACE, NOW)
    assert isinstance(decision, list)
    assert decision == [h.RaceDecided(at=NOW, key="r", winner="a", cancelled=("t",))]


def test_attempts_go_on_counting_after_a_retry_of_the_run() -> None:
    events = running(*opened(), *failed(), h.RunFailed(at=9.0, error=BOOM, forget=("s",)))
    events += [h.RunRetried(at=10.0, generation=2, forget=("s",)), STARTED]
    decision = decide(state_of(events), SCHEDULE, NOW)
    assert isinstance(decision, list)
    assert decision[1] == h.AttemptStarted(at=NOW, key="s", attempt=2)


def test_retry_is_due_after_the_policy_says() -> None:
    policy = RetryPolicy(max_attempts=3, initial_s=7.0, jitter=0.0)
    decision = decide(state_of(running(*opened())), c.FailAttempt(key="s", attempt=1, error=BOOM, retry=policy), NOW)
    assert isinstance(decision, list)
    assert decision[1] == h.RetryScheduled(at=NOW, key="s", due_at=NOW + 7.0)


def test_failed_run_forgets_what_failed_and_what_was_cut_off() -> None:
    state = state_of(
        running(*opened("x"), *opened("s"), *failed("s"), timer("t"), *opened("done"), completed("done"))
    )
    decision = decide(state, c.FailRun(error=BOOM, forget=("s", "x")), NOW)
    assert isinstance(decision, list)
    assert decision == [h.RunFailed(at=NOW, error=BOOM, forget=("s", "x", "t"))]


def test_full_history_names_the_key_of_the_loop() -> None:
    state = state_of(running())
    state.seq = MAX_EVENTS
    decision = decide(state, c.ScheduleStep(key="/loop@9"), NOW)
    assert isinstance(decision, Refusal)
    assert decision.code == "history_full"
    assert "/loop@9" in decision.message
    assert "100,000" in decision.message


def test_refusal_says_where_the_command_would_have_been_accepted() -> None:
    decision = decide(state_of(running(COMPLETED)), c.RetryRun(), NOW)
    assert isinstance(decision, Refusal)
    assert (decision.code, decision.status) == ("wrong_status", "completed")
    assert decision.allowed_from == ("failed", "cancelled")
    assert decision.message == "a completed run cannot be retried"


def test_events_survive_the_way_to_the_disk_and_back() -> None:
    events = running(*opened(), completed(value={"a": [1, None]}), asked(prompt="?"), signalled(data=1), FAILED)
    assert h.decode_events(h.encode_events(events)) == events


def test_event_of_a_newer_release_is_said_to_be_one() -> None:
    with pytest.raises(NewerHistoryError, match="'Unheard'"):
        h.decode_events(b'[{"type": "Unheard", "at": 1.0}]')


def test_state_survives_the_way_to_a_snapshot_and_back() -> None:
    state = state_of(
        running(*retrying(), asked(prompt="?", due_at=70.0), signalled(), awaited("x", "other"), child())
    )
    again = msgspec.json.decode(msgspec.json.encode(state), type=type(state))
    assert msgspec.json.encode(again) == msgspec.json.encode(state)
    assert shown(decide(again, c.FireTimer(key="s"), NOW)) == ["AttemptStarted"]


def test_unknown_status_of_a_fresh_state_is_pending() -> None:
    assert state_of([]).status is Status.PENDING

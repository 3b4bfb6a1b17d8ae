"""Callbacks: one answer from outside, heartbeats before it, and answers that come too late."""

from typing import Any

import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.decide import Refusal, decide
from stepwell.core.state import State, StepStatus

from .histories import CALLBACK, CANCELLED, PAUSED, STARTED, awaited, outcome, raw, running, signalled, state_of, then

ANSWER = c.AnswerCallback(signal="go", data=raw({"status": "completed", "output": 1}))
SAME = c.AnswerCallback(signal="go", data=raw({"output": 1, "status": "completed"}))
OTHER = c.AnswerCallback(signal="go", data=raw({"status": "completed", "output": True}))
BEAT = c.SendHeartbeat(signal="go", progress=0.5)
EXPIRED = h.WaitExpired(at=60.0, key="w")
WAITS = running(awaited(deadline=50.0, reason=CALLBACK))
BEATING = running(awaited(deadline=50.0, heartbeat_s=10.0, reason=CALLBACK))
AGAIN: list[h.AnyEvent] = [CANCELLED, h.RunRetried(at=10.0, generation=2, forget=("w",)), STARTED]

ANSWERS: list[tuple[str, list[h.AnyEvent], c.AnyCommand, object]] = [
    ("an answer is taken", WAITS, ANSWER, ["SignalReceived"]),
    ("also while the run is paused", [*WAITS, PAUSED], ANSWER, ["SignalReceived"]),
    ("the same answer again changes nothing", then(WAITS, ANSWER), ANSWER, []),
    ("in any order of its names", then(WAITS, ANSWER), SAME, []),
    ("another answer is refused", then(WAITS, ANSWER), OTHER, "callback_answered"),
    ("nobody waits for it", running(), ANSWER, "not_found"),
    ("nobody waits for it any more", [*WAITS, EXPIRED], ANSWER, "not_found"),
    ("nor when the run was cancelled", [*WAITS, CANCELLED], ANSWER, "not_found"),
    ("nor when a retry asks anew", [*WAITS, *AGAIN], ANSWER, "not_found"),
    ("a heartbeat is taken", WAITS, BEAT, ["HeartbeatReceived"]),
    ("not after the answer", then(WAITS, ANSWER), BEAT, "callback_answered"),
    ("not after the deadline", [*WAITS, EXPIRED], BEAT, "not_found"),
    ("not by somebody nobody waits for", running(), BEAT, "not_found"),
    ("not by a signal of its own name", running(signalled(signal="go")), BEAT, "not_found"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "events", "command", "expected"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_callback(name: str, events: list[h.AnyEvent], command: c.AnyCommand, expected: object) -> None:
    assert outcome(events, command) == expected, name


def _timers(events: list[h.AnyEvent]) -> dict[str, float]:
    return state_of(events).timers


def test_heartbeat_moves_the_heartbeats_deadline_and_never_the_total_one() -> None:
    assert _timers(BEATING) == {"w": 13.0}
    assert _timers(then(BEATING, BEAT, now=30.0)) == {"w": 40.0}
    assert _timers(then(BEATING, BEAT, now=45.0)) == {"w": 50.0}
    assert _timers(then(WAITS, BEAT, now=45.0)) == {"w": 50.0}
    assert _timers(running(awaited(heartbeat_s=10.0))) == {"w": 13.0}


def test_heartbeat_and_its_progress_are_kept() -> None:
    beaten = then(then(BEATING, BEAT, now=5.0), c.SendHeartbeat(signal="go"), now=6.0)
    step = state_of(beaten).steps["w"]
    assert (step.last_heartbeat_at, step.progress) == (6.0, 0.5)


def _expired(now: float) -> State:
    return state_of(then(then(BEATING, BEAT, now=now - 10.0), c.FireTimer(key="w"), now=now))


def test_missed_heartbeat_fails_the_wait_and_the_deadline_ends_it() -> None:
    missed, late = _expired(30.0).steps["w"], _expired(50.0).steps["w"]
    assert (missed.status, late.status) == (StepStatus.FAILED, StepStatus.COMPLETED)
    assert missed.error is not None
    assert missed.error.type.endswith("heartbeat_timeout")
    assert missed.error.detail == "no heartbeat for 10 s"


def test_answer_that_nobody_waits_for_goes_on_record_once() -> None:
    cancelled = [*WAITS, CANCELLED]
    decision = decide(state_of(cancelled), ANSWER, 20.0)
    assert isinstance(decision, Refusal)
    (late,) = decision.note
    assert isinstance(late, h.LateResultDiscarded)
    assert (late.key, late.attempt, late.output) == ("w", 1, ANSWER.data)
    again: Any = decide(state_of([*cancelled, late]), OTHER, 21.0)
    assert again.note == ()

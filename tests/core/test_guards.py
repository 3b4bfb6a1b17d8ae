"""Refusals of verbs that no program should use so: an empty key, and one record too many."""

import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.decide import MAX_EVENTS, Refusal, decide
from stepwell.core.run import fold
from stepwell.core.state import State


def running() -> State:
    created = h.RunCreated(at=1.0, run_id="r", workflow="w", version="1", definition="d")
    return fold([created, h.RunStarted(at=1.0)])


def verbs(key: str) -> list[c.ProgramCommand]:
    return [
        c.ScheduleStep(key=key),
        c.SetTimer(key=key, due_at=5.0),
        c.AwaitSignal(key=key, signal="s"),
        c.RequestApproval(key=key, approval_id="a", request=ApprovalRequest()),
        c.RecordValue(key=key),
        c.PublishItem(key=key),
        c.EmitEvent(key=key),
        c.DecideRace(key=key, winner="a"),
    ]


@pytest.mark.parametrize("command", verbs(""), ids=lambda command: type(command).__name__)
def test_empty_key_is_refused(command: c.ProgramCommand) -> None:
    decision = decide(running(), command, 2.0)
    assert isinstance(decision, Refusal)
    assert decision.code == "no_key"


@pytest.mark.parametrize("command", verbs("/loop@9"), ids=lambda command: type(command).__name__)
def test_full_history_takes_no_more_and_names_the_key(command: c.ProgramCommand) -> None:
    state = running()
    state.seq = MAX_EVENTS
    decision = decide(state, command, 2.0)
    assert isinstance(decision, Refusal)
    assert (decision.code, "/loop@9" in decision.message) == ("history_full", True)


def test_full_history_keeps_no_signal_that_nobody_waits_for() -> None:
    state = fold([h.SignalAwaited(at=3.0, key="/wait", signal="go")], running())
    state.seq = MAX_EVENTS
    assert isinstance(decide(state, c.SendSignal(id="1", signal="go"), 4.0), list)
    decision = decide(state, c.SendSignal(id="1", signal="other"), 4.0)
    assert isinstance(decision, Refusal)
    assert (decision.code, "nothing waits for the signal other" in decision.message) == ("history_full", True)

"""Retries and roll-backs: what is kept, what is done again, and with which definition and input."""

import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.decide import Refusal, decide
from stepwell.core.state import State
from stepwell.core.status import Status

from .histories import (
    BOOM,
    CANCELLED,
    COMPLETED,
    NOW,
    PAUSED,
    STARTED,
    asked,
    completed,
    failed,
    opened,
    outcome,
    raw,
    running,
    state_of,
    then,
    timer,
)

AFTER_TWO = running(
    *opened("one"),
    completed("one", 1),
    h.ValueRecorded(at=4.0, key="two/when"),
    *opened("two/call"),
    completed("two/call", 2),
    *opened("three"),
    *failed("three"),
    h.RunFailed(at=9.0, error=BOOM, forget=("three",)),
)
NEW_BASE = h.Base(version="2", definition="e", input=raw({"n": 2}))
OLD_BASE = h.Base(version="1", definition="d", input=h.NULL)

FORGOTTEN: list[tuple[str, list[h.AnyEvent], c.RetryRun, set[str]]] = [
    ("the last failed step", AFTER_TWO, c.RetryRun(), {"three"}),
    ("a step and all below its key", AFTER_TWO, c.RetryRun(from_step="two", again=("two", "three")),
     {"two/when", "two/call", "three"}),
    ("no step whose key only begins alike", AFTER_TWO, c.RetryRun(from_step="tw", again=("tw",)), {"three"}),
    ("a key and all that was recorded after it", AFTER_TWO, c.RetryRun(from_step="two/call"), {"two/call", "three"}),
    ("also what is chosen after it", AFTER_TWO, c.RetryRun(from_step="one"),
     {"one", "two/when", "two/call", "three"}),
    ("what a cancel cut off", running(*opened("one"), completed("one"), *opened("two"), timer(), CANCELLED),
     c.RetryRun(), {"two", "t"}),
]  # fmt: skip


def _forgotten(state: State) -> set[str]:
    return {key for key, step in state.steps.items() if step.forgotten}


@pytest.mark.parametrize(("name", "events", "command", "keys"), FORGOTTEN, ids=[row[0] for row in FORGOTTEN])
def test_retry_forgets(name: str, events: list[h.AnyEvent], command: c.RetryRun, keys: set[str]) -> None:
    before, after = state_of(events), state_of(then(events, command))
    choices = set(before.choices) - set(after.choices)
    assert _forgotten(after) | choices == keys, name
    assert after.status is Status.PENDING


UNDONE = running(
    *opened("one"),
    completed("one", 1),
    h.ValueRecorded(at=4.0, key="when"),
    *opened("two"),
    h.RunCancelled(at=9.0, compensate=True),
)


def test_retry_of_a_run_that_was_undone_begins_from_the_start() -> None:
    after = state_of(then(UNDONE, c.RetryRun()))
    assert _forgotten(after) == {"one", "two"}
    assert (after.choices, after.undone) == ({}, False)


def test_run_that_was_undone_is_not_rolled_back() -> None:
    assert outcome(UNDONE, c.RollBackRun(to_seq=3)) == "undone"


def test_roll_back_that_undoes_says_so() -> None:
    events = running(*opened("one"), completed("one"), PAUSED)
    rolled_back = then(events, c.RollBackRun(to_seq=2, compensate=True))[-1]
    assert isinstance(rolled_back, h.RunRolledBack)
    assert rolled_back.compensate
    assert state_of([*events, rolled_back]).touched[-1] == ""


CHANGED: list[tuple[str, c.RetryRun, object]] = [
    ("a change of what failed is taken", c.RetryRun(base=NEW_BASE, changed=("three",)), ["RunRetried"]),
    ("of what was never begun too", c.RetryRun(base=NEW_BASE, changed=("four",)), ["RunRetried"]),
    ("of what is kept it is not", c.RetryRun(base=NEW_BASE, changed=("one",)), "steps_changed"),
    ("nor when only a part of it is kept", c.RetryRun(base=NEW_BASE, changed=("two",)), "steps_changed"),
    ("unless that is done again", c.RetryRun(base=NEW_BASE, changed=("two",), from_step="two", again=("two",)),
     ["RunRetried"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "command", "expected"), CHANGED, ids=[row[0] for row in CHANGED])
def test_retry_with_another_definition(name: str, command: c.RetryRun, expected: object) -> None:
    assert outcome(AFTER_TWO, command) == expected, name


def test_refused_retry_names_the_steps_that_changed() -> None:
    decision = decide(state_of(AFTER_TWO), c.RetryRun(base=NEW_BASE, changed=("one", "two")), NOW)
    assert isinstance(decision, Refusal)
    assert decision.standing == ["one", "two"]
    assert "one, two" in decision.message


def test_retry_of_a_completed_run_is_refused_whatever_it_asks_for() -> None:
    command = c.RetryRun(from_step="one", again=("one",), changed=("one",))
    assert outcome(running(*opened("one"), completed("one"), COMPLETED), command) == "wrong_status"


def test_retry_from_a_step_that_the_run_never_had_is_refused() -> None:
    assert outcome(AFTER_TWO, c.RetryRun(from_step="none")) == "no_such_step"


def _base(state: State) -> h.Base:
    return h.Base(version=state.version, definition=state.definition, input=state.input)


def test_retry_goes_on_with_another_version_and_input() -> None:
    assert _base(state_of(then(AFTER_TWO, c.RetryRun(base=NEW_BASE)))) == NEW_BASE
    assert _base(state_of(then(AFTER_TWO, c.RetryRun()))) == OLD_BASE


def test_roll_back_to_before_a_retry_gives_version_and_input_back() -> None:
    retried = [*then(AFTER_TWO, c.RetryRun(base=NEW_BASE)), h.RunPaused(at=20.0)]
    assert _base(state_of(then(retried, c.RollBackRun(to_seq=len(AFTER_TWO))))) == OLD_BASE
    assert _base(state_of(then(retried, c.RollBackRun(to_seq=len(AFTER_TWO) + 1)))) == NEW_BASE


def test_roll_back_over_two_retries_gives_the_first_version_back() -> None:
    once = [*then(AFTER_TWO, c.RetryRun(base=NEW_BASE)), CANCELLED]
    twice = [*then(once, c.RetryRun(base=h.Base(version="3", definition="f"))), PAUSED]
    first = then(twice, c.RollBackRun(to_seq=len(AFTER_TWO)))
    assert _base(state_of(first)) == OLD_BASE
    assert state_of(first).bases == []
    assert _base(state_of(then(twice, c.RollBackRun(to_seq=len(once))))) == NEW_BASE


def test_retry_after_a_rejection_asks_anew_and_clears_what_was_decided_behind_it() -> None:
    rejected = running(
        asked("a", id="A"),
        h.ApprovalDecided(at=5.0, key="a", approved=False),
        h.ValueRecorded(at=5.0, key="b/when"),
        h.RunFailed(at=9.0, error=BOOM, forget=("a",)),
    )
    retried = [*then(rejected, c.RetryRun(from_step="a", again=("a", "b"))), STARTED, asked("a", id="B")]
    state = state_of(retried)
    assert state.choices == {}
    assert state.old_approvals.keys() == {"A"}
    approval = state.steps["a"].approval
    assert approval is not None
    assert (approval.id, approval.votes, state.generation) == ("B", [], 2)

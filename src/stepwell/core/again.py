"""The rules of doing again: what a retry and a roll-back of a run may forget.

A retry keeps what completed. With `from_step` it forgets more; with another version of the definition it is refused
when an outcome that it would keep came from a step that is another one now.
"""

from collections.abc import Iterable
from typing import Final

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.decision import Decision, Refusal, by_table
from stepwell.core.state import State
from stepwell.core.status import Trigger

_BELOW: Final = frozenset("/@~^")
"""What follows a key in the keys of what belongs to it."""


def retry_run(state: State, command: c.RetryRun, now: float) -> Decision:
    """The retry with all that it forgets, or why not."""
    again = _again(state, command)
    if isinstance(again, Refusal):
        return again
    forget = tuple(dict.fromkeys((*_cut_off(state), *again)))
    decision = by_table(
        state,
        Trigger.RETRY,
        h.RunRetried(
            at=now,
            actor=command.actor,
            generation=state.generation + 1,
            forget=forget,
            from_step=command.from_step,
            base=command.base,
        ),
    )
    if isinstance(decision, list) and (kept := _kept(state, command.changed, set(forget))):
        return _changed(state, kept)
    return decision


def _cut_off(state: State) -> tuple[str, ...]:
    """The keys every retry forgets: those the failure named and those the run's end closed; all, if it was undone."""
    if state.undone:
        return (*(key for key, step in state.steps.items() if not step.forgotten), *state.choices)
    closed_by_end = (key for key, step in state.steps.items() if step.closed_seq == state.ended_seq)
    return tuple(dict.fromkeys((*state.forget, *closed_by_end)))


def _again(state: State, command: c.RetryRun) -> Iterable[str] | Refusal:
    """The keys forgotten because somebody wants to begin with an earlier step."""
    if not command.from_step:
        return ()
    if command.again:
        return _below(state, command.again)
    step = state.find(command.from_step)
    if step is None:
        return Refusal(code="no_such_step", message=f"the run has no step {command.from_step!r}")
    since = step.closed_seq
    return (
        *_below(state, (command.from_step,)),
        *(key for key, other in state.steps.items() if other.closed_seq > since),
        *(key for key, choice in state.choices.items() if choice.seq > since),
    )


def _below(state: State, keys: Iterable[str]) -> list[str]:
    """All keys on record that are one of `keys` or belong to one."""
    wanted = tuple(keys)
    return [key for key in (*state.steps, *state.choices) if any(_belongs(key, one) for one in wanted)]


def _belongs(key: str, to: str) -> bool:
    return key.startswith(to) and (len(key) == len(to) or key[len(to)] in _BELOW)


def _kept(state: State, changed: Iterable[str], forget: set[str]) -> list[str]:
    """The changed steps of which something stays on record."""
    stays = [key for key, step in state.steps.items() if not step.forgotten and key not in forget]
    stays += [key for key in state.choices if key not in forget]
    return [one for one in changed if any(_belongs(key, one) for key in stays)]


def _changed(state: State, kept: list[str]) -> Refusal:
    return Refusal(
        code="steps_changed",
        message=f"the latest version has another {', '.join(kept)}, whose outcome a retry would keep: "
        "name the first of them as the step to begin with",
        status=str(state.status),
        standing=kept,
    )


def roll_back(state: State, command: c.RollBackRun, now: float) -> Decision:
    """The roll-back, or why not."""
    if state.undone:
        return Refusal(
            code="undone",
            message="what the run had completed was undone: a retry begins from the start",
            status=str(state.status),
        )
    if not 1 <= command.to_seq <= state.seq:
        return Refusal(
            code="no_such_snapshot",
            message=f"there is no snapshot at seq {command.to_seq}: the history has 1 to {state.seq}",
        )
    return by_table(
        state,
        Trigger.ROLL_BACK,
        h.RunRolledBack(
            at=now,
            actor=command.actor,
            to_seq=command.to_seq,
            generation=state.generation + 1,
            reason=command.reason,
            compensate=command.compensate,
        ),
    )

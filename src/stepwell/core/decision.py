"""What `decide` answers: events to append, a refusal, or that the verb has to wait."""

from typing import Any, Final

import msgspec

from stepwell.core import history as h
from stepwell.core.state import State
from stepwell.core.status import Answer, Trigger, allowed_from, outcome


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a command is not accepted. `standing` is what already stands, e.g. a `StandingDecision`; `note` goes on
    record all the same. `waiting_for` says what a waiting run waits for.
    """

    code: str
    message: str
    status: str = ""
    waiting_for: str = ""
    allowed_from: tuple[str, ...] = ()
    standing: Any = None
    note: tuple[h.AnyEvent, ...] = ()


class Hold(msgspec.Struct, frozen=True):
    """The verb waits: the run is paused or stopping."""


HOLD: Final = Hold()
NOTHING: Final[list[h.AnyEvent]] = []

Decision = list[h.AnyEvent] | Refusal | Hold

_REFUSED_WORDS: Final = {
    Trigger.CANCEL: "be cancelled",
    Trigger.RETRY: "be retried",
    Trigger.PAUSE: "be paused",
    Trigger.RESUME: "be resumed",
    Trigger.STOP: "be stopped",
    Trigger.ROLL_BACK: "be rolled back",
    Trigger.FINISH: "complete",
    Trigger.FAIL: "fail",
}


def wrong_status(state: State, what: Trigger | str) -> Refusal:
    """`what`: a trigger of the table, or the words of something else that is not possible now."""
    trigger = what if isinstance(what, Trigger) else None
    words = _REFUSED_WORDS[trigger] if trigger is not None else what
    return Refusal(
        code="wrong_status",
        message=f"a {state.status} run cannot {words}",
        status=str(state.status),
        waiting_for=str(state.waiting_for or ""),
        allowed_from=allowed_from(trigger) if trigger is not None else (),
    )


def by_table(state: State, trigger: Trigger, event: h.AnyEvent) -> Decision:
    """The event, if the table of transitions lets the trigger happen in the run's status."""
    match outcome(state.status, trigger):
        case Answer.NO_CHANGE:
            return NOTHING
        case Answer():
            return wrong_status(state, trigger)
        case _:
            return [event]

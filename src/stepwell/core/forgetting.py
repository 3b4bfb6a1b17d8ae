"""What a retry and a roll-back make of a run's state: `apply`'s part of doing again; `again` says what is allowed.

The history keeps everything; the state forgets outcomes, so that the program asks for them anew.
"""

import msgspec

from stepwell.core import history as h
from stepwell.core.program import SignalValue
from stepwell.core.state import EarlierBase, State, Step, StepKind, StepStatus
from stepwell.core.status import Status


def retry(state: State, event: h.RunRetried) -> None:
    """Back to the start, with all outcomes but the forgotten ones."""
    _forget(state, event.forget)
    _begin_again(state, event)
    state.phase = _start(state)
    if event.base is not None:
        before = h.Base(version=state.version, definition=state.definition, input=state.input)
        state.bases = [*state.bases, EarlierBase(until_seq=state.seq, base=before)]
        _set_base(state, event.base)


def roll_back(state: State, event: h.RunRolledBack) -> None:
    """Forget what came after a point; whatever was open is closed already. The run is left paused."""
    late = [
        key
        for key, step in state.steps.items()
        if not step.forgotten and (step.closed_seq > event.to_seq or step.closed_seq == state.ended_seq)
    ]  # what the run's end cut off begins anew, wherever that end lies
    _forget(state, (*late, *(key for key, choice in state.choices.items() if choice.seq > event.to_seq)))
    _begin_again(state, event)
    _give_base_back(state, event.to_seq)
    if event.compensate:
        state.touched.append("")  # as for a timer: what follows from the commit is looked at
    state.phase = Status.PAUSED
    state.before_pause = _start(state)


def _start(state: State) -> Status:
    """Where a run stands that begins anew: one whose time has not come goes on waiting for it."""
    return Status.SCHEDULED if state.not_due else Status.PENDING


def _begin_again(state: State, event: h.RunRetried | h.RunRolledBack) -> None:
    state.generation = event.generation
    state.begun_at = event.at
    state.ended_at = None
    state.ended_seq = 0
    state.error = None
    state.reason = ""
    state.forget = ()
    state.output = h.NULL
    state.time_left_s = None
    state.undone = False


def _set_base(state: State, base: h.Base) -> None:
    state.version, state.definition, state.input = base.version, base.definition, base.input


def _give_base_back(state: State, to_seq: int) -> None:
    """What the run ran at `to_seq` is what it runs again."""
    undone = next((number for number, one in enumerate(state.bases) if one.until_seq > to_seq), None)
    if undone is not None:
        _set_base(state, state.bases[undone].base)
        state.bases = state.bases[:undone]


def _forget(state: State, keys: tuple[str, ...]) -> None:
    took: list[Step] = []
    for key in keys:
        state.choices.pop(key, None)
        step = state.steps.get(key)
        if step is None or step.forgotten:
            continue
        if step.kind is StepKind.SIGNAL and step.status is StepStatus.COMPLETED and step.output != h.NULL:
            took.append(step)
        step.forgotten = True
    for step in sorted(took, key=lambda step: step.closed_seq, reverse=True):
        _give_back(state, step)  # the latest first, so that they stand in the order in which they came


def _give_back(state: State, step: Step) -> None:
    """A signal whose wait is forgotten is kept for the wait that takes its place: it was acknowledged."""
    value = msgspec.json.decode(step.output, type=SignalValue)
    signal = h.SignalReceived(
        at=value.at, id=value.id, signal=value.name, data=msgspec.Raw(msgspec.json.encode(value.data))
    )
    state.early.setdefault(value.name, []).insert(0, signal)

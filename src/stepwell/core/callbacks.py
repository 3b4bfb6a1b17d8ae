"""The rules of callbacks: a wait whose one answer comes from outside, from whoever holds its token.

The token is known by the signal it stands for. The same answer again changes nothing, another one is refused; an
answer that nobody waits for any more goes on record as late.
"""

from typing import Final

import msgspec

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.decision import NOTHING, Decision, Refusal
from stepwell.core.program import SignalValue
from stepwell.core.state import State, Step, StepKind, StepStatus

ANSWER: Final = "answer"
"""The id of the one signal that answers a callback."""


def answer_callback(state: State, command: c.AnswerCallback, now: float) -> Decision:
    """The answer, or why it is not taken: nobody waits (any more), or another answer stands."""
    found = _wait_for(state, command.signal)
    if found is None:
        return _unknown()
    key, step = found
    if not step.closed:
        return [h.SignalReceived(at=now, actor=command.actor, id=ANSWER, signal=command.signal, data=command.data)]
    if not _is_answered(step):
        return _too_late(key, step, command, now)
    return NOTHING if _canonical(step.output) == _canonical(_as_output(command)) else _answered(state)


def take_heartbeat(state: State, command: c.SendHeartbeat, now: float) -> Decision:
    """Moves the heartbeat's deadline and nothing else; refused once nobody waits."""
    found = _wait_for(state, command.signal)
    if found is None:
        return _unknown()
    key, step = found
    if step.closed:
        return _answered(state) if _is_answered(step) else _unknown()
    return [h.HeartbeatReceived(at=now, actor=command.actor, key=key, progress=command.progress)]


def _wait_for(state: State, signal: str) -> tuple[str, Step] | None:
    """The wait that a token belongs to, open or closed."""
    waiting = state.awaiting.get(signal)
    if waiting:
        return waiting[0], state.steps[waiting[0]]
    for key, step in state.steps.items():
        if step.kind is StepKind.SIGNAL and step.signal == signal and not step.forgotten:
            return key, step
    return None


def _is_answered(step: Step) -> bool:
    return step.status is StepStatus.COMPLETED and step.output != h.NULL


def _too_late(key: str, step: Step, command: c.AnswerCallback, now: float) -> Refusal:
    late = h.LateResultDiscarded(at=now, actor=command.actor, key=key, attempt=step.attempt, output=command.data)
    note = () if step.attempt in step.late else (late,)
    return msgspec.structs.replace(_unknown(), note=note)


def _unknown() -> Refusal:
    """One answer for a token that never was and one that is over."""
    return Refusal(code="not_found", message="there is no callback that waits for this token")


def _answered(state: State) -> Refusal:
    return Refusal(
        code="callback_answered", message="the callback was answered otherwise before", status=str(state.status)
    )


def _as_output(command: c.AnswerCallback) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(SignalValue(id=ANSWER, name=command.signal, data=command.data)))


def _canonical(output: msgspec.Raw) -> bytes:
    """The data of a signal as text that is the same for the same JSON value."""
    data = msgspec.json.decode(output, type=SignalValue).data
    return msgspec.json.encode(data, order="sorted")

"""The points that a run can be rolled back to: after each step that completed, before a retry, where somebody said.

A snapshot is a place in the history and nothing else: what it holds is the fold of the events up to there. Pure.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator
from typing import Literal

import msgspec

from stepwell.core import history as h
from stepwell.core.run import apply
from stepwell.core.state import State, StepStatus


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """After event `seq`, at the instant `at`."""

    seq: int
    at: float
    reason: Literal["step_completed", "manual", "before_retry"]
    label: str = ""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot holds, in short: SHA-256 and size of all outcomes on record then, as JSON."""

    sha256: str
    size: int


def snapshots_of(events: Iterable[h.AnyEvent]) -> list[Snapshot]:
    """All points of a history, oldest first."""
    state = State()
    found: list[Snapshot] = []
    for event in events:
        key = _key_of(state, event)
        apply(state, event)
        state.touched.clear()
        step = state.steps.get(key)
        if isinstance(event, h.SnapshotTaken):
            found.append(Snapshot(seq=state.seq, at=event.at, reason="manual", label=event.label))
        elif isinstance(event, h.RunRetried):
            found.append(Snapshot(seq=state.seq - 1, at=event.at, reason="before_retry"))
        elif step is not None and step.closed_seq == state.seq and step.status is StepStatus.COMPLETED:
            found.append(Snapshot(seq=state.seq, at=event.at, reason="step_completed"))
    return found


def _key_of(state: State, event: h.AnyEvent) -> str:
    """The key of the step that an event may complete."""
    if isinstance(event, h.SignalReceived):
        waiting = state.awaiting.get(event.signal)
        return waiting[0] if waiting else ""
    key: str = getattr(event, "key", "")
    return key


def contents_of(events: Iterable[h.AnyEvent], seqs: Container[int]) -> Iterator[tuple[int, Content]]:
    """What is on record at each of these places, oldest first."""
    state = State()
    for event in events:
        apply(state, event)
        state.touched.clear()
        if state.seq in seqs:
            yield state.seq, _content(state)


def _content(state: State) -> Content:
    done = {key: step.output for key, step in state.steps.items() if _is_done(state, key)}
    chosen = {key: choice.value for key, choice in state.choices.items()}
    text = msgspec.json.encode({"steps": done, "records": chosen}, order="sorted")
    return Content(sha256=hashlib.sha256(text).hexdigest(), size=len(text))


def _is_done(state: State, key: str) -> bool:
    step = state.find(key)
    return step is not None and step.status is StepStatus.COMPLETED

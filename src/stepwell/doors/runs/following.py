"""Follows a run event by event: what each event changes about the run and about its activity runs. Pure.

Activity runs are those of the views (`engine.view_steps`): without an outline each step of the history is one; with
an outline all that stands under the key of a step belongs to it, and an attempt of a step that is several steps of
the history (`~2` is the second) begins with the first of these and ends with `<key>/ended` or `<key>.../retry`.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from stepwell.core import history as h
from stepwell.core.errors import Problem
from stepwell.core.program import Hiding, StepOutline
from stepwell.core.run import apply
from stepwell.core.state import State, StepStatus
from stepwell.engine.view_log import error_of

ActivityStatus = Literal["running", "waiting", "completed", "failed", "cancelled"]

_HEAD: Final = re.compile(r"[^/@~^]+")
_ITEM: Final = re.compile(r"@(\d+)/(.+)", re.DOTALL)
_ITEMS: Final = re.compile(r"@\d+/")
_FRAME: Final = re.compile(r"~(\d+)")
_ASIDE: Final = ("/delay", "/timeout/after")
_ONE_STEP: Final = ("task", "wait", "approval")
_CLOSINGS: Final = (
    h.StepCompleted, h.StepFailed, h.TimerFired, h.WaitExpired, h.ChildEnded, h.ApprovalDecided,
    h.SignalAwaited, h.SignalReceived, h.ChildStarted,
)  # fmt: skip
_ENDS: Final = (h.RunCompleted, h.RunFailed, h.RunCancelled, h.RunRolledBack)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a step has another status."""

    key: str
    name: str
    attempt: int
    status: ActivityStatus
    error: Problem | None = None


class _Now(msgspec.Struct, kw_only=True):
    """A step's latest attempt. `frame` tells the attempts of a step of several steps apart."""

    name: str
    attempt: int = 0
    status: ActivityStatus | None = None
    frame: tuple[int, int] = (0, 0)

    @property
    def is_open(self) -> bool:
        return self.status in ("running", "waiting")


class _Outlined(msgspec.Struct, frozen=True):
    """A step of an outline, with those inside it by key."""

    name: str
    type: str
    steps: dict[str, "_Outlined"]


def _indexed(outline: Sequence[StepOutline]) -> dict[str, _Outlined]:
    return {step.key: _Outlined(step.name, step.type, _indexed(step.steps)) for step in outline}


class _Place(msgspec.Struct, frozen=True):
    """The step that a key of the history belongs to; `type` is "" without an outline."""

    key: str
    name: str
    type: str

    @property
    def is_one(self) -> bool:
        return not self.type or self.type in _ONE_STEP


class Follower:
    """Takes the events of a run, oldest first."""

    def __init__(self, outline: Sequence[StepOutline] = (), hiding: Hiding | None = None) -> None:
        self.state = State()
        self.outline = _indexed(outline)
        self._hiding = hiding
        self._steps: dict[str, _Now] = {}
        self._open: dict[str, None] = {}
        """Keys of the history that are open."""

    def take(self, event: h.AnyEvent) -> list[Change]:
        """What the event changes about activity runs."""
        apply(self.state, event)
        match event:
            case h.AttemptStarted():
                found = self._begun(event.key, "running")
            case h.TimerSet() | h.SignalAwaited() | h.ApprovalRequested() | h.ChildStarted():
                found = self._begun(event.key, "waiting")
            case h.AttemptFailed():
                found = self._failed(event.key, event.error)
            case h.ValueRecorded():
                found = self._recorded(event.key, event.value)
            case h.RaceDecided():
                found = [change for key in event.cancelled for change in self._cut_off(key, by=event.key)]
            case _ if isinstance(event, _ENDS):
                found = self._all_cut_off()
            case _:
                found = []
        if isinstance(event, _CLOSINGS):
            found += self._closed(list(self._open) if isinstance(event, h.SignalReceived) else [event.key])
        return found

    def change_outline(self, outline: Sequence[StepOutline]) -> None:
        """A retry put another version of the definition in place."""
        self.outline = _indexed(outline)

    def attempt_of(self, key: str, attempt: int) -> tuple[str, int]:
        """The step, and the number of its attempt, that an attempt of the history belongs to."""
        place = self._place(key)
        if place is None:
            return key, attempt
        now = self._steps.get(place.key)
        return place.key, attempt if place.is_one or now is None else now.attempt

    def shown(self, error: Problem) -> Problem:
        """A failure without secrets."""
        return error if self._hiding is None else self._hiding.problem(error)

    # --- places -----------------------------------------------------------------------------------------------------

    def _place(self, key: str) -> _Place | None:
        """None for what is no step's: the frame of a whole list."""
        if not self.outline:
            step = self.state.steps.get(key)
            return _Place(key, step.name if step is not None else "", "")
        prefix, rest, steps = "", key, self.outline
        while (head := _HEAD.match(rest)) is not None and (found := steps.get(head[0])) is not None:
            inner = _ITEM.fullmatch(rest, head.end())
            if inner is None or not found.steps:
                return _Place(prefix + head[0], found.name, found.type)
            prefix, rest, steps = f"{prefix}{head[0]}@{inner[1]}/", inner[2], found.steps
        return None

    def _now(self, place: _Place) -> _Now:
        return self._steps.setdefault(place.key, _Now(name=place.name))

    # --- what happens -----------------------------------------------------------------------------------------------

    def _begun(self, key: str, status: ActivityStatus) -> list[Change]:
        self._open[key] = None
        place = self._place(key)
        if place is None:
            return []
        outer = (self._place(place.key[: item.start()]) for item in _ITEMS.finditer(place.key))
        around = [change for one in outer if one is not None for change in self._begun_at(one, key, "running")]
        return [*around, *self._begun_at(place, key, status)]

    def _begun_at(self, place: _Place, key: str, status: ActivityStatus) -> list[Change]:
        """`place` is the step itself, or a `foreach` around it, which begins with the first thing inside."""
        now = self._now(place)
        if place.is_one:
            if key != place.key:
                return []
            cut_off = [self._to(place, now, "cancelled")] if now.is_open else []
            now.attempt += 1
            return [*cut_off, self._to(place, now, status)]
        if key.endswith(_ASIDE):
            return []
        number = _FRAME.match(key, len(place.key))
        frame = (self.state.generation, int(number[1]) if number is not None else 1)
        if now.is_open and now.frame == frame:
            return []
        now.frame = frame
        now.attempt += 1
        return [self._to(place, now, "waiting" if place.type == "callback" else "running")]

    def _failed(self, key: str, error: Problem) -> list[Change]:
        place = self._place(key)
        if place is None or not place.is_one or key != place.key:
            return []
        return [self._to(place, self._now(place), "failed", error)]

    def _closed(self, keys: Sequence[str]) -> list[Change]:
        """Of these steps of the history, those that the last event has closed."""
        found: list[Change] = []
        for key in keys:
            step, place = self.state.steps[key], self._place(key)
            if step.closed_seq != self.state.seq:
                continue
            self._open.pop(key, None)
            if place is None or step.status is StepStatus.CANCELLED:
                continue
            own = key == place.key if place.is_one else place.type == "subworkflow" and self._is_main(place, key)
            now = self._now(place)
            if own and now.is_open:
                error = error_of(step)
                found.append(self._to(place, now, "completed" if error is None else "failed", error))
        return found

    def _recorded(self, key: str, raw: msgspec.Raw) -> list[Change]:
        """`/ended`: how a step ended; `/retry`: that an attempt failed and another follows."""
        place = self._place(key)
        if place is None or not self.outline:
            return []
        now, rest = self._now(place), key[len(place.key) :]
        if rest == "/ended":
            return self._ended(place, now, msgspec.json.decode(raw))
        if rest.endswith("/retry") and now.is_open and not place.is_one:
            error = msgspec.convert(msgspec.json.decode(raw)["error"], Problem)
            return [self._to(place, now, "failed", error)]
        return []

    def _ended(self, place: _Place, now: _Now, value: dict[str, Any]) -> list[Change]:
        status = value["status"]
        if status == "skipped" or (not now.is_open and now.status == status):
            return []
        if now.status is None or now.frame[0] not in (0, self.state.generation):
            now.attempt += 1  # it never came to a step of the history: it began and ended at once
        error = msgspec.convert(value["error"], Problem) if value.get("error") else None
        return [self._to(place, now, status, error)]

    def _cut_off(self, key: str, *, by: str) -> list[Change]:
        """A race cancelled a key; one of the step's own is part of what the step does."""
        self._open.pop(key, None)
        place = self._place(key)
        if place is None or (not place.is_one and by.startswith(place.key)):
            return []
        now = self._now(place)
        return [self._to(place, now, "cancelled")] if now.is_open and (not place.is_one or key == place.key) else []

    def _all_cut_off(self) -> list[Change]:
        self._open.clear()
        return [
            self._to(_Place(key, now.name, ""), now, "cancelled") for key, now in self._steps.items() if now.is_open
        ]

    def _is_main(self, place: _Place, key: str) -> bool:
        rest = key[len(place.key) :]
        return not rest or _FRAME.fullmatch(rest) is not None

    def _to(self, place: _Place, now: _Now, status: ActivityStatus, error: Problem | None = None) -> Change:
        now.status = status
        shown = None if error is None else self.shown(error)
        return Change(key=place.key, name=now.name, attempt=now.attempt, status=status, error=shown)

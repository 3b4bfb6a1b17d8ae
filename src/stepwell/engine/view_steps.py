"""Steps as views show them, out of what a history says. Pure.

Without an outline each step of the history is one. With an outline all that stands under the key of a step belongs to
it. Keys below a plan's step: `~2` is its second attempt, `@3/...` the steps for its item 3, `/ended` how it ended
where that is more than one step of the history says, `/retry` and `/delay` what is between two attempts, `/timeout`
its time limit.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import msgspec

from stepwell.core.errors import Problem
from stepwell.core.history import NULL
from stepwell.core.program import StepOutline
from stepwell.core.state import Choice, Step, StepKind, StepStatus
from stepwell.core.status import Status, WaitReason
from stepwell.engine.attempts import decode
from stepwell.engine.view_log import Log, Mark, Try, error_of
from stepwell.engine.views import AttemptView, StepView, ViewStatus

_HEAD: Final = re.compile(r"[^/@~^]+")
_ITEM: Final = re.compile(r"@(\d+)/(.+)", re.DOTALL)
_FRAME: Final = re.compile(r"~(\d+)")
_ASIDE: Final = ("/delay", "/timeout/after")
"""Timers of a step that are no part of what it does."""
_TIMER: Final = re.compile(
    r"/(?:.*/)?(?P<of>[^/]*?)(?:[@~^]\d+)*?(?:~\d+/(?P<delay>delay)|/timeout/after)", re.DOTALL
)
"""The key of a timer of a flow that no task sets for itself: between two attempts, or of a time limit."""
_ONE_STEP: Final = ("task", "wait", "approval")
"""Types that are one step of the history, whose attempts are theirs."""
_STATUSES: Final[dict[StepStatus, ViewStatus]] = {
    StepStatus.SCHEDULED: "running",
    StepStatus.RUNNING: "running",
    StepStatus.RETRYING: "retrying",
    StepStatus.WAITING: "waiting",
    StepStatus.COMPLETED: "completed",
    StepStatus.FAILED: "failed",
    StepStatus.CANCELLED: "cancelled",
}
_OVER: Final = ("completed", "failed", "skipped", "cancelled")


def step_views(log: Log, outline: Sequence[StepOutline]) -> tuple[StepView, ...]:
    """In the order of the outline, else in that in which they began."""
    if not outline:
        steps = log.state.steps.items()
        return tuple(_history_step(log, key, step, index) for index, (key, step) in enumerate(steps))
    groups = _groups(outline, "")
    for mark in log.marks:
        _sort_in(mark, mark.key, groups)
    return tuple(_GroupView(log, group).view(index) for index, group in enumerate(groups.values()))


def name_of(key: str, step: Step) -> str:
    """What to call a step of a history: its name; a timer beside a task by what it is for; else its key."""
    if step.name or step.kind is not StepKind.TIMER:
        return step.name or key
    if key == "/timeout/after":
        return "time-out of the run"
    timer = _TIMER.fullmatch(key)
    if timer is None:
        return key
    return f"{timer['delay'] or 'time-out'} of {timer['of']}"


def place_of(key: str) -> str:
    """Where a run is by the key of its newest step: at a task, also when that is a timer beside it."""
    timer = _TIMER.fullmatch(key)
    return key if timer is None else key.removesuffix("/timeout/after").removesuffix("/delay")


# --- without an outline ---------------------------------------------------------------------------------------------


def _history_step(log: Log, key: str, step: Step, index: int) -> StepView:
    status = "pending" if step.forgotten else _status_of(step)
    tries = log.tries.get(key, [])
    return StepView(
        key=key,
        name=name_of(key, step),
        type=_type_of(step),
        index=index,
        status=status,
        attempt=len(tries),
        max_attempts=max(1, len(tries)),
        attempts=_attempt_views(tries),
        input=_input_of(log, key),
        output=log.output_of(step) if status == "completed" else None,
        error=error_of(step) if status == "failed" else None,
        last_heartbeat_at=step.last_heartbeat_at,
        next_retry_at=step.due_at if status == "retrying" else None,
        started_at=tries[0].started_at if tries else None,
        ended_at=step.closed_at if status in _OVER else None,
        ended_seq=step.closed_seq if status in _OVER else 0,
        child_id=step.child_id,
    )


def _type_of(step: Step) -> str:
    if step.kind is StepKind.SIGNAL:
        return "callback" if step.reason is WaitReason.CALLBACK else "event"
    return {"call": "task", "timer": "wait", "approval": "approval", "child": "subworkflow"}[step.kind]


def _status_of(step: Step) -> ViewStatus:
    found = _STATUSES[step.status]
    return "failed" if found == "completed" and error_of(step) is not None else found


def _attempt_views(tries: Sequence[Try]) -> tuple[AttemptView, ...]:
    return tuple(
        AttemptView(
            number=number,
            status=one.status,
            started_at=one.started_at,
            ended_at=one.ended_at,
            output=one.output,
            error=one.error,
            late=one.late,
        )
        for number, one in enumerate(tries, 1)
    )


def _input_of(log: Log, key: str) -> Any:
    return decode(log.inputs.get(key, NULL))


# --- with an outline ------------------------------------------------------------------------------------------------


class _Group:
    """All that stands under the key of one step of an outline."""

    def __init__(self, key: str, outline: StepOutline) -> None:
        self.key = key
        self.outline = outline
        self.marks: list[Mark] = []
        self.items: dict[int, dict[str, _Group]] = {}

    def item(self, index: int) -> dict[str, "_Group"]:
        """The steps for one item of a `foreach`."""
        if index not in self.items:
            self.items[index] = _groups(self.outline.steps, f"{self.key}@{index}/")
        return self.items[index]


def _groups(outline: Sequence[StepOutline], prefix: str) -> dict[str, _Group]:
    return {step.key: _Group(prefix + step.key, step) for step in outline}


def _sort_in(mark: Mark, key: str, groups: dict[str, _Group]) -> None:
    """Put a mark to the step that its key begins with, and to the step inside that."""
    head = _HEAD.match(key)
    group = groups.get(head[0]) if head is not None else None
    if head is None or group is None:
        return
    group.marks.append(mark)
    if group.outline.steps and (inner := _ITEM.fullmatch(key, head.end())) is not None:
        _sort_in(mark, inner[2], group.item(int(inner[1])))


class _GroupView:
    """One step of an outline, seen."""

    def __init__(self, log: Log, group: _Group) -> None:
        self._log = log
        self._state = log.state
        self._group = group
        self._key = group.key
        self._is_one = group.outline.type in _ONE_STEP
        self._choice: Choice | None = log.state.choices.get(f"{group.key}/ended")
        self._ended: dict[str, Any] = decode(self._choice.value) if self._choice is not None else {}
        self._opened = [mark.key for mark in group.marks if mark.kind == "opened"]
        self._tries = self._one_step_tries() if self._is_one else self._composite_tries()
        self._main = self._find_main()

    def view(self, index: int) -> StepView:
        outline, main, tries = self._group.outline, self._main, self._tries
        status = self._status()
        ended_at, ended_seq = self._end(status)
        return StepView(
            key=self._key,
            name=outline.name,
            type=outline.type,
            index=index,
            status=status,
            attempt=len(tries),
            max_attempts=outline.max_attempts,
            depends_on=outline.depends_on,
            attempts=_attempt_views(tries),
            input=self._input(),
            output=self._output() if status == "completed" else None,
            error=self._error() if status == "failed" else None,
            timeout_s=outline.timeout_s,
            heartbeat_timeout_s=outline.heartbeat_timeout_s,
            last_heartbeat_at=main.last_heartbeat_at if main is not None else None,
            next_retry_at=self._next_retry_at() if status == "retrying" else None,
            started_at=tries[0].started_at if tries else None,
            ended_at=ended_at,
            ended_seq=ended_seq,
            child_id=main.child_id if main is not None else "",
            parts=self._parts(),
        )

    def _parts(self) -> tuple[StepView, ...]:
        items = self._group.items
        if not items:
            return ()
        inner = (group for index in sorted(items) for group in items[index].values())
        return tuple(_GroupView(self._log, group).view(place) for place, group in enumerate(inner))

    # --- attempts ---------------------------------------------------------------------------------------------------

    def _one_step_tries(self) -> list[Try]:
        tries = list(self._log.tries.get(self._key, ()))
        for mark in self._group.marks:
            if mark.kind == "recorded" and mark.key == f"{self._key}/ended":
                _close(tries, mark)
        return sorted(tries, key=lambda one: one.seq)

    def _composite_tries(self) -> list[Try]:
        """An attempt is what went on in one generation under one `~n`."""
        tries: list[Try] = []
        frame = (0, 0)
        for mark in self._group.marks:
            self._cut_off(tries, before=mark.seq)
            current = tries[-1] if tries and tries[-1].ended_at is None else None
            match mark.kind:
                case "opened" if not mark.key.endswith(_ASIDE):
                    if current is None or frame != self._frame(mark):
                        frame = self._frame(mark)
                        tries.append(_try(mark, "waiting" if self._group.outline.type == "callback" else "running"))
                case "recorded" if mark.key == f"{self._key}/ended":
                    _close(tries, mark)
                case "recorded" if mark.key.endswith("/retry") and current is not None and self._is_own(mark.key):
                    current.end("failed", mark.at, mark.seq, error=msgspec.convert(mark.value["error"], Problem))
                case "closed" if current is not None and self._group.outline.type == "subworkflow":
                    if self._is_main(mark.key):
                        _end_as_closed(current, mark)
                case "cancelled" if current is not None and not mark.by.startswith(self._key):
                    current.end("cancelled", mark.at, mark.seq)
        self._cut_off(tries, before=self._state.seq + 1)
        return tries

    def _cut_off(self, tries: list[Try], before: int) -> None:
        """Whatever ended the run ended an open attempt."""
        if tries and tries[-1].ended_at is None:
            found = next((end for end in self._log.ends if tries[-1].seq < end[0] < before), None)
            if found is not None:
                tries[-1].end("cancelled", found[1], found[0])

    def _frame(self, mark: Mark) -> tuple[int, int]:
        found = _FRAME.match(mark.key, len(self._key))
        return mark.generation, int(found[1]) if found else 1

    def _is_own(self, key: str) -> bool:
        """Whether a key belongs to the step itself, not to a step inside it."""
        return _ITEM.match(key, len(self._key)) is None

    def _is_main(self, key: str) -> bool:
        return key == self._key or _FRAME.fullmatch(key, len(self._key)) is not None

    # --- how it stands ----------------------------------------------------------------------------------------------

    def _find_main(self) -> Step | None:
        """The step of the history under its own key, of the latest attempt that has one."""
        for key in reversed(self._opened):
            if self._is_main(key) and (step := self._state.find(key)) is not None:
                return step
        return None

    def _status(self) -> ViewStatus:
        if self._ended:
            return cast(ViewStatus, self._ended["status"])
        if self._is_one:
            return self._unbegun() if self._main is None else _status_of(self._main)
        return self._composite_status()

    def _unbegun(self) -> ViewStatus:
        return "cancelled" if self._state.phase is Status.CANCELLED else "pending"

    def _composite_status(self) -> ViewStatus:
        kept = [key for key in self._keys() if self._state.find(key) is not None]
        if not kept:
            return self._unbegun()
        is_child = self._group.outline.type == "subworkflow"
        if is_child and self._main is not None and self._main.status is StepStatus.COMPLETED:
            return "completed"
        open_keys = [key for key in kept if key in self._state.active or key in self._state.waits]
        if self._tries and self._tries[-1].status == "cancelled" and not open_keys:
            return "cancelled"
        if any(key.endswith("/delay") for key in open_keys):
            return "retrying"
        working = [key for key in open_keys if not key.endswith(_ASIDE)]
        only_waits = bool(working) and not any(key in self._state.active for key in working)
        return "waiting" if only_waits or self._waits(working) else "running"

    def _waits(self, keys: list[str]) -> bool:
        """Whether a callback is waited for, although its request may still be on its way."""
        return self._group.outline.type == "callback" and any(self._is_main(key) for key in keys)

    def _keys(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._opened))

    def _end(self, status: ViewStatus) -> tuple[float | None, int]:
        if status not in _OVER:
            return None, 0
        if self._choice is not None:
            return self._choice.at, self._choice.seq
        if self._main is not None and self._main.closed:
            return self._main.closed_at, self._main.closed_seq
        last = self._tries[-1] if self._tries else None
        return (last.ended_at, last.ended_seq) if last is not None else (None, 0)

    def _output(self) -> Any:
        if "output" in self._ended:
            return self._ended["output"]
        return self._log.output_of(self._main) if self._main is not None else None

    def _error(self) -> Problem | None:
        if "error" in self._ended:
            return msgspec.convert(self._ended["error"], Problem)
        return error_of(self._main) if self._main is not None else None

    def _next_retry_at(self) -> float | None:
        if self._is_one:
            return self._main.due_at if self._main is not None else None
        due = (self._state.steps[key].due_at for key in self._keys() if key.endswith("/delay"))
        return max((at for at in due if at is not None), default=None)

    def _input(self) -> Any:
        for key in self._keys():
            if (raw := self._log.inputs[key]) is not NULL and self._is_own(key) and raw != NULL:
                return decode(raw)
        return None


def _try(mark: Mark, status: Any) -> Try:
    return Try(started_at=mark.at, seq=mark.seq, generation=mark.generation, status=status)


def _end_as_closed(attempt: Try, mark: Mark) -> None:
    output, error = mark.value
    attempt.end("completed" if error is None else "failed", mark.at, mark.seq, output=output, error=error)


def _close(tries: list[Try], mark: Mark) -> None:
    """What is on record of how a step ended, as the end of its attempt; one that never came to a step of the history
    began and ended at once."""
    ended = mark.value
    if ended["status"] == "skipped":
        return
    last = next((one for one in reversed(tries) if one.seq < mark.seq and one.generation == mark.generation), None)
    if last is None:
        last = _try(mark, "running")
        tries.append(last)
    error = msgspec.convert(ended["error"], Problem) if "error" in ended else None
    if last.ended_at is None or last.error is None:
        last.end(ended["status"], mark.at, mark.seq, output=ended.get("output"), error=error)

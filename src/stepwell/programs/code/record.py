"""The record of a hosted run, read: where its control loop stands after all ticks that went on record.

Keys: `tick/<n>` holds the n-th tick, before its commands ran. A step is `<step>/<item>`, with `~<k>` when it is the
k-th further invocation for the same work item (a retry, or a step that goes on after a wait). `inbox/<n>` is the wait
that took the n-th posted event; the tick that consumed it names it. `alarm/<ms>` brings the run back. A step that is
called as one of these has `step:` before its name, which no name of a function has.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from stepwell.core.errors import Problem, ProgramError
from stepwell.programs.code.codec import Codec
from stepwell.programs.code.patches import Patch
from stepwell.programs.code.seam import (
    AddWaiter,
    BrokerState,
    CommandCompleteRun,
    CommandFailWorkflow,
    CommandHalt,
    DeleteWaiter,
    TickStepResult,
    TickWaiterTimeout,
    WorkflowTick,
    replay_ticks_stream,
)

OUTCOME = "outcome"
"""The member of a failed step's problem data that holds what the step gave back."""
_OWN_KEYS = ("tick", "inbox", "alarm")
Exit = CommandCompleteRun | CommandFailWorkflow | CommandHalt
Recall = Callable[[str], Any]
"""What is on record under a key: `RunContext.recall`."""


class Past(msgspec.Struct, kw_only=True):
    """What a record adds up to."""

    broker: Any  # BrokerState, which msgspec has no type for
    ticks: int = 0
    heard: int = 0
    """How many posted events were consumed."""
    started: bool = False
    """Whether the start event was consumed."""
    rounds: dict[str, int] = {}
    """By work item and step: how many invocations have reported."""
    sent: set[tuple[str, int]] = set()
    """By step and place in it: the events sent in the middle of steps that were consumed."""
    patches: list[Patch] = []
    deadlines: dict[tuple[str, str], tuple[float, Any]] = {}
    """By step and waiter: when the waiter gives up, and the tick that says so."""
    exit: Any = None  # Exit | None
    blame: tuple[str, ...] = ()
    """The keys of the last tick and its step: what a retry of a failed run has to do again."""

    @property
    def resting(self) -> bool:
        """Whether nothing was under way: the run waited for somebody."""
        return self.ticks > 0 and not any(
            worker.queue or worker.in_progress for worker in self.broker.workers.values()
        )

    @property
    def last_write(self) -> int:
        return max((number for number, _ in self.patches), default=0)


def key_of(name: str, work_item: str | None) -> str:
    """The key of the first invocation of a step for a work item."""
    if name in _OWN_KEYS:
        name = f"step:{name}"
    return f"{name}/{(work_item or 'any').removeprefix('work_item_')}"


def key_of_round(item: str, rounds: Mapping[str, int]) -> str:
    """The key of the next invocation for the same work item."""
    number = rounds.get(item, 0)
    return f"{item}~{number}" if number else item


def item_of(key: str) -> str:
    return key.partition("~")[0]


def outcome_of(recall: Recall, key: str) -> Mapping[str, Any] | None:
    """What a step gave back, whether it failed or not; None when it has not ended."""
    try:
        found: Mapping[str, Any] | None = recall(key)
    except ProgramError as failed:
        return outcome_in(failed.problem)
    return found


def outcome_in(problem: Problem) -> Mapping[str, Any] | None:
    """What a failed step gave back; None when it failed before it could."""
    return problem.data.get(OUTCOME) if isinstance(problem.data, dict) else None


class Reading:
    """Reads a record tick by tick."""

    def __init__(self, recall: Recall, codec: Codec, broker: BrokerState, run_id: str) -> None:
        self._recall = recall
        self._codec = codec
        self._run_id = run_id
        self.past = Past(broker=broker)

    async def read(self) -> Past:
        """Where the run stands. Raises what the codec raises for a record that cannot be read any more."""
        past = self.past
        replayed = await replay_ticks_stream(past.broker, self._ticks(), self._run_id)
        past.broker, past.exit = replayed.state, replayed.exit_command
        self._take_unreported()
        return past

    async def _ticks(self) -> AsyncIterator[WorkflowTick]:
        past = self.past
        while (entry := self._recall(f"tick/{past.ticks}")) is not None:
            past.blame = (f"tick/{past.ticks}",)
            past.ticks += 1
            past.started = past.started or entry.get("start", False)
            past.heard = max(past.heard, entry.get("inbox", -1) + 1)
            if "sent" in entry:
                past.sent.add((entry["sent"][0], entry["sent"][1]))
            self._take_patches(entry)
            key = entry.get("step")
            outcome = None
            if key is not None:
                past.blame = (*past.blame, key)
                past.rounds[item_of(key)] = past.rounds.get(item_of(key), 0) + 1
                outcome = outcome_of(self._recall, key)
                self._take_patches(outcome or {})
            tick = self._codec.load_tick(entry["tick"], outcome)
            self._see_waiters(tick)
            yield tick

    def _take_patches(self, entry: Mapping[str, Any]) -> None:
        self.past.patches += [(number, operations) for number, operations in entry.get("writes", ())]

    def _take_unreported(self) -> None:
        """Steps that ended, and whose ticks were lost: they will report again, but their writes are there already."""
        keys = {
            key_of_round(key_of(str(step_id), execution.work_item_id), self.past.rounds)
            for step_id, worker in self.past.broker.workers.items()
            for execution in worker.in_progress
        }
        for key in keys:
            self._take_patches(outcome_of(self._recall, key) or {})

    def _see_waiters(self, tick: WorkflowTick) -> None:
        """Note when the waiters give up that a tick set up."""
        if not isinstance(tick, TickStepResult):
            return
        for result in tick.result:
            if isinstance(result, DeleteWaiter):
                self.past.deadlines.pop((str(tick.step_id), result.waiter_id), None)
            if isinstance(result, AddWaiter) and result.timeout is not None and tick.stamped_at is not None:
                given_up = TickWaiterTimeout(
                    step_id=tick.step_id,
                    waiter_id=result.waiter_id,
                    invocation_namespace=tick.invocation_namespace,
                )
                place = str(tick.step_id), result.waiter_id
                self.past.deadlines.setdefault(place, (tick.stamped_at + result.timeout, given_up))

"""What this process has done since it began: counted where commits are told of, read by `/metrics` and the console.

Counting stands on the path of every step, so it is a table look-up for most events and nothing for the rest.
"""

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

from stepwell.core import history as h
from stepwell.core.errors import code_of
from stepwell.core.state import State

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""Upper bounds of the buckets of lengths of time."""
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Of numbers of batches in one transaction."""
MINUTES: Final = 60
MAX_CAUSES: Final = 100
"""Kinds of failures that are told apart; programs make up their own, so there is a bound."""
OTHER: Final = "other"


class Histogram:
    """How many values fell into each bucket, which are not summed up, and the sum of the values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def total(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The upper bound of the bucket in which that share of the values ends; None without any value."""
        wanted, seen = share * self.total, 0
        for bound, count in zip((*self.bounds, self.bounds[-1]), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return None


class Meters:
    """Counters of one engine."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        """Runs `created`, and by how they ended."""
        self._failures: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        """Failures of runs by the last segment of their type."""
        self.step_s = Histogram(SECONDS)
        """From the scheduling of a step to its completion, with all attempts."""
        self.commit_s = Histogram(SECONDS)
        self.commit_batches = Histogram(SIZES)
        self.items = 0
        self.minutes: OrderedDict[int, Counter[str]] = OrderedDict()
        """What `runs` counts, of the last hour, by minutes since the epoch."""

    def committed(self, state: State, events: Sequence[h.AnyEvent], items: int) -> None:
        """Events of a run that are on disk now; `state` has them."""
        if items:
            self.items += items
        for event in events:
            if type(event) is h.StepCompleted:  # nearly every commit has one, and nothing else that is counted
                self.step_s.add(event.at - state.steps[event.key].opened_at)
            elif type(event) in _COUNTED:
                _COUNTED[type(event)](self, state, event)

    @property
    def steps(self) -> dict[str, int]:
        """Steps and waits by how they ended; `attempt_failed` counts attempts that are tried again, too."""
        completed = self.step_s.total
        return {"completed": completed, **self._failures} if completed else dict(self._failures)

    def wrote(self, batches: int, took_s: float) -> None:
        """A transaction of so many batches."""
        self.commit_batches.add(batches)
        self.commit_s.add(took_s)

    def _run(self, what: str, at: float) -> None:
        self.runs[what] += 1
        minute = int(at // 60)
        counter = self.minutes.get(minute)
        if counter is None:
            counter = self.minutes[minute] = Counter()
            while len(self.minutes) > MINUTES:
                self.minutes.popitem(last=False)
        counter[what] += 1

    def _failed(self, event: h.RunFailed) -> None:
        self._run("failed", event.at)
        cause = code_of(event.error)
        self.causes[cause if cause in self.causes or len(self.causes) < MAX_CAUSES else OTHER] += 1

    def _step(self, what: str) -> None:
        self._failures[what] += 1


_COUNTED: Final[dict[type, Callable[[Meters, State, Any], None]]] = {
    h.StepFailed: lambda meters, _state, _event: meters._step("failed"),
    h.AttemptFailed: lambda meters, _state, _event: meters._step("attempt_failed"),
    h.RunCreated: lambda meters, _state, event: meters._run("created", event.at),
    h.RunCompleted: lambda meters, _state, event: meters._run("completed", event.at),
    h.RunFailed: lambda meters, _state, event: meters._failed(event),
    h.RunCancelled: lambda meters, _state, event: meters._run("cancelled", event.at),
}

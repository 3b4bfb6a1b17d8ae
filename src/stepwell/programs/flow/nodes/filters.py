"""Filters of events, compiled: which events pass, how those of one listen hang together, when there are enough."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal

import msgspec

from stepwell.core.history import Listen
from stepwell.programs.flow.expressions import Expression, ExpressionError, Variables, evaluate
from stepwell.programs.flow.expressions.filter_faults import FILTER_FAULTS
from stepwell.programs.flow.expressions.values import equal
from stepwell.programs.flow.model.events import EventFilter, EventStrategy, attribute_text
from stepwell.programs.flow.nodes.cloud_events import CloudEvent
from stepwell.programs.flow.nodes.http_messages import scalar_text
from stepwell.programs.flow.nodes.scope import evaluate as evaluate_here

Lookup = Callable[[Expression], Variables]
"""The variables that an expression reads, in the place that asks."""

Keys = dict[str, Any]
"""Correlations by name: what the events so far have in common."""


class Filter(msgspec.Struct, frozen=True):
    """One filter."""

    model: EventFilter

    def listen(self, signal: str) -> Listen:
        """What may pass, by what is known before a run: the rest of the filter looks at the event itself."""
        literals = self.model.with_.literals
        return Listen(signal=signal, type=literals.get("type", ""), source=literals.get("source", ""))

    async def passes(self, event: CloudEvent, lookup: Lookup) -> bool:
        """Whether every attribute is there and fits."""
        for name, wanted in self.model.with_.attributes.items():
            if name not in event:
                return False
            value = event[name] if name == "data" else attribute_text(event[name])
            if not await evaluate(wanted, value, lookup(wanted)):
                return False
        return True

    async def correlated(self, event: CloudEvent, keys: Keys, lookup: Lookup, value: Any) -> Keys | None:
        """The correlations of an event; None when they are not those in `keys`, or not as the definition says.

        `value` is what an expression that gives the expected value reads. Raises `ProgramError` when that fails.
        """
        found: Keys = {}
        for name, correlation in self.model.correlate.items():
            try:
                key = await evaluate(correlation.from_, event, lookup(correlation.from_))
            except ExpressionError as error:
                FILTER_FAULTS.note(f"{correlation.at}/from", correlation.from_.text, error)
                return None
            if key is None or (name in keys and not equal(keys[name], key)):
                return None
            if correlation.expect is not None:
                place = f"{correlation.at}/expect"
                expected = await evaluate_here(correlation.expect, value, lookup(correlation.expect), place)
                if not _is_expected(key, expected, constant=correlation.expect.constant):
                    return None
            found[name] = key
        return found


def _is_expected(key: Any, expected: Any, *, constant: bool) -> bool:
    """A constant is always text in a definition, so a number may be meant."""
    return equal(key, expected) or (constant and not isinstance(key, str) and scalar_text(key) == expected)


class Strategy(msgspec.Struct, frozen=True):
    """Which events a task consumes. No filters stand for every event."""

    kind: Literal["all", "any", "one"]
    filters: tuple[Filter, ...]

    def listens(self, signal: str) -> tuple[Listen, ...]:
        if not self.filters:
            return () if self.kind == "all" else (Listen(signal=signal),)
        return tuple(dict.fromkeys(each.listen(signal) for each in self.filters))


def strategy_of(model: EventStrategy) -> Strategy:
    kind: Literal["all", "any", "one"] = "all" if model.all is not None else "any" if model.any is not None else "one"
    return Strategy(kind, tuple(Filter(each) for each in model.filters))


class Verdict(Enum):
    """What becomes of an event."""

    TAKEN = "taken"
    KEPT = "kept"
    """It passes, but not now: its filter has its event, or it belongs to other events."""
    DROPPED = "dropped"


class Gathering:
    """The events of one visit to a task. `keys` may be shared with the gathering of its `until`."""

    def __init__(self, strategy: Strategy, keys: Keys, lookup: Lookup, value: Any) -> None:
        self._strategy = strategy
        self._keys = keys
        self._lookup = lookup
        self._value = value
        self._filled: set[int] = set()
        self.taken = 0

    @property
    def complete(self) -> bool:
        """Whether there is one for every filter; for other kinds, whether there is one at all."""
        kind, filters = self._strategy.kind, self._strategy.filters
        return len(self._filled) == len(filters) if kind == "all" else self.taken > 0

    async def offer(self, event: CloudEvent) -> Verdict:
        """Take the event if there is a filter for it; the first that it passes counts."""
        verdict = Verdict.DROPPED
        for index, each in enumerate(self._strategy.filters):
            if not await each.passes(event, self._lookup):
                continue
            found = await each.correlated(event, self._keys, self._lookup, self._value)
            if found is not None and index not in self._filled:
                return self._take(index, found)
            if self._strategy.kind == "all":
                verdict = Verdict.KEPT
        return verdict if self._strategy.filters or self._strategy.kind == "all" else self._take(0, {})

    def _take(self, index: int, found: Mapping[str, Any]) -> Verdict:
        if self._strategy.kind == "all":
            self._filled.add(index)
        self._keys.update(found)
        self.taken += 1
        return Verdict.TAKEN

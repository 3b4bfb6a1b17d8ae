"""The order of the steps of one list: what each waits for, and what an error or a condition leaves out. Pure.

When no step says what it depends on each waits for the one before it. A step that a condition names waits for that
condition too. A goto skips what lies between its step and its target: all that waits for the step, but for the target
and what waits for that.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise

from stepwell.programs.plan.model import Approval, Condition, PlanStep

Keys = frozenset[str]
NONE: Keys = frozenset()


class Level:
    """The steps of a plan, or of a `foreach`; all keys in them exist. Raises `graphlib.CycleError`."""

    def __init__(self, steps: Sequence[PlanStep]) -> None:
        self.steps = {step.key: step for step in steps}
        self.governing = _governing(steps)
        self.after = _after(steps, self.governing)
        self._before = _closure(self.after)
        self.diverting = [step.key for step in steps if step.on_error == "wait" or any(gotos(step))]
        """Steps whose failure leaves others out."""

    def before(self, key: str) -> Keys:
        """All that has ended when a step begins."""
        return self._before[key]

    def passed_over(self, key: str, target: str) -> Keys:
        """What a goto from a step to a target skips."""
        behind = {other for other, before in self._before.items() if key in before}
        return frozenset(other for other in behind if other != target and target not in self._before[other])


def gotos(step: PlanStep) -> Iterator[str]:
    """The keys that a step may jump to."""
    if step.goto is not None:
        yield step.goto
    if isinstance(step.action, Approval) and step.action.on_timeout.startswith("goto:"):
        yield step.action.on_timeout.removeprefix("goto:")


def in_list_order(steps: Sequence[PlanStep]) -> bool:
    return all(step.depends_on is None for step in steps)


def _governing(steps: Sequence[PlanStep]) -> Mapping[str, list[tuple[str, bool]]]:
    """Step to the conditions that it depends on, and what they must have come to."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for step in steps:
        if isinstance(step.action, Condition):
            for result, keys in ((True, step.action.then), (False, step.action.otherwise)):
                for key in keys:
                    found.setdefault(key, []).append((step.key, result))
    return found


def _after(
    steps: Sequence[PlanStep], governing: Mapping[str, list[tuple[str, bool]]]
) -> Mapping[str, tuple[str, ...]]:
    if in_list_order(steps):
        chain = {step.key: (before.key,) for before, step in pairwise(steps)}
        return {step.key: chain.get(step.key, ()) for step in steps}
    return {
        step.key: tuple(
            dict.fromkeys((*(step.depends_on or ()), *(condition for condition, _ in governing.get(step.key, ()))))
        )
        for step in steps
    }


def _closure(after: Mapping[str, tuple[str, ...]]) -> Mapping[str, Keys]:
    found: dict[str, Keys] = {}
    for key in TopologicalSorter(after).static_order():
        direct = after[key]
        found[key] = NONE.union(direct, *(found[other] for other in direct))
    return found

"""What undoes a run: a workflow of its own, made from the same document, that runs the `compensate` of each step that
had completed, the last one first.

Its document is `{"compensation_of": <the document>}`. Its input says what is to be undone:
`{"run": {...}, "input": ..., "done": [{"key", "output"}, ...], "undo": [keys]}`, both in the order in which the steps
completed; keys are those of the history (`each@3/book`). One that fails does not keep the others from being undone.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.core.program import RunContext, RunInfo
from stepwell.core.retry import RetryPolicy
from stepwell.programs.plan.actions.port import Action
from stepwell.programs.plan.building import Builder
from stepwell.programs.plan.interpolation import fill
from stepwell.programs.plan.model import ForEach, Plan, PlanStep, walk
from stepwell.programs.plan.scope import SKIPPED, Facts, Names, Outcome, Place, Services

DOCUMENT: Final = "compensation_of"
_ITEM: Final = re.compile(r"([^/@~^]+)@(\d+)/")


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A step that had completed."""

    key: str
    output: Any = None


class Undoing(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a compensation. `run` is the run that is undone."""

    run: RunInfo
    input: Any = None
    done: tuple[Done, ...] = ()
    undo: tuple[str, ...] = ()


class Compensation:
    """The compensations of one plan."""

    def __init__(self, plan: Plan, services: Services) -> None:
        self._plan = plan
        self._services = services
        words = msgspec.structs.replace(plan.words, config=plan.words.compensate)
        self._undone_plan = msgspec.structs.replace(plan, words=words)
        builder = Builder(plan, services)
        self._steps = {step.key: step for step in walk(plan.steps)}
        self._actions: Mapping[str, Action] = {
            key: builder.task(step.compensate) for key, step in self._steps.items() if step.compensate is not None
        }

    async def run(self, ctx: RunContext, input: Any) -> Any:
        """Undoes the steps, the last one first; `{"undone": [keys]}`. Raises the first failure, in the end."""
        undoing = msgspec.convert(input, Undoing)
        facts = Facts(self._undone_plan, self._services, undoing.run, undoing.input)
        undone: list[str] = []
        errors: list[ProgramError] = []
        for key in reversed(undoing.undo):
            step, action = self._found(key)
            if step is None or action is None:
                continue
            try:
                await action.perform(Place(ctx, facts, _patient(step), key, self._names(facts, undoing, key)))
                undone.append(key)
            except ProgramError as error:
                errors.append(error)
        if errors:
            forget = (key for error in errors for key in error.forget)
            raise ProgramError(facts.veil.problem(errors[0].problem), tuple(dict.fromkeys(forget)))
        return {"undone": undone}

    def _found(self, key: str) -> tuple[PlanStep | None, Action | None]:
        bare = _bare(key)
        return self._steps.get(bare), self._actions.get(bare)

    def _names(self, facts: Facts, undoing: Undoing, key: str) -> Names:
        """What the step could look up, and its own outcome."""
        names: dict[str, Any] = facts.names()
        scopes = ["", *_scopes(key)]
        outputs = {one.key: one.output for one in undoing.done}
        steps = {own: SKIPPED.shown() for own in self._steps}
        steps |= {
            own: Outcome(status="completed", output=outputs[scope + own]).shown()
            for scope in scopes
            for own in self._steps
            if scope + own in outputs
        }
        names["steps"] = steps
        for scope, found in zip(scopes, _ITEM.finditer(key), strict=False):
            names |= self._item(names, self._steps[found[1]], int(found[2]), scope)
        return names

    def _item(self, names: Names, step: PlanStep, index: int, scope: str) -> Names:
        assert isinstance(step.action, ForEach), f"{scope}{step.key} has items"
        items = fill(step.action.items, names, step.at)
        return {"item": items[index], "index": index}


def _bare(key: str) -> str:
    """The step's own key."""
    return key[key.rfind("/") + 1 :]


def _scopes(key: str) -> Iterator[str]:
    """The prefixes of the items that a key is in, from the outside in."""
    for found in _ITEM.finditer(key):
        yield key[: found.end()]


def _patient(step: PlanStep) -> PlanStep:
    """A compensation is tried as often as its step, or as usual; the step's other rules are not its own."""
    return msgspec.structs.replace(
        step, retry=step.retry or RetryPolicy(), retry_on=None, timeout_s=None, heartbeat_timeout_s=None
    )

"""Runs the steps of one list: each as soon as what it waits for has ended.

What a step sees of others are steps that have ended before it began, so it is the same on every pass. How a step
ended is on record under its own key where one step of the history is all of it; else under `<key>/ended`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.core.program import Branch, RunContext
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.failures import placed
from stepwell.programs.plan.actions.port import Action, GoToError
from stepwell.programs.plan.actions.working import Working
from stepwell.programs.plan.dependencies import Level
from stepwell.programs.plan.model import PlanStep
from stepwell.programs.plan.repeating import performed
from stepwell.programs.plan.scope import BLOCKED, SKIPPED, Facts, Names, Outcome, Place, holds


class Node:
    """A compiled step. `reads` are the steps that its values may look up, None for any; `check` is there when its
    output is checked here, and not inside its work."""

    def __init__(
        self,
        step: PlanStep,
        action: Action,
        *,
        when: Expression | None = None,
        reads: frozenset[str] | None = None,
        check: Working | None = None,
    ) -> None:
        self.step = step
        self.action = action
        self.when = when
        self.reads = reads
        self.check = check


class Frame:
    """One run through a list: what its steps came to so far, and what is around them."""

    def __init__(self, facts: Facts, prefix: str, names: Names) -> None:
        self.facts = facts
        self.prefix = prefix
        self.outcomes: dict[str, Outcome] = {}
        self._names = names
        self._outer: Mapping[str, Any] = names.get("steps", {})

    def names_for(self, node: Node, level: Level) -> Names:
        """What a step may look up: of other steps those that it reads and that have ended for sure."""
        own = level.before(node.step.key)
        reads = {*own, *self._outer} if node.reads is None else node.reads
        steps = {key: self._outer[key] for key in reads if key in self._outer}
        steps |= {key: self.outcomes[key].shown() for key in reads if key in own}
        return {**self._names, "steps": steps}


class Steps:
    """The compiled steps of a plan, or of a `foreach`. `limit`: how many may be under way at once."""

    def __init__(self, nodes: Sequence[Node], level: Level, *, limit: int | None = None) -> None:
        self._nodes = {node.step.key: node for node in nodes}
        self._level = level
        self._limit = limit

    async def run_all(self, ctx: RunContext, frame: Frame) -> None:
        """Runs them; their outcomes are in the frame. Raises `ProgramError` when the list fails."""
        branches = {key: self._branch(node, frame) for key, node in self._nodes.items()}
        await ctx.race(f"{frame.prefix}/steps", branches, until="all", after=self._level.after, limit=self._limit)
        fatal = [outcome for outcome in frame.outcomes.values() if outcome.fatal and outcome.error is not None]
        if fatal:
            first = min(fatal, key=lambda outcome: outcome.at)
            assert first.error is not None
            forget = (key for outcome in (first, *fatal) for key in outcome.forget)
            raise ProgramError(first.error, tuple(dict.fromkeys(forget)))

    async def run(self, ctx: RunContext, place: Place, prefix: str, names: Names) -> Any:
        """The steps of one item of a `foreach`; the output of the last that was not skipped."""
        frame = Frame(place.facts, prefix, names)
        await self.run_all(ctx, frame)
        return self.last_output(frame)

    def last_output(self, frame: Frame) -> Any:
        ended = (frame.outcomes[key] for key in reversed(self._nodes))
        return next((outcome.output for outcome in ended if outcome.status != "skipped"), None)

    def all_names(self, frame: Frame, names: Names) -> Names:
        """What the output of the list may look up."""
        return {**names, "steps": {key: outcome.shown() for key, outcome in frame.outcomes.items()}}

    def _branch(self, node: Node, frame: Frame) -> Branch:
        async def run(ctx: RunContext) -> None:
            frame.outcomes[node.step.key] = await self._outcome(ctx, node, frame)

        return run

    async def _outcome(self, ctx: RunContext, node: Node, frame: Frame) -> Outcome:
        standing = self._standing(node.step.key, frame.outcomes)
        if standing is BLOCKED:
            return BLOCKED
        place = Place(ctx, frame.facts, node.step, frame.prefix + node.step.key, frame.names_for(node, self._level))
        if standing is SKIPPED:
            return await _skipped(place)
        try:
            if not await _is_wanted(node, place):
                return await _skipped(place)
            output = await _performed(node, place)
        except ProgramError as error:
            return await _failed(node, place, error)
        return Outcome(status="completed", output=output, at=ctx.now)

    def _standing(self, key: str, outcomes: Mapping[str, Outcome]) -> Outcome | None:
        """What others make of a step before it begins: BLOCKED, SKIPPED, or None when it may run."""
        level, before = self._level, self._level.before(key)
        diverted = [(other, outcomes[other]) for other in level.diverting if other in before]
        if any(outcome.fatal or outcome is BLOCKED for _, outcome in diverted):
            return BLOCKED
        gotos = [(other, outcome.target) for other, outcome in diverted if outcome.target]
        passed = [(target, level.passed_over(other, target)) for other, target in gotos]
        if any(key in over for _, over in passed):
            return SKIPPED
        for condition, wanted in level.governing.get(key, ()):
            if any(target == key and condition in over for target, over in passed):
                continue  # a goto to this step leads past the condition
            outcome = outcomes[condition]
            if outcome.status != "completed" or outcome.output["result"] is not wanted:
                return SKIPPED
        return None


async def _is_wanted(node: Node, place: Place) -> bool:
    if node.when is None:
        return True
    return await holds(node.when, place.names, place.ctx.now, f"{place.at}/{place.facts.plan.words.when}")


async def _performed(node: Node, place: Place) -> Any:
    """The output of a step, on record."""
    output = await performed(node.action, place)
    if node.check is not None:
        try:
            await node.check.check(output)
        except ProgramError as error:
            raise ProgramError(error.problem, (place.key, *_ended_key(place))) from None
    if node.action.BY_ITSELF:
        return output
    ended = await place.ctx.record(f"{place.key}/ended", {"status": "completed", "output": place.veil.value(output)})
    return ended["output"]


async def _skipped(place: Place) -> Outcome:
    await place.ctx.record(f"{place.key}/ended", {"status": "skipped"})
    return SKIPPED


async def _failed(node: Node, place: Place, error: ProgramError) -> Outcome:
    """What becomes of an error. Raises `ProgramError` when the list fails for it at once."""
    step, forget = node.step, error.forget
    found = placed(ProgramError(place.veil.problem(error.problem)), place.at).problem
    if not (node.action.FAILS_BY_ITSELF and forget == (place.key,)):
        await place.ctx.record(f"{place.key}/ended", {"status": "failed", "error": msgspec.to_builtins(found)})
        forget = (*_ended_key(place), *forget)
    target = error.target if isinstance(error, GoToError) else step.goto
    if target is None and step.on_error == "fail":
        raise ProgramError(found, forget)
    return Outcome(
        status="failed",
        error=found,
        at=place.ctx.now,
        forget=forget,
        fatal=target is None and step.on_error == "wait",
        target=target or "",
    )


def _ended_key(place: Place) -> tuple[str, ...]:
    return (f"{place.key}/ended",)

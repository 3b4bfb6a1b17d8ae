"""What the values and conditions of a plan refer to: everything must be there, and must have ended by then."""

from collections.abc import Sequence
from typing import Any

import msgspec

from stepwell.programs.flow.check import Check, describe, hint, one_of
from stepwell.programs.plan import model as m
from stepwell.programs.plan.building import templated
from stepwell.programs.plan.conditions import inputs_named, steps_named
from stepwell.programs.plan.dependencies import Level
from stepwell.programs.plan.interpolation import Lookup, MalformedPathError, lookups
from stepwell.programs.plan.scope import RUN_NAMES

ROOTS = ("input", "inputs", "steps", "env", "run")
OF_STEPS = ("output", "status", "error")


class Visible(msgspec.Struct, frozen=True, kw_only=True):
    """What a step may look up: the steps that have ended before it, `item` and `index`."""

    steps: frozenset[str] = frozenset()
    in_item: bool = False
    own: str = ""
    """The key of the step itself."""

    def inside(self, level: Level | None, key: str, steps: Sequence[m.PlanStep]) -> "Visible":
        """For a step of a list; of a list without an order all of its steps, so that each fault is told once."""
        own = frozenset(step.key for step in steps) if level is None else level.before(key)
        return msgspec.structs.replace(self, steps=self.steps | own, own=key)

    def items(self) -> "Visible":
        """For the steps inside a `foreach`."""
        return msgspec.structs.replace(self, in_item=True)


NOTHING = Visible()


class References:
    """Checks what is referred to, over a whole plan."""

    def __init__(self, plan: m.Plan, check: Check) -> None:
        self._plan = plan
        self._words = plan.words
        self._check = check
        self._env = [variable.name for variable in plan.env]
        self._inputs = [variable.name for variable in plan.variables]
        self._inside = {
            inner.key: outer.key
            for outer in m.walk(plan.steps)
            if isinstance(outer.action, m.ForEach)
            for inner in outer.action.steps
        }
        self._keys = [step.key for step in m.walk(plan.steps)]

    def step(self, step: m.PlanStep, visible: Visible) -> None:
        config = f"{step.at}/{self._words.config}"
        for name, value in templated(step.action):
            self._value(value, f"{config}/{self._words.field(name)}", visible)
        if isinstance(step.action, m.Condition):
            self._condition(step.action.test, f"{config}/{self._words.field('test')}", visible)
        if step.when is not None:
            self._condition(step.when, f"{step.at}/{self._words.when}", visible)
        if step.compensate is not None:
            own = msgspec.structs.replace(visible, steps=visible.steps | {step.key})
            for name, value in templated(step.compensate):
                self._value(value, f"{step.at}/{self._words.compensate}/{self._words.field(name)}", own)

    def output(self, plan: m.Plan) -> None:
        if plan.output is not msgspec.UNSET:
            steps = frozenset(step.key for step in plan.steps)
            self._value(plan.output, f"/{self._words.output}", Visible(steps=steps))

    def _value(self, value: Any, at: str, visible: Visible) -> None:
        try:
            for found in lookups(value, at):
                self._lookup(found, visible)
        except MalformedPathError as error:
            self._check.fault(error.at, str(error))

    def _lookup(self, found: Lookup, visible: Visible) -> None:
        root, rest, at = found.path[0], [str(part) for part in found.path[1:]], found.at
        roots = (*ROOTS, "item", "index") if visible.in_item else ROOTS
        if root not in roots:
            self._fault(at, found.text, f"expected {one_of(roots)}, found {describe(root)}", str(root), roots)
        elif root == "steps":
            self._step_lookup(found, rest, visible)
        elif rest and root in ("input", "inputs"):
            self._input(rest[0], at, found.text)
        elif rest and root == "env" and rest[0] not in self._env:
            self._fault(at, found.text, f"expected a declared name, found {describe(rest[0])}", rest[0], self._env)
        elif rest and root == "run" and rest[0] not in RUN_NAMES:
            text = f"expected {one_of(RUN_NAMES)}, found {describe(rest[0])}"
            self._fault(at, found.text, text, rest[0], RUN_NAMES)

    def _step_lookup(self, found: Lookup, rest: list[str], visible: Visible) -> None:
        if len(rest) < 2 or rest[1] not in OF_STEPS:
            wrong = f"expected steps.<key>.output, status or error, found {found.text}"
            self._check.fault(found.at, wrong)
        if rest:
            self._step_key(rest[0], found.at, visible)

    def _step_key(self, key: str, at: str, visible: Visible) -> None:
        if key in visible.steps:
            return
        if key not in self._keys:
            self._check.fault(at, f"expected the key of a step, found {describe(key)}{hint(key, self._keys)}")
        elif key in self._inside:
            outer = self._inside[key]
            text = f"{key!r} is inside the foreach {outer!r}: what it gives is in steps.{outer}.output"
            self._check.fault(at, f"expected a step that has ended by then, found another: {text}")
        else:
            why = "the step itself" if key == visible.own else f"{key!r}: name it in {self._words.depends_on}"
            self._check.fault(at, f"expected a step that has ended by then, found {why}")

    def _input(self, name: str, at: str, text: str) -> None:
        if name not in self._inputs and not self._plan.additional_variables:
            self._fault(at, text, f"expected a declared variable, found {describe(name)}", name, self._inputs)

    def _fault(self, at: str, text: str, message: str, name: str, known: Sequence[str]) -> None:
        self._check.fault(at, f"{{{{ {text} }}}}: {message}{hint(name, known)}")

    def _condition(self, text: str, at: str, visible: Visible) -> None:
        self._check.expression(text, at)
        for key in steps_named(text):
            self._step_key(key, at, visible)
        for name in inputs_named(text):
            if name not in self._inputs and not self._plan.additional_variables:
                known = self._inputs
                self._check.fault(at, f"expected a declared variable, found {describe(name)}{hint(name, known)}")

"""Everything that can be wrong with a plan beyond the shape of its document: all faults at once."""

import re
from collections.abc import Iterator, Sequence
from graphlib import CycleError
from typing import Any, Final

from stepwell.core.approvals import MAX_TIMEOUT_S, ApprovalRequest, faults_by_field
from stepwell.programs.flow.check import Check, describe, hint
from stepwell.programs.flow.model.schemas import check_document
from stepwell.programs.flow.source import Source
from stepwell.programs.plan import model as m
from stepwell.programs.plan.declaring import check_declarations
from stepwell.programs.plan.dependencies import Level, gotos, in_list_order
from stepwell.programs.plan.referring import NOTHING, References, Visible
from stepwell.programs.plan.scope import Services

_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_METHOD: Final = re.compile(r"[A-Za-z]{1,20}")
ON_ERROR: Final = ("fail", "wait", "continue")
ON_TIMEOUT: Final = ("fail", "reject", "approve", "escalate")


class PlanCheck(Check):
    """Collects the faults of one document. jq texts read no variables: all there is, is in the value."""

    def __init__(self, source: Source, services: Services) -> None:
        super().__init__(source, functions=services.functions, expressions=services.expressions)
        self._names = frozenset()
        self.no_agents = services.no_agents


def check_plan(plan: m.Plan, check: PlanCheck) -> None:
    """Notes every fault of a plan."""
    checker = _Checker(plan, check)
    check_declarations(plan, check)
    checker.keys()
    checker.steps(plan.steps, NOTHING)
    checker.references.output(plan)


class _Checker:
    def __init__(self, plan: m.Plan, check: PlanCheck) -> None:
        self._plan = plan
        self._words = plan.words
        self._check = check
        self.references = References(plan, check)

    def keys(self) -> None:
        """Keys are unique in a plan, also those inside a `foreach`."""
        steps = list(m.walk(self._plan.steps))
        if len(steps) > m.MAX_STEPS:
            self._check.fault(steps[m.MAX_STEPS].at, f"expected at most {m.MAX_STEPS} steps, found {len(steps)}")
        seen: dict[str, str] = {}
        for step in steps:
            if not _KEY.fullmatch(step.key):
                text = f"expected letters, digits, _ and -, found {describe(step.key)}"
                self._check.fault(f"{step.at}/{self._words.key}", text)
            elif step.key in seen:
                self._check.fault(
                    f"{step.at}/{self._words.key}", f"expected a key of its own, found that of {seen[step.key]}"
                )
            seen.setdefault(step.key, step.at)

    def steps(self, steps: Sequence[m.PlanStep], outer: Visible) -> None:
        """One list: its order, then each step. `outer` is what the steps around it let it see."""
        sound = [self._order_of(step, steps) for step in steps]
        level = self._level(steps) if all(sound) and len({step.key for step in steps}) == len(steps) else None
        for step in steps:
            visible = outer.inside(level, step.key, steps)
            self._step(step, level)
            self.references.step(step, visible)
            if isinstance(step.action, m.ForEach):
                self.steps(step.action.steps, visible.items())

    # --- order ------------------------------------------------------------------------------------------------------

    def _order_of(self, step: m.PlanStep, steps: Sequence[m.PlanStep]) -> bool:
        """Whether all the steps that one waits for, or chooses, are in its list."""
        found = [
            self._names_step(name, f"{step.at}/{self._words.depends_on}/{place}", step, steps)
            for place, name in enumerate(step.depends_on or ())
        ]
        if isinstance(step.action, m.Condition):
            config = f"{step.at}/{self._words.config}"
            for field, names in (("then", step.action.then), ("otherwise", step.action.otherwise)):
                at = f"{config}/{self._words.field(field)}"
                found += [self._names_step(name, f"{at}/{place}", step, steps) for place, name in enumerate(names)]
                found.append(self._lies_behind(step, names, steps, at))
            both = sorted({*step.action.then} & {*step.action.otherwise})
            if both:
                self._check.fault(config, f"expected each step in one list, found {describe(both[0])} in both")
        return all(found)

    def _lies_behind(self, step: m.PlanStep, names: Sequence[str], steps: Sequence[m.PlanStep], at: str) -> bool:
        """In the order of the list a condition chooses among the steps behind it."""
        if not in_list_order(steps):
            return True  # they wait for the condition, so a circle shows
        places = {one.key: place for place, one in enumerate(steps)}
        early = [name for name in names if places.get(name, len(steps)) < places[step.key]]
        if early:
            self._check.fault(
                at, f"expected steps behind {step.key!r}, found {describe(early[0])}, which is before it"
            )
        return not early

    def _names_step(self, name: str, at: str, step: m.PlanStep, steps: Sequence[m.PlanStep]) -> bool:
        known = [one.key for one in steps if one is not step]
        if name in known:
            return True
        found = "itself" if name == step.key else describe(name)
        self._check.fault(at, f"expected the key of another step, found {found}{hint(name, known)}")
        return False

    def _level(self, steps: Sequence[m.PlanStep]) -> Level | None:
        try:
            return Level(steps)
        except CycleError as fault:
            circle: list[str] = fault.args[1]
            first = next(step for step in steps if step.key in circle)
            text = f"the steps wait for each other in a circle: {' -> '.join(circle)}"
            self._check.fault(f"{first.at}/{self._words.depends_on}", text)
            return None

    def _goto(self, target: str, step: m.PlanStep, at: str, level: Level | None) -> None:
        """Only forward: to a step that waits for this one."""
        if level is None:
            return
        known = [key for key in level.steps if key != step.key]
        if target not in known:
            found = "itself" if target == step.key else describe(target)
            self._check.fault(at, f"expected goto: and the key of a step, found {found}{hint(target, known)}")
        elif step.key not in level.before(target):
            text = f"expected a step that waits for {step.key!r}, found {describe(target)}: a goto leads forward only"
            self._check.fault(at, text)

    # --- a step -----------------------------------------------------------------------------------------------------

    def _step(self, step: m.PlanStep, level: Level | None) -> None:
        at, config = f"{step.at}/{self._words.on_error}", f"{step.at}/{self._words.config}"
        if step.goto is not None:
            self._goto(step.goto, step, at, level)
        elif step.on_error not in ON_ERROR:
            self._check.fault(at, f"expected {', '.join(ON_ERROR)} or goto:<key>, found {describe(step.on_error)}")
        if step.output_schema is not None:
            check_document(step.output_schema, f"{step.at}/{self._words.output_schema}", self._check)
        if step.compensate is not None:
            self._task(step.compensate, f"{step.at}/{self._words.compensate}")
        self._action(step, config, level)

    def _action(self, step: m.PlanStep, config: str, level: Level | None) -> None:
        match step.action:
            case m.HttpTask() | m.FunctionTask() as task:
                self._task(task, config)
            case m.Wait() as wait:
                self._wait(wait, config)
            case m.Approval() as approval:
                self._approval(approval, step, config, level)
            case m.Callback() as callback:
                self._positive(callback.timeout_s, f"{config}/{self._words.field('timeout_s')}")
            case m.ForEach(steps=()):
                self._check.fault(f"{config}/steps", "expected at least one step, found none")
            case m.Agent() as agent:
                self._agent(agent, config)

    def _task(self, task: m.Task, at: str) -> None:
        if isinstance(task, m.FunctionTask):
            self._function(task.function, f"{at}/function")
        elif isinstance(task.method, str) and "{{" not in task.method and not _METHOD.fullmatch(task.method):
            self._check.fault(f"{at}/method", f"expected the name of a method, found {describe(task.method)}")

    def _function(self, name: str, at: str) -> None:
        known = self._check.functions.names() if self._check.functions is not None else ()
        if name not in known:
            text = f"expected the name of a registered function, found {describe(name)}{hint(name, known)}"
            self._check.fault(at, text)

    def _wait(self, wait: m.Wait, config: str) -> None:
        given = [name for name in ("seconds", "until") if getattr(wait, name) is not None]
        if len(given) != 1:
            self._check.fault(config, f"expected one of 'seconds' and 'until', found {len(given) or 'none'}")
        seconds = wait.seconds
        if isinstance(seconds, int | float) and not 0 <= seconds <= MAX_TIMEOUT_S:
            self._check.fault(f"{config}/seconds", f"expected 0 to 100 years, found {describe(seconds)}")

    def _positive(self, value: Any, at: str) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value <= MAX_TIMEOUT_S:
            self._check.fault(at, f"expected a number of seconds above 0, found {describe(value)}")

    def _approval(self, approval: m.Approval, step: m.PlanStep, config: str, level: Level | None) -> None:
        at = f"{config}/on_timeout"
        targets = [target for target in gotos(step) if approval.on_timeout == f"goto:{target}"]
        if targets:
            self._goto(targets[0], step, at, level)
        elif approval.on_timeout not in ON_TIMEOUT:
            text = f"expected {', '.join(ON_TIMEOUT)} or goto:<key>, found {describe(approval.on_timeout)}"
            self._check.fault(at, text)
            return
        if approval.schema is not None:
            check_document(approval.schema, f"{config}/schema", self._check)
        for field, message in faults_by_field(_as_request(approval, step, targets)).items():
            self._check.fault(f"{config}/{self._words.field(field)}", message)

    def _agent(self, agent: m.Agent, config: str) -> None:
        if self._check.no_agents:
            self._check.fault(config, self._check.no_agents)
        for place, name in enumerate(agent.tools):
            self._function(name, f"{config}/tools/{place}")
        if not 1 <= agent.max_turns <= 1000:
            self._check.fault(f"{config}/max_turns", f"expected 1 to 1000, found {agent.max_turns}")
        if agent.output_schema is not None:
            check_document(agent.output_schema, f"{config}/output_schema", self._check)


def _as_request(approval: m.Approval, step: m.PlanStep, targets: list[str]) -> ApprovalRequest:
    """What of a request is known before it is made; who is looked up could be anybody."""
    timeout_s = step.timeout_s if approval.timeout_s is None else approval.timeout_s
    known = timeout_s is None or (isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool))
    on_timeout: Any = "goto" if targets else approval.on_timeout
    return ApprovalRequest(
        approvers=tuple(_anybody(approval.approvers)),
        required=approval.required,
        timeout_s=timeout_s if known else 1.0,
        on_timeout=on_timeout,
        goto=targets[0] if targets else "",
        escalate_to=tuple(_anybody(approval.escalate_to)),
    )


def _anybody(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"role:{name}" if "{{" in name else name

"""From a checked plan to what runs: every step with its action, its condition and what it reads."""

from collections.abc import Iterator
from typing import Any

from stepwell.programs.flow.expressions import Expression, Expressions, parse, remote
from stepwell.programs.flow.expressions.expression import NOW
from stepwell.programs.flow.expressions.parser import BeyondPythonError
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.plan import model as m
from stepwell.programs.plan.actions.agent import AgentAction
from stepwell.programs.plan.actions.approval import ApprovalAction
from stepwell.programs.plan.actions.callback import CallbackAction
from stepwell.programs.plan.actions.condition import ConditionAction
from stepwell.programs.plan.actions.foreach import ForEachAction
from stepwell.programs.plan.actions.function import FunctionAction
from stepwell.programs.plan.actions.http import HttpAction
from stepwell.programs.plan.actions.port import Action
from stepwell.programs.plan.actions.subworkflow import SubWorkflowAction
from stepwell.programs.plan.actions.waiting import WaitAction
from stepwell.programs.plan.actions.working import Working
from stepwell.programs.plan.conditions import steps_read
from stepwell.programs.plan.dependencies import Level
from stepwell.programs.plan.interpolation import lookups
from stepwell.programs.plan.running import Node, Steps
from stepwell.programs.plan.scope import Services

Reads = frozenset[str] | None
_NO_OUTPUT_CHECK = Working(None, "")


class Builder:
    """Builds one plan."""

    def __init__(self, plan: m.Plan, services: Services) -> None:
        self._plan = plan
        self._words = plan.words
        self._expressions: Expressions | None = services.expressions

    def steps(self) -> Steps:
        """The steps of the plan itself."""
        return self._list(self._plan.steps, limit=self._plan.max_parallel)

    def task(self, task: m.Task) -> Action:
        """A task by itself, without checks of its output."""
        return (
            HttpAction(task, _NO_OUTPUT_CHECK)
            if isinstance(task, m.HttpTask)
            else FunctionAction(task, _NO_OUTPUT_CHECK)
        )

    def _list(self, steps: tuple[m.PlanStep, ...], *, limit: int | None = None) -> Steps:
        return Steps([self._node(step) for step in steps], Level(steps), limit=limit)

    def _node(self, step: m.PlanStep) -> Node:
        check = self._check(step)
        is_task = isinstance(step.action, m.HttpTask | m.FunctionTask)
        return Node(
            step,
            self._action(step, check),
            when=None if step.when is None else self._expression(step.when),
            reads=reads_of(step),
            check=None if is_task or step.output_schema is None else check,
        )

    def _check(self, step: m.PlanStep) -> Working:
        if step.output_schema is None:
            return _NO_OUTPUT_CHECK
        at = f"{step.at}/{self._words.output_schema}"
        return Working(DataCheck(step.output_schema, "output", self._expressions), at)

    def _action(self, step: m.PlanStep, check: Working) -> Action:
        match step.action:
            case m.HttpTask():
                return HttpAction(step.action, check)
            case m.FunctionTask():
                return FunctionAction(step.action, check)
            case m.Wait():
                return WaitAction(step.action)
            case m.Approval():
                return ApprovalAction(step.action)
            case m.Callback():
                return CallbackAction(step.action)
            case m.Condition():
                return ConditionAction(self._expression(step.action.test))
            case m.ForEach():
                return ForEachAction(step.action, self._list(_inheriting(step, step.action.steps)))
            case m.SubWorkflow():
                return SubWorkflowAction(step.action)
            case m.Agent():
                return AgentAction(step.action, self._answer_check(step.action))

    def _answer_check(self, agent: m.Agent) -> DataCheck | None:
        return None if agent.output_schema is None else DataCheck(agent.output_schema, "answer", self._expressions)

    def _expression(self, text: str) -> Expression:
        try:
            return parse(text)
        except BeyondPythonError:
            assert self._expressions is not None, "a checked plan asks for a full jq only where there is one"
            names = frozenset({NOW}) if "now" in text else frozenset()
            return remote(text, names, self._expressions)


def _inheriting(step: m.PlanStep, steps: tuple[m.PlanStep, ...]) -> tuple[m.PlanStep, ...]:
    """The steps of a `foreach` are tried again as it says, unless they say so themselves."""
    return tuple(m.with_retry(inner, step) if inner.retry is None else inner for inner in steps)


def reads_of(step: m.PlanStep) -> Reads:
    """The steps whose outcome a step may look up; None when it could be any."""
    found: set[str] = set()
    for reads in _all_reads(step):
        if reads is None:
            return None
        found |= reads
    return frozenset(found)


def _all_reads(step: m.PlanStep) -> Iterator[Reads]:
    for _, value in templated(step.action):
        yield frozenset(
            str(one.path[1]) for one in lookups(value, "") if one.path[0] == "steps" and len(one.path) > 1
        )
    if step.when is not None:
        yield steps_read(step.when)
    if isinstance(step.action, m.Condition):
        yield steps_read(step.action.test)
    if isinstance(step.action, m.ForEach):
        for inner in step.action.steps:
            yield reads_of(inner)


def templated(action: m.Action) -> Iterator[tuple[str, Any]]:
    """The values of an action that may hold `{{ path }}`, by their names; those of steps inside it are not among
    them."""
    plain = ("steps", "test", "schema", "output_schema", "on_timeout", "workflow", "function", "tools")
    for name in action.__struct_fields__:
        if name not in plain:
            yield name, getattr(action, name)

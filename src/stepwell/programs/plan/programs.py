"""Plans as programs: compiles the stored text of a document of steps and runs it against the verbs of a run."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.core.errors import ERROR_BASE, Problem, ProgramError
from stepwell.core.program import Compiled, RunContext
from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.json_text import read_json
from stepwell.programs.flow.source import MAX_CHARACTERS, Source
from stepwell.programs.plan.building import Builder
from stepwell.programs.plan.checking import PlanCheck, check_plan
from stepwell.programs.plan.compensation import DOCUMENT, Compensation
from stepwell.programs.plan.hiding import RunVeil, UndoingVeil
from stepwell.programs.plan.inputs import Faults, check_input, input_schema, risky_patterns, unmatched
from stepwell.programs.plan.interpolation import fill
from stepwell.programs.plan.model import ENV_INPUT, Plan, walk
from stepwell.programs.plan.outline import outline_of
from stepwell.programs.plan.running import Frame, Steps
from stepwell.programs.plan.scope import NO_SERVICES, Facts, Services

ReadDocument = Callable[[Any, PlanCheck], Any]
"""From a document's JSON value to its `Plan`; notes every fault, and then returns something else."""


class PlanPrograms:
    """`Programs` of one kind of document: `read` knows its form, `services` are what its steps may use."""

    def __init__(self, kind: str, read: ReadDocument, services: Services = NO_SERVICES) -> None:
        self.kind = kind
        self._read = read
        self._services = services

    def plan(self, document: str) -> Plan:
        """The plan that a document stands for. Raises `InvalidDefinitionError` with all its faults."""
        return self._plan(_source(document))

    def compile(self, document: str) -> Compiled:
        """The program of a document's text. Raises `InvalidDefinitionError` with all its faults."""
        source = _source(document)
        if isinstance(source.value, dict) and set(source.value) == {DOCUMENT}:
            return self._compensation(self._plan(Source(source.value[DOCUMENT], {})))
        return self._compiled(self._plan(source), source.value)

    async def check_input(self, plan: Plan, input: Any) -> Faults:
        """Every fault of a run's input, by variable; empty when a run may start with it."""
        return await _all_faults(plan, input, self._services)

    def _plan(self, source: Source) -> Plan:
        check = PlanCheck(source, self._services)
        plan = self._read(source.value, check)
        if isinstance(plan, Plan):
            check_plan(plan, check)
        if check.faults:
            raise InvalidDefinitionError(check.faults)
        assert isinstance(plan, Plan), "a document without faults is a plan"
        return plan

    def _compiled(self, plan: Plan, document: Any) -> Compiled:
        undoable = any(step.compensate is not None for step in walk(plan.steps))
        return Compiled(
            program=PlanProgram(plan, self._services).run,
            title=plan.name,
            input_schema=input_schema(plan),
            outline=outline_of(plan.steps, self._services),
            check_input=partial(self.check_input, plan),
            secret_inputs=plan.secret_inputs,
            hiding=partial(RunVeil, plan) if _has_secrets(plan) else None,
            timeout_s=plan.timeout_s,
            compensation=msgspec.json.encode({DOCUMENT: document}).decode() if undoable else None,
            undo_on_failure=undoable and "failure" in plan.compensate_on,
        )

    def _compensation(self, plan: Plan) -> Compiled:
        program = Compensation(plan, self._services).run
        hiding = partial(UndoingVeil, plan) if _has_secrets(plan) else None
        return Compiled(program=program, title=f"Undo {plan.name}", hiding=hiding)


class PlanProgram:
    """One compiled plan, for all its runs."""

    def __init__(self, plan: Plan, services: Services) -> None:
        self._plan = plan
        self._services = services
        self._steps: Steps = Builder(plan, services).steps()

    async def run(self, ctx: RunContext, input: Any) -> Any:
        """The program of a run. Raises `ProgramError`."""
        await self._take_in(input)
        facts = Facts(self._plan, self._services, ctx.run, input)
        names = facts.names()
        frame = Frame(facts, "", names)
        await self._steps.run_all(ctx, frame)
        if self._plan.output is msgspec.UNSET:
            return self._steps.last_output(frame)
        at = f"/{self._plan.words.output}"
        return facts.veil.value(fill(self._plan.output, self._steps.all_names(frame, names), at))

    async def _take_in(self, input: Any) -> None:
        """Whoever starts a run checks its input first; what comes another way is checked here."""
        own = (
            {name: value for name, value in input.items() if name != ENV_INPUT} if isinstance(input, dict) else input
        )
        faults = await _all_faults(self._plan, own, self._services)
        if faults:
            words = "; ".join(f"{name}: {fault}" if name else fault for name, all in faults.items() for fault in all)
            raise ProgramError(
                Problem(
                    type=f"{ERROR_BASE}validation",
                    title="Invalid input",
                    status=400,
                    detail=f"the input is not what is declared: {words}",
                    data=faults,
                    retryable=False,
                )
            )


async def _all_faults(plan: Plan, input: Any, services: Services) -> Faults:
    """As `check_input`, with the patterns that are tried in a worker."""
    faults = check_input(plan, input)
    for variable, text in risky_patterns(plan, input):
        if variable.name not in faults and not await _matches(variable.pattern, text, services.expressions):
            faults[variable.name] = [unmatched(variable, text)]
    return faults


async def _matches(pattern: str | None, text: str, expressions: jq.Expressions | None) -> bool:
    assert expressions is not None, "a checked plan has such patterns only where there is a full jq"
    try:
        return bool(
            await expressions.evaluate(". as [$pattern, $text] | $text | test($pattern)", [pattern, text], {})
        )
    except jq.ExpressionError:
        return False  # it took too long


def _has_secrets(plan: Plan) -> bool:
    return bool(plan.secret_inputs or plan.env)


def _source(document: str) -> Source:
    """Raises `InvalidDefinitionError`."""
    if len(document) > MAX_CHARACTERS:
        text = f"expected at most {MAX_CHARACTERS} characters, found {len(document)}"
        raise InvalidDefinitionError([Fault(pointer="", line=1, message=text)])
    return read_json(document)

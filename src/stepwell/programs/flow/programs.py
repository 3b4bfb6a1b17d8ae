"""Flows as programs: compiles the stored text of a definition and runs it against the verbs of a run."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from stepwell.core.program import Compiled, RunContext
from stepwell.programs.agents.port import AgentRunner
from stepwell.programs.callbacks import CallbackTokens
from stepwell.programs.flow import shapes
from stepwell.programs.flow.checking import Definition, check_definition
from stepwell.programs.flow.compiling import Compiler
from stepwell.programs.flow.expressions import Expression, Expressions
from stepwell.programs.flow.nodes.durations import Length
from stepwell.programs.flow.nodes.scope import Ended, Facts, Scope, Strand, evaluate
from stepwell.programs.flow.nodes.secret_values import SecretValues
from stepwell.programs.flow.nodes.sequence import Sequence
from stepwell.programs.flow.nodes.strands import within
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.flow.outside import Outside
from stepwell.programs.flow.starting import listens_of, timing_of, trigger_of
from stepwell.programs.function_port import RegisteredFunctions
from stepwell.programs.http import HttpClient
from stepwell.programs.processes import Processes
from stepwell.programs.secrets import Secrets


class FlowPrograms:
    """`Programs` of the kind `flow`. What a flow needs from outside is handed in:

    `functions` by the names that `call` uses, `http` for `call: http` and `call: openapi`, `expressions` for all of
    jq that is not evaluated in Python, `secrets` for `$secrets` and authentication, `processes` for `run: shell` and
    `run: script` (without them these are refused), `callbacks` for the tokens of `call: callback`, `agents`
    for `call: agent`.
    """

    kind = "flow"

    def __init__(
        self,
        *,
        functions: RegisteredFunctions | None = None,
        http: HttpClient | None = None,
        expressions: Expressions | None = None,
        secrets: Secrets | None = None,
        processes: Processes | None = None,
        callbacks: CallbackTokens | None = None,
        agents: AgentRunner | None = None,
    ) -> None:
        self._secrets = secrets
        self._functions = functions
        self._http = http
        self._expressions = expressions
        self._outside = Outside(processes=processes, callbacks=callbacks, agents=agents)

    def check(self, document: str) -> Definition:
        """The typed model of a definition. Raises `InvalidDefinitionError` with all its faults."""
        return check_definition(
            document,
            functions=self._functions,
            expressions=self._expressions,
            processes=self._outside.processes is not None,
        )

    def compile(self, document: str) -> Compiled:
        """The program of a definition's text. Raises `InvalidDefinitionError` with all its faults."""
        definition = self.check(document)
        compiler = Compiler(definition, functions=self._functions, http=self._http, outside=self._outside)
        program = _Flow(compiler.sequence(definition.workflow.do), self._frame(definition)).run
        workflow = definition.workflow
        schema = workflow.input.schema if workflow.input else None
        return Compiled(
            program=program,
            namespace=workflow.document.namespace,
            listens=listens_of(workflow),
            timing=timing_of(workflow),
            trigger=trigger_of(definition),
            input_schema=schema.document if schema else None,
        )

    def _frame(self, definition: Definition) -> "_Frame":
        workflow = definition.workflow
        source, result = workflow.input, workflow.output
        input_schema, output_schema = (part.schema if part else None for part in (source, result))
        secrets = workflow.use.secrets if workflow.use else ()
        return _Frame(
            definition=definition.source.value,
            input_schema=shapes.data_check(input_schema, "input of the workflow", definition),
            input_from=source.from_ if source else None,
            output_as=result.as_ if result else None,
            output_schema=shapes.data_check(output_schema, "output of the workflow", definition),
            timeout=shapes.length_of(workflow.timeout, definition),
            reads_runtime="runtime" in set(shapes.names_read(workflow, deep=True)),
            secrets=SecretValues(secrets, self._secrets),
        )


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds the tasks of a workflow, compiled."""

    definition: Any
    input_schema: DataCheck | None
    input_from: Expression | None
    output_as: Expression | None
    output_schema: DataCheck | None
    timeout: Length | None
    reads_runtime: bool
    secrets: Any  # SecretValues


class _Flow:
    """One compiled definition, for all its runs."""

    def __init__(self, body: Sequence, frame: _Frame) -> None:
        self._body = body
        self._frame = frame

    async def run(self, ctx: RunContext, input: Any) -> Any:
        frame = self._frame
        scope = Scope(
            Strand(ctx, Facts(frame.definition, input, frame.secrets), None),
            "/do",
            {"task": None, "authorization": None},
        )
        if frame.reads_runtime:
            # A fact of this run: after an upgrade the version would be another one.
            scope.strand.facts.runtime = await ctx.record("/runtime", _runtime())
        value = await self._taken_in(scope, input)
        # The standard ("Data Flow"): the transformed input is also what `$context` starts with.
        scope.strand.context = value
        if frame.timeout is None:
            output = await self._run_body(scope, value)
        else:
            seconds = await frame.timeout.seconds(scope, value)
            output = await within(scope, "", seconds, lambda inner: self._run_body(inner, value), "/timeout")
        return await self._given_out(scope, output)

    async def _taken_in(self, scope: Scope, value: Any) -> Any:
        frame = self._frame
        if frame.input_schema is not None:
            await frame.input_schema.check(value, "/input/schema")
        if frame.input_from is None:
            return value
        return await evaluate(frame.input_from, value, scope.variables(frame.input_from, value), "/input/from")

    async def _run_body(self, scope: Scope, value: Any) -> Any:
        try:
            return await self._body.run(scope, value)
        except Ended as ended:
            return ended.output

    async def _given_out(self, scope: Scope, output: Any) -> Any:
        frame = self._frame
        if frame.output_as is not None:
            output = await evaluate(frame.output_as, output, scope.variables(frame.output_as, output), "/output/as")
        if frame.output_schema is not None:
            await frame.output_schema.check(output, "/output/schema")
        return output


def _runtime() -> dict[str, Any]:
    """The standard's runtime descriptor."""
    try:
        return {"name": "stepwell", "version": version("stepwell"), "metadata": {}}
    except PackageNotFoundError:
        return {"name": "stepwell", "version": "0", "metadata": {}}

"""`run: shell` and `run: script`: a local process as one step, where the server allows it."""

from typing import Any, Literal, assert_never

import msgspec

from stepwell.core.errors import ProgramError, StepFailure, problem
from stepwell.core.program import StepContext
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.failures import placed
from stepwell.programs.flow.nodes.http_messages import scalar_text
from stepwell.programs.flow.nodes.scope import Scope, evaluate, failure
from stepwell.programs.processes import Language, ProcessError, Processes, ProcessRequest, ProcessResult

Return = Literal["stdout", "stderr", "code", "all", "none"]

MAX_ERROR_TEXT = 2_000


class ProcessCall(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled `shell` or `script`; `at` is its pointer."""

    at: str
    language: Language
    code: Expression
    arguments: tuple[Expression, ...]
    environment: Expression | None
    stdin: Expression | None
    wait: bool
    returns: Return


class RunProcessNode:
    """A process that ends with a code other than 0 is an error, unless the author asks for code or stderr."""

    def __init__(self, call: ProcessCall, processes: Processes, *, name: str, at: str) -> None:
        self._call = call
        self._processes = processes
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        request = await self._request(scope, value)
        processes, call = self._processes, self._call

        async def work(_step: StepContext) -> Any:
            try:
                if call.wait:
                    return self._output(await processes.run(request))
                return await processes.launch(request)
            except ProcessError as error:
                kind, status = ("timeout", 408) if error.timed_out else ("runtime", 500)
                raise StepFailure(problem(kind, error.detail, status=status, retryable=False)) from None

        try:
            output = await scope.strand.ctx.step(key, work, name=self._name)
        except ProgramError as error:
            raise placed(error, self._at) from None
        return output if call.wait else value

    async def _request(self, scope: Scope, value: Any) -> ProcessRequest:
        call = self._call

        async def text_of(part: Expression, name: str) -> str:
            found = await evaluate(part, value, scope.variables(part, value), f"{call.at}/{name}")
            return found if isinstance(found, str) else msgspec.json.encode(found).decode()

        arguments = [await text_of(part, f"arguments/{place}") for place, part in enumerate(call.arguments)]
        stdin = await text_of(call.stdin, "stdin") if call.stdin is not None else ""
        return ProcessRequest(
            language=call.language,
            code=await text_of(call.code, "command"),
            stdin=stdin.encode(),
            arguments=tuple(arguments),
            environment=await self._environment(scope, value),
        )

    async def _environment(self, scope: Scope, value: Any) -> dict[str, str]:
        given, at = self._call.environment, f"{self._call.at}/environment"
        if given is None:
            return {}
        found = await evaluate(given, value, scope.variables(given, value), at)
        if not isinstance(found, dict):
            raise failure("expression", f"expected an object of variables, found {describe(found)}", at, status=400)
        for name, item in found.items():
            if isinstance(item, dict | list):
                raise failure(
                    "expression", f"expected text for the variable {name!r}, found {describe(item)}", at, status=400
                )
        return {name: scalar_text(item) for name, item in found.items() if item is not None}

    def _output(self, result: ProcessResult) -> Any:
        returns = self._call.returns
        if result.code and returns in ("stdout", "none"):
            said = {
                "code": result.code,
                "stdout": result.stdout[-MAX_ERROR_TEXT:],
                "stderr": result.stderr[-MAX_ERROR_TEXT:],
            }
            detail = f"the process ended with the code {result.code}: {result.stderr.strip()[-500:]}"
            raise StepFailure(problem("runtime", detail, data=said))
        match returns:
            case "stdout" | "stderr" | "code":
                return getattr(result, returns)
            case "all":
                return msgspec.to_builtins(result)
            case "none":
                return None
        assert_never(returns)

"""A conversation with a language model, inside a run: each answer is a step, each call of a tool another one.

Keys: `<key>/turn@2` is the second answer, `<key>/turn@2/tool@0` the first tool that it called. A tool that fails for
good tells the model so: it may try something else.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from stepwell.core.errors import ERROR_BASE, Problem, ProgramError, code_of
from stepwell.core.program import Branch, RunContext, StepContext, Work
from stepwell.core.retry import NO_RETRY, RetryPolicy
from stepwell.programs.agents.port import AgentRequest, AgentRunner, AgentTurn, Message, ToolCall
from stepwell.programs.function_port import RegisteredFunction

Veil = Callable[[Any], Any]
"""A JSON value without secrets."""


def _as_it_is(given: Any) -> Any:
    return given


class Conversation:
    """`tools` are the functions on offer; `check` judges the JSON value that the last text must then be, and raises
    `ProgramError`. The steps are named `name` and tried again by `retry`; `around` goes around the work of each, and
    what they are kept with passes `veil`.
    """

    def __init__(
        self,
        runner: AgentRunner,
        *,
        tools: Mapping[str, RegisteredFunction],
        max_turns: int,
        check: Callable[[Any], Awaitable[None]] | None = None,
        name: str = "",
        retry: RetryPolicy = NO_RETRY,
        heartbeat_timeout_s: float | None = None,
        around: Callable[[Work], Work] = _as_it_is,
        veil: Veil = _as_it_is,
    ) -> None:
        self._runner = runner
        self._tools = tools
        self._max_turns = max_turns
        self._check = check
        self._name = name
        self._retry = retry
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._around = around
        self._veil = veil

    async def hold(self, ctx: RunContext, key: str, request: AgentRequest) -> Any:
        """Ask and call tools until the model has no more to call. Returns its last text, or with `check` the JSON
        value that this is. Raises `ProgramError` that names what a retry of the run must forget.
        """
        used: list[str] = []
        for number in range(1, self._max_turns + 1):
            turn_key = f"{key}/turn@{number}"
            used.append(turn_key)
            turn = await self._turn(ctx, turn_key, request)
            if not turn.tool_calls:
                return await self._output(turn.text, used)
            answers = await self._call_tools(ctx, turn_key, turn.tool_calls, used)
            said = Message(role="assistant", content=turn.text, tool_calls=turn.tool_calls)
            request = msgspec.structs.replace(request, messages=(*request.messages, said, *answers))
        text = f"expected an end within {self._max_turns} turns, found another call of a tool"
        raise ProgramError(_problem("agent_max_turns", text), tuple(used))

    async def _turn(self, ctx: RunContext, key: str, request: AgentRequest) -> AgentTurn:
        async def work(step: StepContext) -> Any:
            return msgspec.to_builtins(await self._runner.turn(request, step))

        answered = await ctx.step(
            key,
            self._around(work),
            name=self._name,
            retry=self._retry,
            heartbeat_timeout_s=self._heartbeat_timeout_s,
            input=self._veil(_news(request)),
        )
        return msgspec.convert(answered, AgentTurn)

    async def _call_tools(
        self, ctx: RunContext, key: str, calls: tuple[ToolCall, ...], used: list[str]
    ) -> list[Message]:
        """The tools of one turn, at once."""
        branches = {str(number): self._tool(f"{key}/tool@{number}", call) for number, call in enumerate(calls)}
        used += [f"{key}/tool@{number}" for number in branches]
        texts = cast(list[str], await ctx.race(f"{key}/tools", branches, until="all"))
        return [
            Message(role="tool", content=text, tool_call_id=call.id) for call, text in zip(calls, texts, strict=True)
        ]

    def _tool(self, key: str, call: ToolCall) -> Branch:
        async def run(ctx: RunContext) -> str:
            function = self._tools.get(call.name)
            if function is None:
                return _told(f"there is no tool {call.name!r}")
            if not isinstance(call.arguments, dict | None):
                return _told(f"expected an object of arguments, found {_found(call.arguments)}")
            try:
                result = await ctx.step(
                    key,
                    self._around(function.work(call.arguments or {})),
                    name=call.name,
                    retry=function.retry,
                    timeout_s=function.timeout_s,
                    heartbeat_timeout_s=function.heartbeat_timeout_s,
                    input=self._veil(call.arguments),
                )
            except ProgramError as error:
                return _told(_error_value(error.problem))
            return result if isinstance(result, str) else msgspec.json.encode(result).decode()

        return run

    async def _output(self, text: str, used: list[str]) -> Any:
        """What is of another form than it should be is asked for anew by a retry."""
        if self._check is None:
            return text
        try:
            value = msgspec.json.decode(text)
            await self._check(value)
        except msgspec.DecodeError:
            found = _problem("invalid_output", f"expected JSON of the schema, found {_found(text)}")
            raise ProgramError(found, tuple(used)) from None
        except ProgramError as error:
            found = _problem("invalid_output", error.problem.detail, data=error.problem.data)
            raise ProgramError(found, tuple(used)) from None
        return value


def _problem(code: str, detail: str, *, data: Any = None) -> Problem:
    """A failure after which trying the same step again cannot help."""
    title = f"{code.replace('_', ' ').capitalize()} error"
    return Problem(type=ERROR_BASE + code, title=title, status=500, detail=detail, data=data, retryable=False)


def _error_value(error: Problem) -> dict[str, Any]:
    """The failure of a tool as the model is told of it."""
    message = error.detail or error.title
    return {"code": code_of(error), "message": message, "status": error.status, "data": error.data}


def _told(error: Any) -> str:
    return msgspec.json.encode({"error": error}).decode()


def _found(value: Any) -> str:
    """The beginning of what a model wrote."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _news(request: AgentRequest) -> Any:
    """The messages since the turn before: all of them are in the inputs of all turns."""
    last = max((n for n, one in enumerate(request.messages) if one.role == "assistant"), default=-1)
    fresh = msgspec.to_builtins(request.messages[last + 1 :])
    return {"model": request.model, "messages": fresh} if request.model else {"messages": fresh}

"""`agent`: a conversation with a language model. Each answer is a step of the run, each call of a tool another one.

Keys: `<key>/turn@2` is the second answer, `<key>/turn@2/tool@0` the first tool that it called. A tool that fails for
good tells the model so: it may try something else.
"""

from typing import Any, cast

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.core.program import Branch, RunContext, StepContext
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.plan.actions.port import policy_of, problem
from stepwell.programs.plan.actions.working import Working
from stepwell.programs.plan.agents_port import AgentRequest, AgentTurn, Message, Tool, ToolCall
from stepwell.programs.plan.interpolation import as_text
from stepwell.programs.plan.model import Agent
from stepwell.programs.plan.scope import Place, error_value
from stepwell.programs.plan.tools import tool_of


class AgentAction:
    """`check` is the compiled schema of the last text."""

    BY_ITSELF = FAILS_BY_ITSELF = KEEPS_TIME = False
    REPEATS = True

    def __init__(self, agent: Agent, check: DataCheck | None) -> None:
        self._agent = agent
        self._check = check
        self._working = Working(None, "")

    async def perform(self, place: Place) -> Any:
        request = AgentRequest(
            messages=self._opening(place),
            model=as_text(place.filled(self._agent.model, "model")),
            tools=self._tools(place),
            output_schema=self._agent.output_schema,
        )
        used: list[str] = []
        for number in range(1, self._agent.max_turns + 1):
            key = f"{place.key}/turn@{number}"
            used.append(key)
            turn = await self._turn(place, key, request)
            if not turn.tool_calls:
                return await self._output(turn, place, used)
            answers = await self._call_tools(place, key, turn.tool_calls, used)
            said = Message(role="assistant", content=turn.text, tool_calls=turn.tool_calls)
            request = msgspec.structs.replace(request, messages=(*request.messages, said, *answers))
        text = f"expected an end within {self._agent.max_turns} turns, found another call of a tool"
        raise ProgramError(problem("agent_max_turns", text, retryable=False), tuple(used))

    def _opening(self, place: Place) -> tuple[Message, ...]:
        system = as_text(place.filled(self._agent.system, "system"))
        prompt = as_text(place.filled(self._agent.prompt, "prompt"))
        asked = Message(role="user", content=prompt)
        return (Message(role="system", content=system), asked) if system else (asked,)

    def _tools(self, place: Place) -> tuple[Tool, ...]:
        functions = {name: place.facts.services.find(name) for name in self._agent.tools}
        missing = [name for name, function in functions.items() if function is None]
        if missing:
            text = f"there is no function {missing[0]!r}"
            raise failure("configuration", text, place.pointer("tools"), status=400)
        return tuple(tool_of(function) for function in functions.values() if function is not None)

    async def _turn(self, place: Place, key: str, request: AgentRequest) -> AgentTurn:
        runner = place.facts.services.runner
        if runner is None:
            text = "no language model is set up on this server"
            raise failure("configuration", text, place.at, status=400)

        async def work(step: StepContext) -> Any:
            return msgspec.to_builtins(await runner.turn(request, step))

        answered = await place.ctx.step(
            key,
            self._working.work(place, work),
            name=place.step.name,
            retry=policy_of(place.step),
            heartbeat_timeout_s=place.step.heartbeat_timeout_s,
            input=_shown(request, place),
        )
        return msgspec.convert(answered, AgentTurn)

    async def _call_tools(
        self, place: Place, key: str, calls: tuple[ToolCall, ...], used: list[str]
    ) -> list[Message]:
        """The tools of one turn, at once."""
        branches = {str(number): self._tool(place, f"{key}/tool@{number}", call) for number, call in enumerate(calls)}
        used += [f"{key}/tool@{number}" for number in branches]
        texts = cast(list[str], await place.ctx.race(f"{key}/tools", branches, until="all"))
        return [
            Message(role="tool", content=text, tool_call_id=call.id) for call, text in zip(calls, texts, strict=True)
        ]

    def _tool(self, place: Place, key: str, call: ToolCall) -> Branch:
        async def run(ctx: RunContext) -> str:
            function = place.facts.services.find(call.name) if call.name in self._agent.tools else None
            if function is None:
                return _told(f"there is no tool {call.name!r}")
            if not isinstance(call.arguments, dict | None):
                return _told(f"expected an object of arguments, found {describe(call.arguments)}")
            try:
                result = await ctx.step(
                    key,
                    self._working.work(place, function.work(call.arguments or {})),
                    name=call.name,
                    retry=function.retry,
                    timeout_s=function.timeout_s,
                    heartbeat_timeout_s=function.heartbeat_timeout_s,
                    input=call.arguments,
                )
            except ProgramError as error:
                return _told(error_value(error.problem))
            return result if isinstance(result, str) else msgspec.json.encode(result).decode()

        return run

    async def _output(self, turn: AgentTurn, place: Place, used: list[str]) -> Any:
        """The last text, or the JSON value that it is. What is of another form is asked for anew by a retry."""
        if self._check is None:
            return turn.text
        try:
            value = msgspec.json.decode(turn.text)
            await self._check.check(value, place.pointer("output_schema"))
        except msgspec.DecodeError:
            text = f"expected JSON of the schema, found {describe(turn.text)}"
            raise ProgramError(problem("invalid_output", text, retryable=False), tuple(used)) from None
        except ProgramError as error:
            found = problem("invalid_output", error.problem.detail, data=error.problem.data, retryable=False)
            raise ProgramError(found, tuple(used)) from None
        return value


def _told(error: Any) -> str:
    return msgspec.json.encode({"error": error}).decode()


def _shown(request: AgentRequest, place: Place) -> Any:
    """The messages since the turn before: all of them are in the inputs of all turns."""
    last = max((n for n, one in enumerate(request.messages) if one.role == "assistant"), default=-1)
    fresh = msgspec.to_builtins(request.messages[last + 1 :])
    return place.veil.value({"model": request.model, "messages": fresh} if request.model else {"messages": fresh})

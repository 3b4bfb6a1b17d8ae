"""`call: agent`: asks a language model. The output is its last text, or with a schema the JSON value that this is."""

from collections.abc import Callable
from typing import Any

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.programs.agents.conversation import Conversation
from stepwell.programs.agents.port import AgentRequest, AgentRunner, Message
from stepwell.programs.agents.tools import tool_of
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.calls import placed
from stepwell.programs.flow.nodes.hiding import Hidden, hidden_in
from stepwell.programs.flow.nodes.scope import Scope, evaluate, failure
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.function_port import RegisteredFunction, RegisteredFunctions


class AgentNode:
    """`arguments` give an object of `prompt`, `system` and `model`, as far as they are there; `check` is the compiled
    `output_schema`.
    """

    def __init__(
        self,
        arguments: Expression,
        *,
        runner: AgentRunner | None,
        functions: RegisteredFunctions | None,
        tools: tuple[str, ...],
        max_turns: int,
        output_schema: Any,
        check: DataCheck | None,
        name: str,
        at: str,
    ) -> None:
        self._arguments = arguments
        self._runner = runner
        self._functions = functions
        self._tools = tools
        self._max_turns = max_turns
        self._output_schema = output_schema
        self._check = check
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if self._runner is None:
            raise failure("configuration", "no language model is set up on this server", self._at, status=400)
        tools = self._found_tools()
        variables = scope.variables(self._arguments, value)
        given = await evaluate(self._arguments, value, variables, f"{self._at}/with")
        check, at = self._check, f"{self._at}/with/output_schema"
        conversation = Conversation(
            self._runner,
            tools=tools,
            max_turns=self._max_turns,
            check=None if check is None else lambda answer: check.check(answer, at),
            name=self._name,
            veil=_veil(hidden_in(variables.get("secrets"))),
        )
        try:
            return await conversation.hold(scope.strand.ctx, key, self._request(given, tools))
        except ProgramError as error:
            raise placed(error, self._at) from None

    def _request(self, given: dict[str, Any], tools: dict[str, RegisteredFunction]) -> AgentRequest:
        for name, text in given.items():
            if not isinstance(text, str | None):
                words = f"expected text, found {describe(text)}"
                raise failure("expression", words, f"{self._at}/with/{name}", status=400)
        asked = Message(role="user", content=given["prompt"] or "")
        system = given.get("system")
        return AgentRequest(
            messages=(Message(role="system", content=system), asked) if system else (asked,),
            model=given.get("model") or "",
            tools=tuple(tool_of(function) for function in tools.values()),
            output_schema=self._output_schema,
        )

    def _found_tools(self) -> dict[str, RegisteredFunction]:
        found: dict[str, RegisteredFunction] = {}
        for name in self._tools:
            function = self._functions.find(name) if self._functions is not None else None
            if function is None:
                at = f"{self._at}/with/tools"
                raise failure("configuration", f"there is no function {name!r}", at, status=400)
            found[name] = function
        return found


def _veil(hidden: Hidden) -> Callable[[Any], Any]:
    def hide(value: Any) -> Any:
        return msgspec.json.decode(hidden.text(msgspec.json.encode(value).decode()))

    return hide

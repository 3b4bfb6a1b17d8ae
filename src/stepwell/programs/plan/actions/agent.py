"""`agent`: a conversation with a language model (`programs.agents.conversation`)."""

from typing import Any

from stepwell.programs.agents.conversation import Conversation
from stepwell.programs.agents.port import AgentRequest, AgentRunner, Message
from stepwell.programs.agents.tools import tool_of
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.flow.nodes.validation import DataCheck
from stepwell.programs.function_port import RegisteredFunction
from stepwell.programs.plan.actions.port import policy_of
from stepwell.programs.plan.actions.working import Working
from stepwell.programs.plan.interpolation import as_text
from stepwell.programs.plan.model import Agent
from stepwell.programs.plan.scope import Place


class AgentAction:
    """`check` is the compiled schema of the last text."""

    BY_ITSELF = FAILS_BY_ITSELF = KEEPS_TIME = False
    REPEATS = True

    def __init__(self, agent: Agent, check: DataCheck | None) -> None:
        self._agent = agent
        self._check = check
        self._working = Working(None, "")

    async def perform(self, place: Place) -> Any:
        tools = self._tools(place)
        request = AgentRequest(
            messages=self._opening(place),
            model=as_text(place.filled(self._agent.model, "model")),
            tools=tuple(tool_of(function) for function in tools.values()),
            output_schema=self._agent.output_schema,
        )
        check = self._check
        conversation = Conversation(
            _runner(place),
            tools=tools,
            max_turns=self._agent.max_turns,
            check=None if check is None else lambda value: check.check(value, place.pointer("output_schema")),
            name=place.step.name,
            retry=policy_of(place.step),
            heartbeat_timeout_s=place.step.heartbeat_timeout_s,
            around=lambda work: self._working.work(place, work),
            veil=place.veil.value,
        )
        return await conversation.hold(place.ctx, place.key, request)

    def _opening(self, place: Place) -> tuple[Message, ...]:
        system = as_text(place.filled(self._agent.system, "system"))
        prompt = as_text(place.filled(self._agent.prompt, "prompt"))
        asked = Message(role="user", content=prompt)
        return (Message(role="system", content=system), asked) if system else (asked,)

    def _tools(self, place: Place) -> dict[str, RegisteredFunction]:
        found: dict[str, RegisteredFunction] = {}
        for name in self._agent.tools:
            function = place.facts.services.find(name)
            if function is None:
                text = f"there is no function {name!r}"
                raise failure("configuration", text, place.pointer("tools"), status=400)
            found[name] = function
        return found


def _runner(place: Place) -> AgentRunner:
    runner = place.facts.services.runner
    if runner is None:
        raise failure("configuration", "no language model is set up on this server", place.at, status=400)
    return runner

"""The port to language models: one turn of a conversation. Who talks to a provider implements `AgentRunner`.

A conversation is kept by the run that holds it (`conversation`): each turn is a step, each tool call another one,
so a restart asks nothing twice.
"""

from typing import Any, Literal, Protocol

import msgspec

from stepwell.core.program import StepContext


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The model wants a tool called. `arguments` is what it wrote: a JSON object if it kept to the schema."""

    id: str
    name: str
    arguments: Any = None


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation; `tool_call_id` says which call a `tool` message answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool on offer. `parameters` is the JSON Schema (of type object) of its arguments."""

    name: str
    description: str = ""
    parameters: Any = msgspec.field(default_factory=lambda: {"type": "object"})


class AgentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked. `model` empty: the runner's default. `output_schema`: JSON Schema of the last text."""

    messages: tuple[Message, ...]
    model: str = ""
    tools: tuple[Tool, ...] = ()
    output_schema: Any = None


class AgentTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model answered: a text, tool calls, or both. `usage` is the provider's count of tokens."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: dict[str, int] = {}


class AgentRunner(Protocol):
    """Asks a language model."""

    async def turn(self, request: AgentRequest, step: StepContext) -> AgentTurn:
        """One answer. Reasoning text goes to `step.think` piece by piece as it comes; `step.heartbeat` says that the
        answer is still coming. Raises `StepFailure`, with `retryable` and `retry_after_s` as the provider says.
        """

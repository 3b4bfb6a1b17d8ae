"""A turn's request in the words of the chat protocol. Pure."""

from typing import Any, Final

import msgspec

from stepwell.programs.agents.port import AgentRequest, Message, Tool, ToolCall

SCHEMA_NAME: Final = "answer"


def question(request: AgentRequest, model: str) -> dict[str, Any]:
    """The arguments of `chat.completions.create`."""
    asked: dict[str, Any] = {
        "model": model,
        "messages": [_message(one) for one in _with_schema(request)],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        asked["tools"] = [_tool(tool) for tool in request.tools]
    if request.output_schema is not None:
        asked["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": SCHEMA_NAME, "schema": request.output_schema},
        }
    return asked


def _with_schema(request: AgentRequest) -> tuple[Message, ...]:
    """Not every endpoint heeds `response_format`, so the schema is told in words too: in the first message of the
    system, since many models take only one.
    """
    if request.output_schema is None:
        return request.messages
    schema = msgspec.json.encode(request.output_schema).decode()
    told = f"Answer in the end with one JSON value of this JSON Schema, and with nothing else: {schema}"
    first, rest = request.messages[0], request.messages[1:]
    if first.role != "system":
        return (Message(role="system", content=told), *request.messages)
    return (msgspec.structs.replace(first, content=f"{first.content}\n\n{told}"), *rest)


def _message(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.role == "tool":
        found["tool_call_id"] = message.tool_call_id
    return found


def _call(call: ToolCall) -> dict[str, Any]:
    """As the model wrote it: what was no JSON was kept as its text."""
    text = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments or {}).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}

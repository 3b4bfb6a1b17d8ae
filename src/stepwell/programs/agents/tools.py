"""Registered functions as tools of agents: their parameters as JSON Schema."""

import inspect
from typing import Any

import msgspec

from stepwell.programs.agents.port import Tool
from stepwell.programs.function_port import Parameter, RegisteredFunction


def tool_of(function: RegisteredFunction) -> Tool:
    """A function as it is offered to a model; its first paragraph of documentation says what it is for."""
    properties = {name: _schema(parameter) for name, parameter in function.parameters.items()}
    required = [name for name, parameter in function.parameters.items() if parameter.required]
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    text = inspect.getdoc(function.call) or ""
    return Tool(name=function.name, description=text.partition("\n\n")[0], parameters=parameters)


def _schema(parameter: Parameter) -> dict[str, Any]:
    """Anything goes where an annotation has no JSON form."""
    try:
        schema = msgspec.json.schema(parameter.kind)
    except TypeError:
        return {}
    found: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return found


def _inlined(schema: Any, definitions: dict[str, Any], depth: int = 0) -> Any:
    """Without references: models read a schema better that says all in its place."""
    if isinstance(schema, list):
        return [_inlined(item, definitions, depth) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _inlined(definitions.get(name, {}), definitions, depth + 1) if depth < 8 else {}
    return {name: _inlined(item, definitions, depth) for name, item in schema.items()}

"""OpenAPI 3.1 documents, made of the operations of doors and the types they are declared with."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from stepwell.doors.kit.api import Api
from stepwell.doors.kit.operations import Answer, Operation
from stepwell.doors.kit.shapes import bare

OPENAPI: Final = "3.1.0"
_PATH_PARAMETER: Final = re.compile(r"{(\w+)(?::\w+)?}")
_LISTS: Final = (list, tuple, set, frozenset)
_SECURITY: Final[dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "a JWT, or an API key"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}

Document = dict[str, Any]


def document(apis: Sequence[Api], *, title: str, version: str) -> Document:
    """The document of these doors. Without credentials (`{}`) only this machine may come in."""
    schemas = _Schemas(_types(apis))
    paths: Document = {}
    named: Counter[str] = Counter()
    for api in apis:
        for operation in api.operations:
            path = _PATH_PARAMETER.sub(r"{\1}", operation.path)
            found = paths.setdefault(path, {})[operation.method.lower()] = _operation(api, operation, schemas)
            named[found["operationId"]] += 1
            if (number := named[found["operationId"]]) > 1:  # the same under another path
                found["operationId"] += f"_{number}"
    return {
        "openapi": OPENAPI,
        "info": {"title": title, "version": version},
        "tags": [{"name": api.name, "description": api.title} for api in apis],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _SECURITY},
        "security": [{}, *({name: []} for name in _SECURITY)],
    }


class _Schemas:
    """The JSON Schema of every type, with structs as shared components."""

    def __init__(self, types: Iterable[Any]) -> None:
        known = list(dict.fromkeys(choice for kind in types for choice in _choices(kind)))
        schemas, components = msgspec.json.schema_components(known, ref_template="#/components/schemas/{name}")
        self.components: Mapping[str, Any] = components
        self._by_type: dict[Any, Document] = dict(zip(known, schemas, strict=True))

    def of(self, kind: Any) -> Document:
        """Choices are joined here: msgspec knows no union of structs that it could not tell apart when reading."""
        found = [self._by_type[choice] for choice in _choices(kind)]
        return found[0] if len(found) == 1 else {"anyOf": found}


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _types(apis: Sequence[Api]) -> Iterable[Any]:
    """Every type that a document of these doors names."""
    for api in apis:
        yield api.error_type
        for operation in api.operations:
            yield from operation.bodies.values()
            yield from (answer.type for answer in operation.answers.values() if answer.type is not None)
            if operation.query is not None:
                yield from (field.type for field in msgspec.structs.fields(operation.query))


def _operation(api: Api, operation: Operation, schemas: _Schemas) -> Document:
    found: Document = {
        "operationId": f"{api.name}_{operation.name}",
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*_in_path(operation), *_in_query(operation, schemas), *_in_headers(operation)],
        "responses": _responses(api, operation, schemas),
    }
    if operation.bodies:
        content = {media: {"schema": schemas.of(kind)} for media, kind in operation.bodies.items()}
        found["requestBody"] = {"required": operation.needs_body, "content": content}
    if api.rules.is_open(operation.path):
        found["security"] = []
    return found


def _in_path(operation: Operation) -> list[Document]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PARAMETER.findall(operation.path)
    ]


def _in_query(operation: Operation, schemas: _Schemas) -> list[Document]:
    if operation.query is None:
        return []
    return [_query_parameter(field, schemas) for field in msgspec.structs.fields(operation.query)]


def _query_parameter(field: msgspec.structs.FieldInfo, schemas: _Schemas) -> Document:
    """A list is written `a=1,2`."""
    schema = dict(schemas.of(field.type))
    parameter: Document = {"name": field.encode_name, "in": "query", "required": field.required}
    if "description" in schema:
        parameter["description"] = schema.pop("description")
    if get_origin(bare(field.type)) in _LISTS:
        parameter |= {"style": "form", "explode": False}
    elif field.default not in (msgspec.NODEFAULT, None):
        schema["default"] = msgspec.to_builtins(field.default)
    return {**parameter, "schema": schema}


def _in_headers(operation: Operation) -> list[Document]:
    return [
        {"name": name, "in": "header", "required": False, "description": meaning, "schema": {"type": "string"}}
        for name, meaning in operation.headers.items()
    ]


def _responses(api: Api, operation: Operation, schemas: _Schemas) -> Document:
    """What is declared; `default` stands for the refusals that any operation can get (401, 413, 429, 503, ...)."""
    failure = {api.error_media_type: {"schema": schemas.of(api.error_type)}}
    found = {str(status): _answer(status, answer, schemas) for status, answer in operation.answers.items()}
    for status, meaning in operation.fails.items():
        found[str(status)] = {"description": meaning, "content": failure}
    return {**found, "default": {"description": "a refusal", "content": failure}}


def _answer(status: int, answer: Answer, schemas: _Schemas) -> Document:
    found: Document = {"description": answer.meaning or HTTPStatus(status).phrase}
    if answer.type is not None:
        found["content"] = {answer.media_type: {"schema": schemas.of(answer.type)}}
    elif answer.media_type != "application/json":
        found["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    if answer.headers:
        headers = answer.headers.items()
        found["headers"] = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers}
    return found

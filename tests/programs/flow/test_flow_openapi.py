# ruff: noqa: E501  a document of one line is easier to read whole
"""`call: openapi`: what a document and parameters become, what is recorded, how it fails."""

import asyncio
import json
from typing import Any

import pytest
from memory_run import Ending, MemoryRun, ending_of, run_through

from stepwell.programs.flow import FlowPrograms
from stepwell.programs.flow.nodes.http_messages import BadRequestError
from stepwell.programs.flow.nodes.openapi.operation import DocumentFaultError, find_operation
from stepwell.programs.flow.nodes.openapi.requests import ParameterError, request_of
from stepwell.programs.http import HttpRequest, HttpResponse

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"
JSON = {"content-type": "application/json"}


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, **more}


NEW = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://{where}.api/v1", "variables": {"where": {"default": "eu"}}}],
    "components": {
        "parameters": {"Id": parameter("id", "path", required=True)},
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    },
    "paths": {
        "/things/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "get",
                "security": [{"key": []}],
                "parameters": [
                    parameter("q", "query"),
                    parameter("csv", "query", explode=False),
                    parameter("deep", "query", style="deepObject"),
                    parameter("pipes", "query", style="pipeDelimited", explode=False),
                    parameter("X-List", "header"),
                    parameter("c", "cookie"),
                    {"name": "filter", "in": "query", "content": {"application/json": {}}},
                ],
                "responses": {"200": {"content": {"application/json": {}}}},
            },
            "put": {
                "operationId": "put",
                "servers": [{"url": "/other"}],
                "requestBody": {"required": True, "content": {"application/json": {}, "text/plain": {}}},
            },
            "post": {"operationId": "form", "requestBody": {"content": {"application/x-www-form-urlencoded": {}}}},
            "patch": {"operationId": "parts", "requestBody": {"content": {"multipart/form-data": {}}}},
        },
        "/loop": {"$ref": "#/paths/~1loop"},
    },
}
OLD = {
    "swagger": "2.0",
    "basePath": "/v2",
    "schemes": ["http"],
    "consumes": ["application/json"],
    "paths": {
        "/pets": {
            "get": {
                "operationId": "find",
                "produces": ["application/json"],
                "parameters": [
                    parameter("tags", "query", type="array", collectionFormat="multi"),
                    parameter("ids", "query", type="array"),
                ],
            },
            "post": {"operationId": "add", "parameters": [parameter("pet", "body", required=True)]},
            "put": {
                "operationId": "form",
                "consumes": ["application/x-www-form-urlencoded"],
                "parameters": [parameter("name", "formData"), parameter("tags", "formData", type="array")],
            },
            "patch": {"operationId": "file", "parameters": [parameter("f", "formData", type="file")]},
        }
    },
}


@pytest.mark.parametrize(
    ("document", "operation", "given", "method", "url", "headers", "content"),
    [
        (
            NEW,
            "get",
            {"id": "a b/c"},
            "get",
            "https://eu.api/v1/things/a%20b%2Fc",
            {"Accept": "application/json"},
            None,
        ),
        (
            NEW,
            "get",
            {"id": [1, 2], "q": [True, "ä"]},
            "get",
            "https://eu.api/v1/things/1,2?q=true&q=%C3%A4",
            {},
            None,
        ),
        (
            NEW,
            "get",
            {"id": 1, "csv": [1, 2], "pipes": ["a", "b"]},
            "get",
            "https://eu.api/v1/things/1?csv=1,2&pipes=a|b",
            {},
            None,
        ),
        (
            NEW,
            "get",
            {"id": 1, "deep": {"a": 1}, "filter": {"b": [2]}},
            "get",
            "https://eu.api/v1/things/1?deep[a]=1&filter=%7B%22b%22%3A[2]%7D",
            {},
            None,
        ),
        (
            NEW,
            "get",
            {"id": 1, "X-List": [1, "b"], "c": "x y", "X-Key": "k", "q": None},
            "get",
            "https://eu.api/v1/things/1",
            {"X-List": "1,b", "Cookie": "c=x%20y", "X-Key": "k"},
            None,
        ),
        (
            NEW,
            "put",
            {"id": 1, "body": {"a": 1}},
            "put",
            "http://doc/other/things/1",
            {"Content-Type": "application/json"},
            b'{"a":1}',
        ),
        (
            NEW,
            "form",
            {"id": 1, "body": {"a": [1, 2]}},
            "post",
            "https://eu.api/v1/things/1",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"a=1&a=2",
        ),
        (
            OLD,
            "find",
            {"tags": ["a", "b"], "ids": [1, 2]},
            "get",
            "http://doc/v2/pets?tags=a&tags=b&ids=1,2",
            {"Accept": "application/json"},
            None,
        ),
        (
            OLD,
            "add",
            {"pet": {"n": 1}},
            "post",
            "http://doc/v2/pets",
            {"Content-Type": "application/json"},
            b'{"n":1}',
        ),
        (OLD, "add", {"body": {"n": 1}}, "post", "http://doc/v2/pets", {}, b'{"n":1}'),
        (
            OLD,
            "form",
            {"name": "a b", "tags": [1, 2]},
            "put",
            "http://doc/v2/pets",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"name=a+b&tags=1%2C2",
        ),
    ],
)
def test_request_is_put_together(
    document: Any, operation: str, given: Any, method: str, url: str, headers: dict[str, str], content: bytes | None
) -> None:
    request = request_of(find_operation(document, operation, "http://doc/api/openapi.json"), given)
    assert (request.method, request.url, request.content) == (method, url, content)
    assert headers.items() <= request.headers.items()


@pytest.mark.parametrize(
    ("document", "operation", "given", "words"),
    [
        (NEW, "get", {}, "expected the path parameter 'id', found none"),
        (NEW, "get", {"id": 1, "idd": 2}, "found 'idd'; did you mean 'id'?"),
        (NEW, "put", {"id": 1}, "expected the body as parameter 'body', found none"),
        (NEW, "get", {"id": {"a": {}}}, "in the path parameter 'id', found an empty object"),
        (NEW, "get", {"id": 1, "deep": 5}, "expected an object for the parameter 'deep', found the number 5"),
        (NEW, "parts", {"id": 1, "body": {}}, "multipart/form-data of the body is not supported"),
        (OLD, "file", {"f": "x"}, "multipart/form-data of the body is not supported"),
        (OLD, "find", [], "expected an object of parameters, found an empty list"),
        (NEW, "get", {"id": 1, "X-Key": "k\r\nY: 1"}, "one line of ASCII for the header 'X-Key'"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(document: Any, operation: str, given: Any, words: str) -> None:
    with pytest.raises((ParameterError, BadRequestError)) as refused:
        request_of(find_operation(document, operation, "http://doc/"), given)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (5, "found no version"),
        ({}, "found no version"),
        ({"openapi": "4.0"}, "found the version '4.0'"),
        ({"openapi": "3.0.0"}, "expected the operation 'get', found 0 others"),
        (
            {"openapi": "3.0.0", "paths": {"/": {"get": {"operationId": "gets"}}}},
            "found 1 others; did you mean 'gets'?",
        ),
        ({"openapi": "3.0.0", "paths": {"/": {"$ref": "#/nowhere"}}}, "leads nowhere"),
        ({"openapi": "3.0.0", "paths": {"/": {"$ref": "other.yaml#/x"}}}, "to another document is not supported"),
        ({"openapi": "3.0.0", "paths": {"/": {"$ref": "#/paths/~1"}}}, "lead to each other"),
        (
            {"openapi": "3.0.0", "paths": {"/": {"get": {"operationId": "get", "parameters": [{"name": "x"}]}}}},
            "with a name and a place",
        ),
        (
            {
                "openapi": "3.0.0",
                "paths": {
                    "/": {
                        "get": {"operationId": "get", "parameters": [{"name": "x", "in": "path", "style": "matrix"}]}
                    }
                },
            },
            "not supported",
        ),
    ],
)
def test_document_without_the_operation_is_refused(document: Any, words: str) -> None:
    with pytest.raises(DocumentFaultError) as refused:
        find_operation(document, "get", "http://doc/")
    assert words in str(refused.value)


class Api:
    """Serves its document and answers every other request with how it was asked."""

    def __init__(self, document: bytes, *, status: int = 200) -> None:
        self.document = document
        self.status = status
        self.fetched = 0
        self.asked: list[str] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        if "doc" in request.url and request.method == "get":
            self.fetched += 1
            await asyncio.sleep(0)
            return HttpResponse(status=self.status, content=self.document)
        self.asked.append(request.url)
        return HttpResponse(status=200, headers=JSON, content=json.dumps({"url": request.url}).encode())


SIMPLE = {
    "openapi": "3.0.0",
    "servers": [{"url": "http://x"}],
    "paths": {
        "/a/{id}": {"get": {"operationId": "a", "parameters": [parameter("id", "path", required=True)]}},
        "/b": {"get": {"operationId": "b"}},
    },
}
YAML = b"openapi: 3.0.0\nservers: [{url: 'http://x'}]\npaths:\n  /b:\n    get:\n      operationId: b\n      responses:\n        200: {description: 2001-01-01}\n  /a/{id}:\n    get: {operationId: a, parameters: [{name: id, in: path}]}\n"


def flow(api: Api, tasks: str) -> Any:
    return FlowPrograms(http=api).compile(HEAD + tasks).program


def openapi(operation: str, more: str = "") -> str:
    return f"{{call: openapi, with: {{document: {{endpoint: 'http://doc/{{v}}'}}, operationId: {operation}{more}}}}}"


@pytest.mark.parametrize("document", [json.dumps(SIMPLE).encode(), YAML])
async def test_operation_is_called_and_survives_every_crash(document: bytes) -> None:
    program = flow(Api(document), f"do: [{{a: {openapi('a', ', parameters: {id: 5}')}}}, {{b: {openapi('b')}}}]")
    assert await run_through(program) == Ending(output={"url": "http://x/b"})


async def test_document_is_fetched_once_for_all_operations_and_runs() -> None:
    api = Api(json.dumps(SIMPLE).encode())
    branches = ", ".join(
        f"{{t{number}: {openapi('ab'[number % 2], ', parameters: {id: 1}' if number % 2 == 0 else '')}}}"
        for number in range(4)
    )
    program = flow(api, f"do: [{{f: {{fork: {{branches: [{branches}]}}}}}}]")
    for _ in range(2):
        assert (await ending_of(MemoryRun(), program, {"v": 1})).failure is None
    assert (api.fetched, len(api.asked)) == (1, 8)


async def test_operation_is_a_fact_of_the_run() -> None:
    api = Api(json.dumps(SIMPLE).encode())
    tasks = (
        f"do: [{{loop: {{for: {{in: .ids}}, do: [{{a: {openapi('a', ', parameters: {id: $item}')}}}]}}}}]".replace(
            "$item", "'${ $item }'"
        )
    )
    memory = MemoryRun()
    assert (await ending_of(memory, flow(api, tasks), {"ids": [1, 2, 3]})).failure is None
    assert [key for key in memory.record if key.endswith("/operation")] == ["/do/0/loop@0/do/0/a/operation"]
    api.document = b"gone"
    del memory.record["/do/0/loop@2/do/0/a"]  # as after a crash during the last call
    assert (await ending_of(memory, flow(api, tasks), {"ids": [1, 2, 3]})).output == {"url": "http://x/a/3"}


@pytest.mark.parametrize(
    ("document", "status", "kind", "words"),
    [
        (b"<html>", 200, "configuration", "the document http://doc/: expected an OpenAPI 3 or Swagger 2.0 document"),
        (b"a: [", 200, "configuration", "expected JSON or YAML"),
        (b"&a [*a, *a]: 1", 200, "configuration", "expected"),
        (
            json.dumps({**SIMPLE, "paths": {}}).encode(),
            200,
            "configuration",
            "expected the operation 'a', found 0 others",
        ),
        (b"", 404, "communication", "GET http://doc/: expected a status from 200 to 299, found 404"),
    ],
)
async def test_document_that_cannot_be_used_fails_the_task(
    document: bytes, status: int, kind: str, words: str
) -> None:
    ending = await ending_of(MemoryRun(), flow(Api(document, status=status), f"do: [{{a: {openapi('a')}}}]"), None)
    assert ending.failure is not None
    assert ending.failure.type.endswith(f"/{kind}")
    assert words in ending.failure.detail
    assert ending.failure.instance == "/do/0/a/with/document"


async def test_wrong_parameter_names_its_place() -> None:
    ending = await ending_of(
        MemoryRun(), flow(Api(YAML), f"do: [{{a: {openapi('b', ', parameters: {x: 1}')}}}]"), None
    )
    assert ending.failure is not None
    assert ending.failure.instance == "/do/0/a/with/parameters"
    assert "the operation 'b': expected parameters of the operation (none), found 'x'" in ending.failure.detail

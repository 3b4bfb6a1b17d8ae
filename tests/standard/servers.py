"""The servers that the standard's scenarios and examples call, as far as they call them."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx

PET = {"id": 1, "name": "milou", "status": "available"}

_ID = {"name": "petId", "in": "path", "required": True, "type": "integer"}
_STATUS = {"name": "status", "in": "query", "required": True, "type": "array", "collectionFormat": "multi"}
PETSTORE = {
    "swagger": "2.0",
    "host": "petstore.swagger.io",
    "basePath": "/v2",
    "schemes": ["https", "http"],
    "paths": {
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "parameters": [_STATUS],
                "produces": ["application/xml", "application/json"],
            }
        },
        "/pet/{petId}": {
            "get": {
                "operationId": "getPetById",
                "parameters": [_ID],
                "produces": ["application/xml", "application/json"],
            }
        },
    },
}
ORDERS = {
    "openapi": "3.0.3",
    "paths": {"/log": {"post": {"operationId": "logreading"}}, "/report": {"post": {"operationId": "produceReport"}}},
}


SHOP = {
    "openapi": "3.1.0",
    "paths": {
        "/items/{item}": {
            "parameters": [{"name": "item", "in": "path", "required": True}],
            "get": {"operationId": "getItem", "parameters": [{"name": "store", "in": "query"}]},
            "put": {"operationId": "putItem", "requestBody": {"content": {"application/json": {}}}},
        }
    },
}


def _petstore(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    if path == "/v2/swagger.json":
        return httpx.Response(200, json=PETSTORE)
    if path == "/v2/pet/findByStatus":
        wanted = request.url.params.get_list("status")
        return httpx.Response(200, json=[PET] if PET["status"] in wanted else [])
    if request.method == "PUT":
        return httpx.Response(200, content=request.content, headers={"content-type": "application/json"})
    number = path.rpartition("/")[2]
    if not number.isdigit():
        return httpx.Response(404, json={"message": "Pet not found"})
    return httpx.Response(200, json={**PET, "id": int(number)})


def _httpbin(request: httpx.Request) -> httpx.Response:
    _, kind, user, password = request.url.path.split("/")
    assert kind == "basic-auth"
    expected = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    if request.headers.get("authorization") != expected:
        return httpx.Response(401, headers={"www-authenticate": 'Basic realm="Fake Realm"'})
    return httpx.Response(200, json={"authenticated": True, "user": user})


def _star_wars(request: httpx.Request) -> httpx.Response:
    found: dict[str, Any] = {
        "/api/people/": {"count": 1, "results": [{"name": "Luke Skywalker"}]},
        "/api/people/1": {"name": "Luke Skywalker", "homeworld": "https://swapi.dev/api/planets/1/"},
        "/api/planets/1/": {"name": "Tatooine"},
    }
    return httpx.Response(200, json=found[request.url.path])


def _authority(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/.well-known/openid-configuration"):
        return httpx.Response(200, json={"token_endpoint": "http://keycloak/token"})
    return httpx.Response(200, json={"access_token": "token-of-the-authority", "expires_in": 300})


def _orders(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=ORDERS if request.url.path.endswith(".json") else {})


class _Shop:
    """The shop of the documentation. `/flaky` fails every other time."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/flaky":
            self._calls += 1
            return httpx.Response(200, json={"stock": 3}) if self._calls % 2 == 0 else httpx.Response(503)
        if path == "/private":
            expected = "Basic " + b64encode(b"ann:open-sesame").decode()
            return httpx.Response(200 if request.headers.get("authorization") == expected else 401, json={"in": True})
        if path == "/openapi.json":
            return httpx.Response(200, json=SHOP)
        if request.method == "PUT":
            return httpx.Response(200, content=request.content, headers={"content-type": "application/json"})
        if path.startswith("/items/"):
            found = {"item": path.rpartition("/")[2], "store": request.url.params.get("store")}
            return httpx.Response(200, json=found)
        return httpx.Response(404)


_HANDLERS: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "petstore.swagger.io": _petstore,
    "httpbin.org": _httpbin,
    "swapi.dev": _star_wars,
    "myorg.io": _orders,
    "shop.example": _Shop(),
    "keycloak": _authority,
}


def answer(request: httpx.Request) -> httpx.Response:
    """What is not known here is answered with an empty object."""
    handler = _HANDLERS.get(request.url.host)
    return handler(request) if handler else httpx.Response(200, json={})

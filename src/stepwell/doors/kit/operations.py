"""An operation: one method of one path, what it takes and what it answers. Routes and OpenAPI are made of these."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
"""Answers every error itself."""

JSON_TYPE = "application/json"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of answer: the type of its body (None: it has none), what it means, its media type and headers."""

    type: Any = None
    meaning: str = ""
    media_type: str = JSON_TYPE
    headers: Mapping[str, str] = {}
    """Name to what it says."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """`answers` has the successes by status, `fails` what each status of a refusal means here."""

    name: str
    method: str
    path: str
    endpoint: Endpoint
    summary: str
    description: str = ""
    tag: str = ""
    query: Any = None
    """A struct of query parameters."""
    bodies: Mapping[str, Any] = {}
    """Media type to type of the body."""
    needs_body: bool = False
    headers: Mapping[str, str] = {}
    """Request headers to what they say."""
    answers: Mapping[int, Answer] = {}
    fails: Mapping[int, str] = {}


def routes_of(operations: Sequence[Operation]) -> list[BaseRoute]:
    """One route per path, in the order of their first operation: so a 405 names every method of the path."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation.endpoint
    return [
        Route(path, _Plain(_by_method(endpoints)), methods=list(endpoints)) for path, endpoints in by_path.items()
    ]


class _Plain:
    """An endpoint as an ASGI application: without the layer in which Starlette looks for errors that it lets out."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    if len(endpoints) == 1:
        return next(iter(endpoints.values()))

    async def chosen(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return chosen

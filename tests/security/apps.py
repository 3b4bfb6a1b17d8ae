"""The smallest application behind all of the middleware, in the order the server has it."""

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocket

from stepwell.security.authentication import AccessRules, Authenticator, DoorRules
from stepwell.security.doors import Door, Doors
from stepwell.security.limits.rates import Buckets
from stepwell.security.limits.rating import RateLimit
from stepwell.security.limits.sizes import SizeLimits, SizeRules
from stepwell.security.middleware import Authentication, actor_of, principal_of
from stepwell.security.refusals import Refusal

from .test_authentication import KEY, Known
from .tokens import NOW

LOCKED = AccessRules(bind="0.0.0.0", configured=True, query_tokens=True)
BEARER = {"Authorization": "Bearer good"}


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def refuse_plainly(_scope: Scope, refusal: Refusal) -> ASGIApp:
    return JSONResponse({"error": refusal.detail, "code": refusal.reason}, refusal.status, refusal.headers)


def refuse_in_envelope(_scope: Scope, refusal: Refusal) -> ASGIApp:
    body = {"data": None, "errors": [{"code": refusal.reason.upper(), "message": refusal.detail}]}
    return JSONResponse(body, refusal.status, refusal.headers)


def refuse_as_text(_scope: Scope, refusal: Refusal) -> ASGIApp:
    return PlainTextResponse(refusal.reason, refusal.status, refusal.headers)


RUNS = Door(
    prefixes=("/api/v1/workflow-runs",),
    refuse=refuse_plainly,
    rules=DoorRules(
        sources=("cookie", "query", "authorization"),
        streams=lambda path: path.endswith("/stream"),
        takes_internal=True,
    ),
)
AGENTS = Door(
    prefixes=("/api/v1/workflows", "/api/v1/workflow-callbacks"),
    refuse=refuse_in_envelope,
    rules=DoorRules(is_open=lambda path: path.startswith("/api/v1/workflow-callbacks/")),
)
OTHER = Door(prefixes=("/",), refuse=refuse_as_text, rules=DoorRules(is_open=lambda path: path == "/health"))
DOORS = Doors([RUNS, AGENTS], other=OTHER)


async def show(request: Request) -> Response:
    """Who asked, and what of the request is left."""
    principal, actor = principal_of(request), actor_of(request)
    return JSONResponse({"id": principal.id, "ip": actor.ip, "query": request.url.query})


async def take(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def open_path(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(principal_of(socket).id)
    await socket.close()


async def on_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse("the door's own words", error.status_code)


def application(
    rules: AccessRules = LOCKED,
    *,
    sizes: SizeRules | None = None,
    per_minute: int = 0,
    failures: int = 0,
    clock: Clock | None = None,
    more: Sequence[Any] = (),
) -> Starlette:
    clock = clock or Clock()
    authenticator = Authenticator(rules, tokens=Known("good"), keys=Known(KEY))
    layers = [
        Middleware(
            Authentication,
            authenticator_of=lambda _scope: authenticator,
            doors=DOORS,
            clock=clock,
            failures=Buckets(failures) if failures else None,
        ),
        *([Middleware(RateLimit, per_minute=per_minute, doors=DOORS, clock=clock)] if per_minute else []),
        Middleware(SizeLimits, rules=sizes or SizeRules(), doors=DOORS),
    ]
    return Starlette(
        routes=[
            *more,
            Route("/health", open_path),
            Route("/api/v1/workflow-callbacks/{token}", open_path, methods=["POST"]),
            WebSocketRoute("/socket", talk),
            Route("/api/v1/workflow-runs/{rest:path}", show, methods=["GET"]),
            Route("/{rest:path}", show, methods=["GET"]),
            Route("/{rest:path}", take, methods=["POST"]),
        ],
        middleware=layers,
        exception_handlers={HTTPException: on_exception},
    )

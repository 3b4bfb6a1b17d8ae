"""The server: all doors on one Starlette application. What a door is given is the engine, and nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from stepwell.core.errors import StepwellError
from stepwell.doors.kit.api import Api, api_of
from stepwell.doors.kit.idempotency import ForgetKeys, Once
from stepwell.doors.operations.openapi import Documents
from stepwell.doors.paths import FixedPaths
from stepwell.doors.problem import PROBLEMS
from stepwell.engine import Engine
from stepwell.engine.duties.loop import DutyLoop

Opening = Callable[[], AbstractAsyncContextManager[Engine]]
"""Opens the engine for as long as the server runs."""


def build(
    routes: Sequence[BaseRoute] = (), *, opening: Opening, middleware: Sequence[Middleware], doors: Sequence[Api] = ()
) -> Starlette:
    """An ASGI application of the doors and other routes behind `middleware`; its lifespan has the engine open."""

    @asynccontextmanager
    async def lifespan(server: Starlette) -> AsyncIterator[None]:
        async with opening() as engine, _duties_done(engine, doors):
            server.state.engine = engine
            server.state.once = Once(engine.store, engine.clock)
            yield

    all_routes = [Route("/", to_console), *routes, *(route for door in doors for route in door.routes)]
    server = Starlette(
        routes=[FixedPaths(all_routes), *all_routes],
        middleware=middleware,
        exception_handlers=dict.fromkeys((HTTPException, StepwellError, Exception), _in_words_of(doors)),
        lifespan=lifespan,
    )
    server.state.documents = Documents(doors)
    server.router.redirect_slashes = False  # a redirected POST loses its body with many clients: 404 is clearer
    return server


@asynccontextmanager
async def _duties_done(engine: Engine, doors: Sequence[Api]) -> AsyncIterator[None]:
    """Idempotency keys are forgotten in time, and whatever else the doors want done is."""
    duties = [ForgetKeys(engine.store), *(new(engine) for door in doors for new in door.duties)]
    loops = [DutyLoop(duty, engine.clock) for duty in duties]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            await loop.stop()


def _in_words_of(doors: Sequence[Api]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Words what no operation has answered (an unknown path, ...) as the door does whose path it is."""

    async def answer(request: Request, error: Exception) -> Response:
        door = api_of(doors, request.url.path)
        return (PROBLEMS if door is None else door.errors).answer(request.scope, error)

    return answer


async def to_console(_request: Request) -> RedirectResponse:
    return RedirectResponse("/console/", 307)

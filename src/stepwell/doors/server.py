"""The server: all doors on one Starlette application. What a door is given is the engine, and nothing else."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Route

from stepwell.doors.problem import HANDLERS
from stepwell.engine import Engine

Opening = Callable[[], AbstractAsyncContextManager[Engine]]
"""Opens the engine for as long as the server runs."""


def build(routes: Sequence[BaseRoute], *, opening: Opening, middleware: Sequence[Middleware]) -> Starlette:
    """An ASGI application of the doors' routes behind `middleware`; its lifespan has the engine open."""

    @asynccontextmanager
    async def lifespan(server: Starlette) -> AsyncIterator[None]:
        async with opening() as engine:
            server.state.engine = engine
            yield

    return Starlette(
        routes=[Route("/", to_console), *routes],
        middleware=middleware,
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )


async def to_console(_request: Request) -> RedirectResponse:
    return RedirectResponse("/console/", 307)

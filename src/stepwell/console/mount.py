"""The console as part of a server: its paths, its rules, and NiceGUI behind them, started with the first page.

NiceGUI is one application per process; whose page it builds is told by the scope. Signing in is a page of its own
without any script of NiceGUI's: whoever is not signed in gets nothing else.
"""

import asyncio
import importlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.console.desk import DESK, Desk
from stepwell.console.sign_in import SIGN_IN, refuse, sign_in_routes
from stepwell.security.authentication import DoorRules
from stepwell.security.doors import Door

PATH: Final = "/console"

DOOR: Final = Door(
    prefixes=(PATH,),
    refuse=refuse,
    rules=DoorRules(
        sources=("cookie", "authorization", "x-api-key"),
        is_open=SIGN_IN.__eq__,
        socket_scope="read",  # a page that only shows needs one too: each action asks for `write` itself
    ),
)
"""Whoever may read may look; a browser shows the cookie that signing in gave it."""


class Console:
    """The console of one server. `desk` is asked for when the first page is opened; the engine is open by then."""

    def __init__(self, desk: Callable[[], Desk], *, cookie: str, secure: bool) -> None:
        self._new_desk = desk
        self._cookie, self._secure = cookie, secure
        self._desk: Desk | None = None
        self._running = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._shell: ASGIApp | None = None

    @property
    def routes(self) -> list[BaseRoute]:
        """Where it stands in a server."""
        inside = [*sign_in_routes(self._cookie, secure=self._secure), Mount("", self)]
        return [Route(PATH, _with_slash), Mount(PATH, routes=inside)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shell = self._shell if self._shell is not None else await self._start()
        scope[DESK] = self._desk
        caller = _Caller(receive)
        try:
            await shell(scope, caller.receive, send)
        except RuntimeError:  # what NiceGUI's middleware makes of a browser that went on to another page
            if not caller.is_gone:
                raise

    async def close(self) -> None:
        """Close what the first page started."""
        if self._desk is not None:
            await self._desk.pulse.close()
        await self._running.aclose()
        self._shell = self._desk = None

    async def _start(self) -> ASGIApp:
        async with self._starting:
            if self._shell is not None:
                return self._shell
            pages = await asyncio.to_thread(importlib.import_module, "stepwell.console.pages")  # 0.7 s
            self._desk = self._new_desk()
            shell: ASGIApp = await self._running.enter_async_context(pages.running())
            self._shell = shell
            return shell


class _Caller:
    """Who asked for something of the console, and whether they still wait for it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_gone = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.is_gone |= message["type"] == "http.disconnect"
        return message


async def _with_slash(_request: Request) -> Response:
    return RedirectResponse(f"{PATH}/", 307)

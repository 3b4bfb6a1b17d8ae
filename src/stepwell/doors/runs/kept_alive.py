"""An answer whose head is sent before its body is known: for proxies that cut off connections that are silent."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SILENCE: Final = b"\n"
"""White space before a JSON value means nothing (RFC 8259 §2)."""


class KeptAlive(Response):
    """JSON with status 200, whatever becomes of it: the head at once, a newline every `every_s`, then the body."""

    def __init__(self, make: Callable[[], Awaitable[bytes]], *, every_s: float, headers: Mapping[str, str]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({**headers, "Content-Type": "application/json"})
        self._make = make
        self._every_s = every_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        making = asyncio.ensure_future(self._make())
        try:
            while not (await asyncio.wait({making}, timeout=self._every_s))[0]:
                await send({"type": "http.response.body", "body": SILENCE, "more_body": True})
            await send({"type": "http.response.body", "body": making.result(), "more_body": False})
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

"""Who may reach a server that asks nobody for a password: only this machine, also through a browser.

A page from elsewhere can make a browser call a name that resolves to 127.0.0.1 (DNS rebinding); its requests carry
that name in `Host`, so a server on loopback answers loopback names only.
"""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.doors.problem import problem_response
from stepwell.security.headers import first_header


@lru_cache(64)
def is_loopback(host: str) -> bool:
    """Whether a name or an address, without port, means this machine."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(64)  # the same few names, over and over; few, since a caller chooses how long they are
def host_of(header: str) -> str:
    """The name in a `Host` header, without port and brackets; "" when there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


class LoopbackHosts:
    """ASGI middleware: refuses requests whose `Host` is no loopback name, nor `public`: what a proxy in front of us
    is called.
    """

    def __init__(self, app: ASGIApp, *, public: str = "") -> None:
        self._app = app
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = first_header(scope, b"host") if scope["type"] != "lifespan" else "localhost"
        name = host_of(header)
        if is_loopback(name) or (name and name == self._public):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            refusal = problem_response(421, f"expected a loopback name in Host (like localhost), found {header!r}")
            await refusal(scope, receive, send)

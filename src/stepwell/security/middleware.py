"""Authentication as pure ASGI middleware: puts the principal into the scope, or lets the door word the refusal.

`principal_of` and `actor_of` are what routes read.
"""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.core.history import Actor
from stepwell.core.principal import Principal
from stepwell.security.authentication import Authenticator
from stepwell.security.call import QUERY_NAME, Call, without_token
from stepwell.security.doors import PRINCIPAL, Clock, Door, Doors, answer
from stepwell.security.limits.rates import Buckets
from stepwell.security.loopback import address_text
from stepwell.security.refusals import Reason, Refusal


class Authentication:
    """ASGI middleware: nothing behind it is reached without a principal, but for a door's open paths.

    `authenticator_of` finds what the server made when it opened its store (keys lie there). `failures` bounds wrong
    credentials per peer; None: not bounded.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator_of: Callable[[Scope], Authenticator],
        doors: Doors,
        clock: Clock,
        failures: Buckets | None = None,
    ) -> None:
        self._app = app
        self._authenticator_of = authenticator_of
        self._doors = doors
        self._clock = clock
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        call = call_of(scope)
        door = self._doors.of(call.path)
        if door.rules.is_open(call.path):
            await self._app(scope, receive, send)
            return
        if "query" in door.rules.sources and call.parameters(QUERY_NAME):
            scope["query_string"] = without_token(call.query).encode()  # at once: a refused one is logged as well
        found = await self._authenticate(call, door, self._authenticator_of(scope))
        if isinstance(found, Refusal):
            await answer(door, found, scope, receive, send)
            return
        scope[PRINCIPAL] = found
        await self._app(scope, receive, send)

    async def _authenticate(self, call: Call, door: Door, authenticator: Authenticator) -> Principal | Refusal:
        now, peer = self._clock(), call.peer or ""
        if self._failures is not None and not (left := self._failures.look(peer, now)).allowed:
            return Refusal(
                reason=Reason.RATE_LIMITED, detail="too many wrong credentials", retry_after_s=left.retry_after_s
            )
        found = await authenticator.authenticate(call, door.rules, now)
        wrong = isinstance(found, Refusal) and found.status == 401 and found.reason is not Reason.MISSING_CREDENTIAL
        if self._failures is not None and wrong:
            self._failures.take(peer, now)
        return found


def call_of(scope: Scope) -> Call:
    """The request as a record. `scope["client"]` must be the socket's peer: see `loopback`."""
    client = scope.get("client")
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:  # in lower case (ASGI)
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return Call(
        method=scope.get("method", "GET"),
        path=scope["path"],
        headers=headers,
        query=scope.get("query_string", b"").decode("latin-1"),
        peer=client[0] if client else None,
        websocket=scope["type"] == "websocket",
    )


def principal_of(request: Any) -> Principal:
    """The principal of a Starlette request (or WebSocket), which is there behind `Authentication`."""
    principal: Principal = request.scope[PRINCIPAL]
    return principal


def actor_of(request: Any) -> Actor:
    """How the history names who made this request, and from where."""
    client = request.scope.get("client")
    return principal_of(request).actor(address_text(client[0]) if client else "")

"""For doors without their guards: every request comes from one principal."""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.core.principal import LOCAL, Principal
from stepwell.security.doors import PRINCIPAL


class ActingAs:
    """ASGI middleware that names the principal, in place of authentication."""

    def __init__(self, app: ASGIApp, *, principal: Principal) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL] = self._principal
        await self._app(scope, receive, send)


def acting_as(principal: Principal = LOCAL) -> Middleware:
    return Middleware(ActingAs, principal=principal)

"""The rate limit as ASGI middleware, behind authentication: it counts principals, not addresses."""

from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.core.principal import Principal
from stepwell.security.doors import PRINCIPAL, Clock, Doors
from stepwell.security.limits.rates import Buckets, with_rate_headers
from stepwell.security.refusals import Reason, Refusal


class RateLimit:
    """Refuses what is more than `per_minute` of one principal. Open paths have no principal and are not counted."""

    def __init__(self, app: ASGIApp, *, per_minute: int, doors: Doors, clock: Clock) -> None:
        self._app = app
        self._buckets = Buckets(per_minute)
        self._doors = doors
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get(PRINCIPAL)
        if scope["type"] != "http" or principal is None:
            await self._app(scope, receive, send)
            return
        left = self._buckets.take(f"{principal.type}:{principal.owner}", self._clock())
        app = self._app
        if not left.allowed:
            refusal = Refusal(
                reason=Reason.RATE_LIMITED,
                detail=f"more than {self._buckets.size} requests a minute",
                retry_after_s=left.retry_after_s,
            )
            app = self._doors.of(scope["path"]).refuse(scope, refusal)
        await with_rate_headers(app, left, self._buckets.size)(scope, receive, send)

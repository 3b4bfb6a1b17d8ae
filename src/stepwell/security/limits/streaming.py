"""How many streams one principal may hold open, as ASGI middleware: refused before the door starts anything."""

from contextlib import ExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.core.principal import Principal
from stepwell.security.doors import PRINCIPAL, Doors, answer
from stepwell.security.headers import first_header
from stepwell.security.limits.slots import Slots
from stepwell.security.refusals import AccessError


class StreamLimit:
    """Holds a slot for as long as a request for a stream lasts: one for a stream's path, or that accepts one."""

    def __init__(self, app: ASGIApp, *, per_principal: int, doors: Doors) -> None:
        self._app = app
        self._slots = Slots(per_principal)
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get(PRINCIPAL)
        if scope["type"] != "http" or principal is None or not self._is_stream(scope):
            await self._app(scope, receive, send)
            return
        with ExitStack() as held:
            try:
                held.enter_context(self._slots.hold(principal))
            except AccessError as refused:
                await answer(self._doors.of(scope["path"]), refused.refusal, scope, receive, send)
                return
            await self._app(scope, receive, send)

    def _is_stream(self, scope: Scope) -> bool:
        if self._doors.of(scope["path"]).rules.streams(scope["path"]):
            return True
        return "text/event-stream" in first_header(scope, b"accept")

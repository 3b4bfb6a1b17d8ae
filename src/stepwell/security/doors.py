"""Whose path is it, and how does that API word a refusal: what all of the middleware asks.

A path of no door belongs to `other`, and is asked for a credential like any other.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.security.authentication import DoorRules
from stepwell.security.refusals import Refusal

PRINCIPAL: Final = "stepwell.principal"

Refuse = Callable[[Scope, Refusal], ASGIApp]
"""Words a refusal in the shapes of one API: status, body and `refusal.headers`. A Starlette response is one."""
Clock = Callable[[], float]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """One API: its paths (each with all below it; "/" is everything), its rules, its words."""

    prefixes: tuple[str, ...]
    refuse: Refuse
    rules: DoorRules = DoorRules()


class Doors:
    """Finds the door of a path: the longest prefix wins."""

    def __init__(self, doors: Sequence[Door], *, other: Door) -> None:
        self._doors = {prefix.rstrip("/"): door for door in doors for prefix in door.prefixes}
        self._depth = max((prefix.count("/") for prefix in self._doors), default=0)
        self._other = other

    def of(self, path: str) -> Door:
        """The door of a path; `other` when it is nobody's."""
        parts = path.split("/", self._depth + 1)
        for length in range(min(len(parts), self._depth + 1), 0, -1):
            door = self._doors.get("/".join(parts[:length]))
            if door is not None:
                return door
        return self._other


async def answer(door: Door, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal in the door's words. A WebSocket closed before it opens is answered 403 by the server."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason.value})
        return
    await door.refuse(scope, refusal)(scope, receive, send)

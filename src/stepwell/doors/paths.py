"""Finding the route of a path without parameters at once: Starlette tries one route after the other."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send


class FixedPaths(BaseRoute):
    """Stands before the same routes: what it does not know (a path with parameters, a prefix) is left to them."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        fixed = (route for route in routes if isinstance(route, Route) and not route.param_convertors)
        self._routes = {route.path: route for route in fixed}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        return (Match.NONE, {}) if route is None else route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._routes[scope["path"]].handle(scope, receive, send)

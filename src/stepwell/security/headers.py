"""What every answer tells a browser: take the content for what it says it is, frame it nowhere, name it to nobody."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "x-content-type-options": "nosniff",  # an output that looks like HTML is not run as a page
    "x-frame-options": "DENY",  # no page of others gets a user to press our buttons
    "referrer-policy": "no-referrer",  # run ids and callback tokens stand in our paths
}
_RAW: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def first_header(scope: Scope, name: bytes) -> str:
    """The first value of a header (its name in lower case, as ASGI has it); "" when it is missing."""
    for found, value in scope["headers"]:
        if found == name:
            text: str = value.decode("latin-1")
            return text
    return ""


class SafeHeaders:
    """ASGI middleware; a route that sets one of these itself keeps its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = dict(message["headers"])  # in lower case (ASGI)
                message["headers"] = [*message["headers"], *[pair for pair in _RAW if pair[0] not in said]]
            await send(message)

        await self._app(scope, receive, send_safe)

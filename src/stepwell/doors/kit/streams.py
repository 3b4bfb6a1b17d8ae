"""Server-sent events: messages of a run as they come, pings between them, an end when the run, the client or the
server ends.

The position of a message is that of the run behind it: `17.3` after event 17 of the history and item 3 of the stream.
A client that comes back with it (`Last-Event-ID`) misses nothing and sees nothing twice. Nothing is buffered here:
while the client does not read, nothing is taken from the engine, which keeps a bounded tail and reads the rest again.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Protocol

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stepwell.doors.kit.faults import Fault, InvalidRequestError
from stepwell.engine.watching import Seen

log = structlog.get_logger()

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
PING_S: Final = 9.0
RETRY: Final = b"retry: 3000\n\n"
"""After how many milliseconds a client comes back."""
_POSITION: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,15}))?")


class Position(msgspec.Struct, frozen=True):
    """After event `seq` of the history and item `item` of the stream; both 0: from the start."""

    seq: int = 0
    item: int = 0

    def __str__(self) -> str:
        return f"{self.seq}.{self.item}" if self.item else str(self.seq)


def read_position(text: str, name: str) -> Position:
    """`17`, or `17.3`. Raises `InvalidRequestError` that names where it stood."""
    found = _POSITION.fullmatch(text.strip())
    if found is None:
        raise InvalidRequestError(
            [Fault(path=(name,), message=f"expected a position like 17.3, found {text[:40]!r}")]
        )
    return Position(int(found[1]), int(found[2] or 0))


def last_position(request: Request) -> Position:
    """Where a client that comes back goes on; from the start without `Last-Event-ID`."""
    text = request.headers.get("last-event-id", "")
    return read_position(text, "Last-Event-ID") if text.strip() else Position()


def position_of(seen: Seen) -> Position:
    """The position after something that a watcher has seen."""
    return Position(seen.seq, seen.item_number)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a stream: `data` is written as JSON; `event` "" is the type `message`."""

    data: Any
    event: str = ""
    id: Position | str | None = None

    def encoded(self) -> bytes:
        """As it goes over the wire. JSON has no line breaks, so one `data:` line is enough (HTML §9.2)."""
        event = f"event: {self.event}\n" if self.event else ""
        id = "" if self.id is None else f"id: {self.id}\n"
        return f"{event}{id}data: ".encode() + msgspec.json.encode(self.data) + b"\n\n"


class Encoded(Protocol):
    """A piece of a stream that knows how it goes over the wire."""

    def encoded(self) -> bytes: ...


class EventStream(Response):
    """A response that sends messages as they come, and `ping` every `ping_s` (None: never) whatever else is sent.

    `greeting` is what goes first. `media_type` is another than that of events where the messages are no events.

    Whatever can be refused (an unknown run, ...) is to be looked at before: the first byte says that all is well.
    """

    def __init__(
        self,
        messages: AsyncGenerator[Encoded, None],
        *,
        ping: Encoded | None = None,
        ping_s: float | None = PING_S,
        headers: dict[str, str] | None = None,
        greeting: bytes = RETRY,
        media_type: str = f"{MEDIA_TYPE}; charset=utf-8",
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({**HEADERS, **(headers or {}), "Content-Type": media_type})
        self._messages = messages
        self._greeting = greeting
        self._ping = b": ping\n\n" if ping is None else ping.encoded()
        self._ping_s = ping_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await self._messages.aclose()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._stream(receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        """Until the messages end or the client has gone."""
        if self._greeting:
            await _send(send, self._greeting)
        sending = asyncio.create_task(self._send_messages(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            if self._ping_s is None:
                await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            else:
                await self._ping_until({sending, gone}, send, self._ping_s)
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
        if not gone.done() or gone.cancelled():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_messages(self, send: Send) -> None:
        try:
            async with aclosing(self._messages) as messages:
                async for message in messages:
                    await _send(send, message.encoded())
        except Exception:  # the status line is long gone: the client sees an end and comes back
            log.exception("stream.failed")

    async def _ping_until(self, either: set[asyncio.Task[None]], send: Send, ping_s: float) -> None:
        """Return when one of the tasks has ended."""
        loop = asyncio.get_running_loop()
        next_ping = loop.time() + ping_s
        while True:
            wait_s = max(0.0, next_ping - loop.time())
            done, _ = await asyncio.wait(either, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            await _send(send, self._ping)
            next_ping += ping_s


async def _send(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass

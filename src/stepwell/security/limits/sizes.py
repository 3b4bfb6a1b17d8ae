"""How much a request may bring: headers, body, and the depth of JSON. In front of everything that reads a body.

A body that says it is too large is refused unread; one that does not say is counted while it comes (chunked). All but
uploads are small enough to be read whole first, so that no door starts work for a body that never ends well.
"""

from typing import Final, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.security.doors import Doors, answer
from stepwell.security.limits.json_text import MAX_DEPTH, check_json
from stepwell.security.refusals import AccessError, Reason, Refusal

BODY: Final = "stepwell.body"
"""Where a scope has the body, if it was read whole."""


class SizeRules(msgspec.Struct, frozen=True, kw_only=True):
    """`upload_bytes` is for multipart bodies, whose parts the door bounds further (files, fields)."""

    header_bytes: int = 32 * 1024
    body_bytes: int = 1024 * 1024
    upload_bytes: int = 64 * 1024 * 1024
    json_depth: int = MAX_DEPTH


class _Sent(NamedTuple):
    """What the head of a request says about how much it is: `lengths` are its values of Content-Length."""

    head_bytes: int
    lengths: list[str]
    chunked: bool
    media: str

    @property
    def has_body(self) -> bool:
        """RFC 9112 §6.3: a request without these two has none."""
        return self.chunked or any(length != "0" for length in self.lengths)

    @property
    def is_upload(self) -> bool:
        return self.media == "multipart/form-data"

    @property
    def is_json(self) -> bool:
        """Clients that forget to say JSON (curl says it is a form) are meant too."""
        return "json" in self.media or self.media in ("", "application/x-www-form-urlencoded")


class SizeLimits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, rules: SizeRules, doors: Doors) -> None:
        self._app = app
        self._rules = rules
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        sent = _sent(scope)
        try:
            check_head(sent, self._rules.header_bytes)
            if scope["type"] == "http" and sent.has_body:
                await self._with_body(sent, scope, receive, send)
                return
        except AccessError as refused:
            await self._refuse(refused.refusal, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _with_body(self, sent: _Sent, scope: Scope, receive: Receive, send: Send) -> None:
        most = self._rules.upload_bytes if sent.is_upload else self._rules.body_bytes
        check_length(sent, most)
        if sent.is_upload:
            await _Upload(most, self._app).run(scope, receive, send, self._doors)
            return
        body = await _read_whole(receive, most)
        if body is None:
            return  # the client has gone
        if sent.is_json:
            check_json(body, max_depth=self._rules.json_depth)
        scope[BODY] = body
        await self._app(scope, _replay(body, receive), send)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(self._doors.of(scope["path"]), refusal, scope, receive, send)


class _Upload:
    """Counts a body while the door reads it. Beyond the limit the door's own answer is replaced."""

    def __init__(self, most: int, app: ASGIApp) -> None:
        self._left = most
        self._most = most
        self._app = app
        self._started = False

    async def run(self, scope: Scope, receive: Receive, send: Send, doors: Doors) -> None:
        async def counted() -> Message:
            message = await receive()
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413)  # known to every door, so that none logs it as a bug of its own
            return message

        async def noted(message: Message) -> None:
            if self._left < 0 and not self._started:
                return  # what the door makes of our error; the refusal below is the answer
            self._started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except Exception:  # of a body that we cut off ourselves, the door's error says nothing; any other goes on up
            if self._left >= 0:
                raise
        if self._left < 0 and not self._started:
            await answer(doors.of(scope["path"]), _too_large(self._most).refusal, scope, receive, send)


def _sent(scope: Scope) -> _Sent:
    """In one walk over the headers: this stands before every request."""
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    lengths, chunked, media = [], False, None
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"content-length":
            lengths.append(value.decode("latin-1"))
        elif name == b"transfer-encoding":
            chunked = True
        elif name == b"content-type" and media is None:
            media = value.decode("latin-1").partition(";")[0].strip().lower()
    return _Sent(size, lengths, chunked, media or "")


def check_head(sent: _Sent, most: int) -> None:
    """Names, values and the target together (RFC 6585 §5). Raises `AccessError`."""
    if sent.head_bytes > most:
        raise AccessError(Reason.HEADERS_TOO_LARGE, f"expected at most {most} bytes of headers and target")


def check_length(sent: _Sent, most: int) -> None:
    """What `Content-Length` says, if it is there. Raises `AccessError`."""
    said = sent.lengths
    if not said:
        return
    # int() would also take "+1", "1_0" and digits of other scripts (RFC 9110 §8.6: 1*DIGIT).
    if len(set(said)) > 1 or not (said[0].isascii() and said[0].isdigit()):
        raise AccessError(Reason.CONTENT_LENGTH_INVALID, "expected one number in Content-Length")
    if len(said[0]) > 18 or int(said[0]) > most:
        raise _too_large(most)


async def _read_whole(receive: Receive, most: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body in one message; after it what really comes (a disconnect)."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _too_large(most: int) -> AccessError:
    return AccessError(Reason.BODY_TOO_LARGE, f"expected a body of at most {most} bytes")

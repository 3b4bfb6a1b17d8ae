"""HTTP as flows see it: requests and responses as records, a client behind one method, and httpx as that client.

Which addresses may be called is not decided here: an egress guard stands in front of a client as another client.
"""

import time
import zlib
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import msgspec

from stepwell.core.errors import StepwellError
from stepwell.core.place import TRACEPARENT, traceparent

if TYPE_CHECKING:
    import httpx

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
TIMEOUT_S = 60.0


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is whole, with its query; header names are as the author wrote them."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    content: bytes | None = None


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Any answer, whatever its status. Header names are in lower case; repeated ones joined by commas."""

    status: int
    headers: Mapping[str, str] = {}
    content: bytes = b""


def retry_after_s(response: HttpResponse) -> float | None:
    """The seconds that `Retry-After` asks for (RFC 9110 §10.2.3): a number, or a date after the answer's own."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:12]), 100 * 365 * 86_400))
    try:
        until = parsedate_to_datetime(text).timestamp()
        date = response.headers.get("date", "")
        now = parsedate_to_datetime(date).timestamp() if date else time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, until - now)


class HttpError(StepwellError):
    """No answer: not reached, broken off, too late or too large. `retryable` when another try can help."""

    def __init__(self, detail: str, *, timed_out: bool = False, retryable: bool = True) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timed_out = timed_out
        self.retryable = retryable


class BoundedBody:
    """A body as it comes, decoded as far as it may be long: a few kilobytes of gzip can stand for gigabytes.

    `encoding` is the answer's Content-Encoding. Only gzip is asked for; what else comes is refused, and so is one
    coding upon another, which multiplies.
    """

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        self._encoding = encoding.strip().lower()
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if self._encoding in ("gzip", "x-gzip") else None
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._chunks: list[bytes] = []

    def add(self, raw: bytes) -> None:
        """Raises `HttpError`."""
        if self._encoding not in ("", "identity", "gzip", "x-gzip"):
            raise HttpError(f"expected no Content-Encoding but gzip, found {self._encoding[:80]}", retryable=False)
        chunk = raw if self._gzip is None else self._decoded(self._gzip, raw)
        self._left -= max(len(chunk), len(raw))
        if self._left < 0:
            raise HttpError(f"expected at most {self._max_bytes} bytes, found more", retryable=False)
        self._chunks.append(chunk)

    def _decoded(self, gzip: "zlib._Decompress", raw: bytes) -> bytes:
        try:
            return gzip.decompress(raw, self._left + 1)
        except zlib.error as error:
            raise HttpError(f"expected gzip, found something else: {error}", retryable=False) from None

    def whole(self) -> bytes:
        """What came in all. Raises `HttpError` when its end is missing."""
        if self._gzip is not None and self._chunks and not self._gzip.eof:
            raise HttpError("the answer broke off: its gzip has no end")
        return b"".join(self._chunks)


def no_cookies() -> CookieJar:
    """A jar that keeps none: a client's requests are those of many owners, and none is to carry another's session."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _traced(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request, with where the attempt that makes it stands in a trace, unless its author says so."""
    found, trace = dict(headers), traceparent()
    if trace and TRACEPARENT not in map(str.lower, found):
        found[TRACEPARENT] = trace
    return found


class HttpClient(Protocol):
    """Sends requests. Redirects are answers like any other: they are not followed."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Raises `HttpError`."""


class HttpxClient:
    """An `HttpClient` over one pooled `httpx.AsyncClient`, made at the first request, as is its transport if that is
    given as a function.
    """

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        transport: "httpx.AsyncBaseTransport | Callable[[], httpx.AsyncBaseTransport] | None" = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._max_response_bytes = max_response_bytes
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        import httpx  # here, since `stepwell validate` and most tests never need it (0.1 s)

        client = self._client or self._open()
        try:
            async with client.stream(
                request.method.upper(), request.url, headers=_traced(request.headers), content=request.content
            ) as response:
                return HttpResponse(
                    status=response.status_code, headers=dict(response.headers), content=await self._read(response)
                )
        except httpx.TimeoutException as error:
            raise HttpError(f"no answer in time ({type(error).__name__})", timed_out=True) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError) as error:
            raise HttpError(f"the request cannot be sent: {error}", retryable=False) from error
        except httpx.HTTPError as error:
            raise HttpError(f"no answer: {error or type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close all connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def __aenter__(self) -> "HttpxClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _open(self) -> "httpx.AsyncClient":
        import httpx

        # No proxies and no .netrc from the environment: a definition says all there is to a request.
        transport = self._transport() if callable(self._transport) else self._transport
        self._client = httpx.AsyncClient(
            timeout=self._timeout_s,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
            cookies=no_cookies(),
            headers={"Accept-Encoding": "gzip"},
        )
        return self._client

    async def _read(self, response: "httpx.Response") -> bytes:
        import httpx

        body = BoundedBody(response.headers.get("content-encoding", ""), max_bytes=self._max_response_bytes)
        assert isinstance(response.stream, httpx.AsyncByteStream), "the client is an async one"
        async for raw in response.stream:  # not by httpx's own decoders: they bound nothing
            body.add(raw)
        return body.whole()

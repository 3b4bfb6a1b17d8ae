"""The guard as an httpx transport: the address that was checked is the address that is connected to.

The check stands where httpcore opens a connection, below its pool: there the name is resolved, once; every address of
it is checked; and one of those, not the name, is connected to. So DNS rebinding has nothing to swap, while TLS still
verifies the name. (To put the address into the URL instead would let one TLS connection serve two names.) httpx sends
each redirect through its transport, so each hop is checked like a first request.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import httpcore
import httpx

from stepwell.security.egress.refusal import EgressReason, EgressRefusedError
from stepwell.security.egress.resolving import Resolver, SystemResolver
from stepwell.security.egress.rules import EgressRules, Target, check_address, check_request_url, literal

MAX_CONNECTIONS: Final = 100
KEEPALIVE_S: Final = 5.0
RESOLVE_TIMEOUT_S: Final = 10.0


class GuardedTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient(transport=...)`; what a client does not send through it is not guarded.

    Raises `EgressRefusedError` for what may not be called, httpx's own errors for the rest. No proxy is used.
    """

    def __init__(
        self,
        rules: EgressRules,
        *,
        resolver: Resolver | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or httpx.create_ssl_context(trust_env=False),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_CheckedBackend(rules, resolver or SystemResolver()),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = check_request_url(request.url, self._rules)
        _check_host(request, target)
        _check_framing(request)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        try:
            answer = await self._pool.handle_async_request(_to_httpcore(request, target))
        except _ERRORS as error:
            raise _as_httpx(error, request) from error
        assert not isinstance(answer.stream, bytes)
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream, request),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses of a host; nothing else opens a connection for the pool."""

    def __init__(self, rules: EgressRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        # The scheme was checked with the URL; below it there is only TCP.
        target = Target("", host.strip("[]").rstrip(".").lower(), port)
        addresses = await self._addresses(target, timeout)
        for address in addresses:  # all of them, before any: one bad address among good ones is an attack
            check_address(target, address, self._rules)
        failed: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise EgressRefusedError(EgressReason.URL_INVALID, "expected a host, found a socket's path")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, target: Target, timeout: float | None) -> list[Any]:
        address = literal(target.host)
        if address is not None:
            return [address]
        try:
            async with asyncio.timeout(min(timeout or RESOLVE_TIMEOUT_S, RESOLVE_TIMEOUT_S)):
                return await self._resolver.resolve(target.host, target.port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{target.host} was not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError(f"{target.host} is not known") from None


class _Body(httpx.AsyncByteStream):
    """An answer's body, with httpx's errors."""

    def __init__(self, stream: Any, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except _ERRORS as error:
            raise _as_httpx(error, self._request) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)


def _as_httpx(error: Exception, request: httpx.Request) -> httpx.TransportError:
    """The two libraries name their errors alike."""
    kind = getattr(httpx, type(error).__name__, httpx.TransportError)
    found: httpx.TransportError = kind(str(error), request=request)
    return found


def _to_httpcore(request: httpx.Request, target: Target) -> httpcore.Request:
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=target.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions={"timeout": request.extensions.get("timeout", {})},
    )


def _check_host(request: httpx.Request, target: Target) -> None:
    """`Host` is the URL's host: else a shared server (or an excepted one) would be asked for another's pages."""
    said = request.headers.get_list("host")
    wanted = request.url.netloc.decode("ascii").lower()
    if [one.lower() for one in said] not in ([wanted], [f"{wanted}:{target.port}"]):
        raise EgressRefusedError(EgressReason.HOST_HEADER, "expected the URL's own host in the header Host")


def _check_framing(request: httpx.Request) -> None:
    """Where a request ends is said once, and its connection stays HTTP/1.1: connections are shared by all owners, and
    what one of them slips in behind a request would be answered to the next (RFC 9112 §11.2).
    """
    if "upgrade" in request.headers or {"transfer-encoding", "content-length"} <= request.headers.keys():
        raise EgressRefusedError(
            EgressReason.FRAMING_HEADER, "expected no header Transfer-Encoding and no Upgrade: the client says these"
        )

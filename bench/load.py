"""HTTP clients that cost little: each connection sends the same request again as soon as it has its answer."""

import asyncio
import time
from typing import Final, cast

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Answered:
    """What the connections have seen together."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.sent = 0
        self.latencies_s: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        """Whether one more request is to be sent."""
        self.sent += 1
        return self.sent <= self.until

    def answered(self, seconds: float) -> None:
        self.latencies_s.append(seconds)
        if len(self.latencies_s) == self.until:
            self.done.set_result(None)

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(AssertionError(why))


class Connection(asyncio.Protocol):
    """One connection. Every answer must be a 200 with a Content-Length, and hold `expected`."""

    def __init__(self, request: bytes, expected: bytes, together: Answered) -> None:
        self._request = request
        self._expected = expected
        self._together = together
        self._buffer = b""
        self._sent_at = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are of no class of asyncio
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(_END)
        if not end:
            return
        place = head.lower().index(_LENGTH) + len(_LENGTH)
        if len(body) < int(head[place:].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200") or self._expected not in body:
            self._together.fail(self._buffer[:1000].decode())
            return
        self._buffer = b""
        self._together.answered(time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting:  # one that has nothing more to ask may be closed: others may be slow
            self._together.fail(f"the server closed a connection: {error}")

    def _send(self) -> None:
        self._waiting = self._together.take()
        if self._waiting:
            self._sent_at = time.perf_counter()
            self._transport.write(self._request)


class Load:
    """How it went: requests a second, and the latency of each in seconds."""

    def __init__(self, per_s: float, latencies_s: list[float]) -> None:
        self.per_s = per_s
        self.latencies_s = latencies_s


async def load(port: int, request: bytes, *, expected: bytes, connections: int, requests: int) -> Load:
    """Send a request that many times over that many connections."""
    loop = asyncio.get_running_loop()
    together = Answered(requests)
    transports: list[asyncio.Transport] = []
    began = time.perf_counter()
    for _ in range(connections):
        transport, _ = await loop.create_connection(
            lambda: Connection(request, expected, together), "127.0.0.1", port
        )
        transports.append(transport)
    await together.done
    took_s = time.perf_counter() - began
    for transport in transports:
        transport.abort()
    return Load(requests / took_s, together.latencies_s)


def post(path: str, content_type: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}"
    return head.encode() + _END + body

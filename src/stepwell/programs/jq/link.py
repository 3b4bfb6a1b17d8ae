"""One worker as the pool sees it: what it was sent and has not answered, and how long the first takes."""

import asyncio
from collections.abc import Iterable
from typing import Protocol, cast

from stepwell.programs.jq import wire
from stepwell.programs.jq.process import WorkerProcess


class Request:
    """One evaluation. `deaths` counts the workers that died of it, or while they had it."""

    __slots__ = ("deaths", "future", "source", "text")

    def __init__(self, source: bytes, text: bytes, future: "asyncio.Future[wire.Reply]") -> None:
        self.source = source
        self.text = text
        self.future = future
        self.deaths = 0


class Owner(Protocol):
    """Who a link reports to."""

    def started(self, link: "Link") -> None: ...

    def answered(self, link: "Link", request: Request, reply: wire.Reply) -> None: ...

    def lost(self, link: "Link") -> None: ...


class Link(asyncio.Protocol):
    """A worker's stream. Requests are answered in order: the first of `in_flight` is the one that runs."""

    def __init__(self, process: WorkerProcess, owner: Owner, *, slow: bool, now: float) -> None:
        self.process = process
        self.slow = slow
        self.in_flight: dict[int, Request] = {}
        self.ready = False
        self.lost = False
        self.born_at = now
        self._owner = owner
        self._transport: asyncio.WriteTransport | None = None
        self._replies = wire.Replies()
        self._sent = 0
        self._answered = 0
        self._seen = -1
        self._seen_at = now
        self._seen_cpu_s = 0.0

    def send(self, requests: Iterable[Request]) -> None:
        """Hand over requests in one write."""
        frames = []
        for request in requests:
            self._sent += 1
            self.in_flight[self._sent] = request
            frames.append(wire.request(self._sent, request.source, request.text))
        if self._transport is not None:
            self._transport.write(b"".join(frames))

    def give_back(self) -> list[Request]:
        """Everything that has no answer, the running one first."""
        requests = list(self.in_flight.values())
        self.in_flight.clear()
        return requests

    def abandoned(self) -> bool:
        """Whether nobody waits any more for what it was sent."""
        return bool(self.in_flight) and all(request.future.done() for request in self.in_flight.values())

    def time_on(self, now: float) -> tuple[float, float]:
        """Seconds on the clock and of the processor since the running request was first seen here.

        Asked for now and then: an exact start would cost two system calls for each request.
        """
        if self._seen != self._answered or not self.in_flight:
            self._seen, self._seen_at, self._seen_cpu_s = self._answered, now, self.process.cpu_s()
            return 0.0, 0.0
        return now - self._seen_at, self.process.cpu_s() - self._seen_cpu_s

    def stop(self) -> None:
        """Kill the worker and forget its stream. `lost` is not reported for it."""
        self.lost = True
        self.process.kill()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        if self.lost:  # stopped while it was connecting
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._replies.feed(data):
                self._take(reply)
        except (ValueError, KeyError):
            self.process.kill()  # its stream ends then, and the loss is dealt with as any other

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._owner.lost(self)

    def _take(self, reply: wire.Reply) -> None:
        if self.lost:
            return
        if reply.kind == wire.READY:
            self.ready = True
            self._owner.started(self)
            return
        self._answered += 1
        self._owner.answered(self, self.in_flight.pop(reply.number), reply)

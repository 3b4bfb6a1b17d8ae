"""One worker as the pool sees it: what it was sent and has not answered, and how long the first takes."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from stepwell.programs.jq import wire
from stepwell.programs.jq.process import WorkerProcess

READ_BYTES: Final = 1 << 18


class Request:
    """One evaluation: the program, its input, the expression as its author knows it. `deaths` counts the workers that
    died of it, or while they had it.
    """

    __slots__ = ("deaths", "future", "input", "source", "text")

    def __init__(self, source: bytes, input: bytes, text: str, future: "asyncio.Future[wire.Reply]") -> None:
        self.source = source
        self.input = input
        self.text = text
        self.future = future
        self.deaths = 0


class Owner(Protocol):
    """Who a link reports to."""

    def started(self, link: "Link") -> None: ...

    def answered(self, link: "Link", request: Request, reply: wire.Reply) -> None: ...

    def caught_up(self, link: "Link", number: int, took_us: int) -> None:
        """All answers that a link has read were reported: so many, which took so long together."""

    def lost(self, link: "Link") -> None: ...


class Link:
    """A worker's stream. Requests are answered in order: the first of `in_flight` is the one that runs.

    The stream is written to and read at once, where an event loop's transport would wait for the end of its turn:
    workers are to have something to do while that is a long one.
    """

    def __init__(self, process: WorkerProcess, owner: Owner, *, slow: bool, now: float) -> None:
        self.process = process
        self.slow = slow
        self.in_flight: deque[Request] = deque()
        self.ready = False
        self.lost = False
        self.born_at = now
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._stream = process.stream
        self._stream.setblocking(False)
        self._loop.add_reader(self._stream, self._readable)
        self._unwritten = bytearray()
        self._replies = wire.Replies()
        self._source = b""
        """The program of the request sent last."""
        self._answered = 0
        self._seen = -1
        self._seen_at = now
        self._seen_cpu_s = 0.0

    def send(self, requests: Iterable[Request]) -> None:
        """Hand over requests in one write."""
        frames: list[bytes] = []
        for request in requests:
            self.in_flight.append(request)
            known = request.source == self._source
            self._source = request.source
            frames += wire.request(b"" if known else request.source, request.input)
        waits = bool(self._unwritten)
        self._unwritten += b"".join(frames)
        if not waits:
            self._write()
            if self._unwritten:
                self._loop.add_writer(self._stream, self._writable)

    def take_answers(self) -> None:
        """Tell the owner what was answered so far: now, and not with the next turn of the loop."""
        try:
            data = self._stream.recv(READ_BYTES)
        except OSError:
            return
        self._take(data)

    def give_back(self) -> list[Request]:
        """Everything that has no answer, the running one first."""
        requests = list(self.in_flight)
        self.in_flight.clear()
        return requests

    def abandoned(self) -> bool:
        """Whether nobody waits any more for what it was sent."""
        return bool(self.in_flight) and all(request.future.done() for request in self.in_flight)

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
        self._loop.remove_reader(self._stream)
        self._loop.remove_writer(self._stream)
        self._stream.close()

    def _readable(self) -> None:
        try:
            data = self._stream.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # its end, too
            data = b""
        if data:
            self._take(data)
        elif not self.lost:
            self.lost = True
            self._owner.lost(self)

    def _writable(self) -> None:
        self._write()
        if not self._unwritten:
            self._loop.remove_writer(self._stream)

    def _write(self) -> None:
        """As much as goes at once."""
        try:
            written = self._stream.send(self._unwritten)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            written = len(self._unwritten)  # the worker is gone, which is noticed when its stream is read
        del self._unwritten[:written]

    def _take(self, data: bytes) -> None:
        number = took_us = 0
        try:
            for reply in self._replies.feed(data):
                if self.lost:
                    break
                if reply.kind == wire.READY:
                    self.ready = True
                    self._owner.started(self)
                else:
                    number += 1
                    took_us += reply.took_us
                    self._owner.answered(self, self.in_flight.popleft(), reply)
        except (ValueError, IndexError):
            self.process.kill()  # its stream ends then, and the loss is dealt with as any other
        self._answered += number
        self._owner.caught_up(self, number, took_us)

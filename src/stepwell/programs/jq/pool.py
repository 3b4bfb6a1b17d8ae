"""The worker processes and the requests that wait for them: who runs what, for how long, and what follows a death.

Two lanes, so that expressions that never end cannot keep the others from running:

- **fast**: the worker with the least to do takes what waits, several requests in one write. One that takes longer
  than `slow_after_s` moves to the other lane: its worker is killed (evaluation has no effects, it can begin again),
  what waited behind it on that worker goes first elsewhere.
- **slow**: few workers with a lower priority, one request each, the whole `time_s`. Programs that were slow lately
  go there at once.

A worker that dies by itself is replaced, and the request it had is tried once more: its memory may have been full
of another's leftovers, or somebody may have killed it. The second death is blamed on the request.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from stepwell.programs.jq.errors import JqClosedError, JqError, JqUnavailableError
from stepwell.programs.jq.limits import Limits
from stepwell.programs.jq.link import Link, Request
from stepwell.programs.jq.process import WorkerProcess
from stepwell.programs.jq.wire import Reply

SPARE: Final = 1
"""Workers beyond the wanted number that are kept warm: a start takes 30 ms, taking an idle one nothing."""

LOOK_EVERY_S: Final = 0.01
BATCH: Final = 32
"""Requests in one write at most: enough to save most of the system calls."""
BATCH_US: Final = 1_000
"""What a batch takes, as far as that can be told: short ones are no work for two, long ones are spread at once."""
SMOOTHING: Final = 0.05

STARVED: Final = 4
"""A request that gets little of the processor is not slow: it may take so many times longer by the clock."""

START_S: Final = 10.0
MAX_FAILED_STARTS: Final = 3
REMEMBERED: Final = 256
REMEMBER_S: Final = 60.0


class Pool:
    """Workers for one event loop. They are started with the first request and run until `close`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._links: dict[Link, None] = {}
        """In the order of their birth: the first that is idle works."""
        self._waiting: deque[Request] = deque()
        self._waiting_slow: deque[Request] = deque()
        self.full = False
        """Whether so much waits that `room` is to be awaited before any more is submitted."""
        self._outside: deque[asyncio.Future[None]] = deque()
        """Callers that wait for a place."""
        self._coming = 0
        """Of those, how many were given one and have not submitted yet."""
        self._gathering = False
        """Whether what waits is handed out with the next turn of the loop."""
        self._handing_out = False
        self._usual_us = BATCH_US / BATCH
        """What a request of the fast lane took lately."""
        self._slow_until: OrderedDict[bytes, float] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = {False: 0, True: 0}
        self._failed_starts = 0
        self._watching = False
        self._closed = False

    def pids(self) -> list[int]:
        """The worker processes that run now."""
        return [link.process.pid for link in self._links]

    @property
    def links(self) -> Iterable[Link]:
        """The streams of the workers that run now; for tests."""
        return self._links

    async def open(self) -> None:
        """Start the workers now, and wait for the first. Raises `JqUnavailableError`."""
        await self.submit(b'"ready"', b"null", "")

    async def room(self) -> None:
        """Wait for a place, in order of arrival. It is to be taken at once."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._outside.append(turn)
        self._gather()
        try:
            await turn
        finally:
            if turn.done() and not turn.cancelled():
                self._coming -= 1
            if self._outside:  # in case this place is not taken after all
                self._gather()

    def submit(self, source: bytes, input: bytes, text: str) -> "asyncio.Future[Reply]":
        """Have a program run on an input. The future gets its reply, `JqError` or `JqUnavailableError`."""
        if self._closed:
            raise JqClosedError
        future: asyncio.Future[Reply] = self._loop.create_future()
        request = Request(source, input, text, future)
        if self._slow_until and self._is_slow(source):
            self._waiting_slow.append(request)
            self._dispatch()
            return future
        self._waiting.append(request)
        number = len(self._waiting)
        if number >= self._limits.max_waiting:
            self.full = True
        if number % BATCH == 0 or (number == 1 and self._at_rest()):
            self._dispatch()
        else:
            self._gather()
        return future

    async def close(self) -> None:
        """Stop all workers and wait until they are gone. Whoever waits for a result is cancelled."""
        self._closed = True
        waiting = [*self._waiting, *self._waiting_slow]
        for link in tuple(self._links):
            waiting += link.give_back()
            self._end(link)
        self._waiting.clear()
        self._waiting_slow.clear()
        for turn in self._outside:
            turn.cancel()
        for request in waiting:
            request.future.cancel()  # not an error: one would be recorded as the failure of a run
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the links report

    def started(self, _link: Link) -> None:
        self._failed_starts = 0
        self._dispatch()

    def answered(self, link: Link, request: Request, reply: Reply) -> None:
        if not request.future.done():
            request.future.set_result(reply)
        if reply.retires:
            self._waiting.extendleft(reversed(link.give_back()))
            self._end(link)
            self._gather()

    def caught_up(self, link: Link, number: int, took_us: int) -> None:
        if number and not link.slow:
            self._usual_us += (1 - (1 - SMOOTHING) ** number) * (took_us / number - self._usual_us)
        if self._waiting or self._waiting_slow:
            self._dispatch()

    def lost(self, link: Link) -> None:
        """A worker died, not by our hand."""
        unanswered = link.give_back()
        self._waiting.extendleft(reversed(unanswered[1:]))
        self._end(link, guilty=unanswered[0] if unanswered else None)
        if link.ready:  # else it is replaced when it is known how it ended
            self._dispatch()

    # Who runs what

    def _at_rest(self) -> bool:
        """Whether no fast worker has anything to do."""
        return not any(link.in_flight for link in self._links if not link.slow)

    def _gather(self) -> None:
        """Hand out with the next turn of the loop: others may submit until then."""
        if not self._gathering:
            self._gathering = True
            self._loop.call_soon(self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Hand out what waits, as far as workers take more; keep their number up."""
        if self._handing_out:  # whoever does so goes on
            return
        self._handing_out = True
        try:
            self._hand_out()
            self._hand_out_slow()
        finally:
            self._handing_out = False
        if not self._closed:
            self._let_in()
            self._keep_up()

    def _hand_out(self) -> None:
        """To the first worker that is idle, else to the one with the least to do; each has a batch ahead at most."""
        waiting = self._waiting
        for link in tuple(self._links) if waiting else ():
            if link.in_flight and not link.slow:
                link.take_answers()  # it may be idle
        while waiting:
            size = max(1, min(BATCH, int(BATCH_US / self._usual_us))) if self._usual_us else BATCH
            links = [link for link in self._links if link.ready and not link.slow and len(link.in_flight) <= size]
            if not links:
                return  # they will ask for more
            if batch := _take(waiting, size):
                min(links, key=_load).send(batch)
                self._watch()

    def _hand_out_slow(self) -> None:
        idle = [link for link in self._links if link.slow and link.ready and not link.in_flight]
        for link in idle:
            if batch := _take(self._waiting_slow, 1):
                link.send(batch)
                self._watch()

    def _places(self) -> int:
        return self._limits.max_waiting - len(self._waiting) - len(self._waiting_slow) - self._coming

    def _let_in(self) -> None:
        """Places that have become free go to those that wait for one."""
        while self._outside and self._places() > 0:
            turn = self._outside.popleft()
            if not turn.done():
                self._coming += 1
                turn.set_result(None)
        self.full = bool(self._outside) or self._places() <= 0

    def _keep_up(self) -> None:
        """Start what is missing. Slow workers only when something waits for them."""
        slow = sum(link.slow for link in self._links) + self._starting[True]
        fast = sum(not link.slow for link in self._links) + self._starting[False]
        if self._failed_starts >= MAX_FAILED_STARTS and not self._waiting and not self._waiting_slow:
            return  # no endless attempts: the next request makes one
        for _ in range(fast, self._limits.workers + SPARE):
            self._start(slow=False)
        for _ in range(slow, min(slow + len(self._waiting_slow), self._limits.slow_workers)):
            self._start(slow=True)

    def _start(self, *, slow: bool) -> None:
        self._starting[slow] += 1
        self._background(self._connect(slow=slow))

    async def _connect(self, *, slow: bool) -> None:
        """Start a worker. It is idle when it says that it is ready."""
        self._starting[slow] -= 1
        if self._closed:
            return
        try:
            link = Link(WorkerProcess(self._limits), self, slow=slow, now=self._loop.time())
        except JqUnavailableError as error:
            self._start_failed(error.reason)
            return
        self._links[link] = None
        if slow:
            link.process.step_back()
        self._watch()

    def _is_slow(self, source: bytes) -> bool:
        until = self._slow_until.get(source)
        return until is not None and until > self._loop.time()

    # How long

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._loop.call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Look at every worker that has something to do; again a little later while there is one."""
        now = self._loop.time()
        busy = [link for link in self._links if link.in_flight or not link.ready]
        for link in busy:
            self._look_at(link, now)
        self._watching = False
        if busy:
            self._watch()

    def _look_at(self, link: Link, now: float) -> None:
        if not link.ready:
            if now - link.born_at > START_S:
                link.process.kill()
            return
        seconds, cpu_s = link.time_on(now)
        if (link.slow and link.abandoned()) or (link.slow and _is_over(seconds, cpu_s, self._limits.time_s)):
            self._cut(link)
        elif not link.slow and _is_over(seconds, cpu_s, self._limits.slow_after_s):
            self._move(link, now)

    def _move(self, link: Link, now: float) -> None:
        """The request that a worker of the fast lane is at belongs into the slow one."""
        slow, *innocent = link.give_back()
        self._end(link)
        self._slow_until[slow.source] = now + REMEMBER_S
        self._slow_until.move_to_end(slow.source)
        if len(self._slow_until) > REMEMBERED:
            self._slow_until.popitem(last=False)
        self._waiting.extendleft(reversed(innocent))
        # All that run the same program go along: else each of them would cost a worker before it is known.
        alike = [request for request in self._waiting if request.source == slow.source]
        self._waiting = deque(request for request in self._waiting if request.source != slow.source)
        self._waiting_slow.extend((slow, *alike))
        self._dispatch()

    def _cut(self, link: Link) -> None:
        """The time of a request is over."""
        limit = f"a result within {self._limits.time_s:g} s"
        for request in link.give_back():
            _fail(request, JqError("none", expected=limit))
        self._end(link)
        self._dispatch()

    # Deaths

    def _end(self, link: Link, guilty: Request | None = None) -> None:
        """Kill a worker, if need be, and see it off."""
        self._links.pop(link, None)
        link.stop()
        self._background(self._bury(link, guilty))

    async def _bury(self, link: Link, guilty: Request | None) -> None:
        ending = await asyncio.to_thread(link.process.reap)
        if not link.ready and not self._closed:
            self._start_failed(f"it ended with {ending}")
        if guilty is not None:
            self._try_again(guilty, ending)

    def _try_again(self, request: Request, ending: str) -> None:
        """Once more after the first death, and before all others: it has waited long enough."""
        request.deaths += 1
        if self._closed:
            request.future.cancel()
            return
        if request.deaths > 1:
            megabytes = self._limits.memory_bytes // (1024 * 1024)
            _fail(
                request,
                JqError(f"that its worker ended by {ending}", expected=f"to get along with {megabytes} MB of memory"),
            )
            return
        self._waiting.appendleft(request)
        self._dispatch()

    def _start_failed(self, reason: str) -> None:
        """Try again; after some failures in a row, say so to those that wait for nothing else."""
        self._failed_starts += 1
        if self._failed_starts < MAX_FAILED_STARTS:
            self._dispatch()
            return
        for slow, waiting in ((False, self._waiting), (True, self._waiting_slow)):
            if not any(link.ready for link in self._links if link.slow is slow):
                for request in waiting:
                    _fail(request, JqUnavailableError(reason))
                waiting.clear()

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _load(link: Link) -> int:
    return len(link.in_flight)


def _is_over(seconds: float, cpu_s: float, limit_s: float) -> bool:
    """Whether a request had its time: by the clock, if it had the processor for half of it."""
    return seconds >= limit_s and (cpu_s >= limit_s / 2 or seconds >= STARVED * limit_s)


def _take(waiting: deque[Request], most: int) -> list[Request]:
    """The first requests that somebody still waits for."""
    batch: list[Request] = []
    while waiting and len(batch) < most:
        request = waiting.popleft()
        if not request.future.done():
            batch.append(request)
    return batch


def _fail(request: Request, error: JqError | JqUnavailableError) -> None:
    if isinstance(error, JqError):
        error.text = request.text
    if not request.future.done():
        request.future.set_exception(error)

"""The worker processes and the requests that wait for them: who runs what, for how long, and what follows a death.

Two lanes, so that expressions that never end cannot keep the others from running:

- **fast**: any idle worker takes what waits, several requests in one write. One that takes longer than
  `slow_after_s` moves to the other lane: its worker is killed (evaluation has no effects, it can begin again), what
  waited behind it on that worker goes first elsewhere.
- **slow**: few workers with a lower priority, one request each, the whole `time_s`. Programs that were slow lately
  go there at once.

A worker that dies by itself is replaced, and the request it had is tried once more: its memory may have been full
of another's leftovers, or somebody may have killed it. The second death is blamed on the request.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Coroutine
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
"""Requests in one write: enough to save most of the system calls, few enough to spread over the workers."""

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
        self._room = asyncio.Semaphore(limits.max_waiting)
        self._loop = asyncio.get_running_loop()
        self._links: set[Link] = set()
        self._idle: list[Link] = []
        self._idle_slow: list[Link] = []
        self._waiting: deque[Request] = deque()
        self._waiting_slow: deque[Request] = deque()
        self._slow_until: OrderedDict[bytes, float] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = {False: 0, True: 0}
        self._failed_starts = 0
        self._watching = False
        self._closed = False

    @property
    def room(self) -> asyncio.Semaphore:
        """Held by a caller while its request is under way: bounds what waits, in order of arrival."""
        return self._room

    def pids(self) -> list[int]:
        """The worker processes that run now."""
        return [link.process.pid for link in self._links]

    async def open(self) -> None:
        """Start the workers now, and wait for the first. Raises `JqUnavailableError`."""
        ready: asyncio.Future[Reply] = self._loop.create_future()
        self.submit(b'"ready"', b"null", ready)
        await ready

    def submit(self, source: bytes, text: bytes, future: "asyncio.Future[Reply]") -> None:
        """Have a program run on an input. The future gets its reply, `JqError` or `JqUnavailableError`."""
        if self._closed:
            raise JqClosedError
        request = Request(source, text, future)
        if self._slow_until and self._is_slow(source):
            self._waiting_slow.append(request)
        elif self._idle and not self._waiting:
            self._idle.pop().send((request,))
            self._watch()
            return
        else:
            self._waiting.append(request)
            if self._links:
                return  # all of them are busy or starting, and will ask for more
        self._dispatch()

    async def close(self) -> None:
        """Stop all workers and wait until they are gone. Whoever waits for a result is cancelled."""
        self._closed = True
        waiting = [*self._waiting, *self._waiting_slow]
        for link in tuple(self._links):
            waiting += link.give_back()
            self._end(link)
        self._waiting.clear()
        self._waiting_slow.clear()
        for request in waiting:
            request.future.cancel()  # not an error: one would be recorded as the failure of a run
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the links report

    def started(self, link: Link) -> None:
        self._failed_starts = 0
        self._free(link)

    def answered(self, link: Link, request: Request, reply: Reply) -> None:
        if not request.future.done():
            request.future.set_result(reply)
        if reply.retires:
            self._waiting.extendleft(reversed(link.give_back()))
            self._end(link)
            self._dispatch()
        elif not link.in_flight:
            self._free(link)

    def lost(self, link: Link) -> None:
        """A worker died, not by our hand."""
        unanswered = link.give_back()
        self._waiting.extendleft(reversed(unanswered[1:]))
        self._end(link, guilty=unanswered[0] if unanswered else None)
        if link.ready:  # else it is replaced when it is known how it ended
            self._dispatch()

    # Who runs what

    def _free(self, link: Link) -> None:
        """A worker has nothing to do."""
        waiting = self._waiting_slow if link.slow else self._waiting
        (self._idle_slow if link.slow else self._idle).append(link)
        if waiting:
            self._dispatch()

    def _dispatch(self) -> None:
        """Hand out what waits, as far as workers are idle; keep their number up."""
        self._hand_out(self._waiting, self._idle, BATCH)
        self._hand_out(self._waiting_slow, self._idle_slow, 1)
        if not self._closed:
            self._keep_up()

    def _hand_out(self, waiting: deque[Request], idle: list[Link], most: int) -> None:
        while waiting and idle:
            share = min(most, 1 + len(waiting) // len(idle))
            if batch := _take(waiting, share):
                idle.pop().send(batch)
                self._watch()

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
        self._links.add(link)
        if slow:
            link.process.step_back()
        self._watch()
        await self._loop.create_unix_connection(lambda: link, sock=link.process.stream)

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
        self._links.discard(link)
        for idle in (self._idle, self._idle_slow):
            if link in idle:
                idle.remove(link)
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


def _fail(request: Request, error: Exception) -> None:
    if not request.future.done():
        request.future.set_exception(error)

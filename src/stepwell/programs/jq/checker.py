"""Checking expressions, synchronously: a definition is checked as a whole, by code that cannot wait.

A worker of its own, because the text may be hostile (jq's compiler can be made to use any amount of memory or to
crash), and because asking one of the pool would need the event loop that the caller blocks. It is started with the
first check.
"""

import threading
import time
from collections.abc import Collection
from functools import lru_cache

from stepwell.programs.jq import source, wire
from stepwell.programs.jq.errors import JqUnavailableError
from stepwell.programs.jq.limits import Limits
from stepwell.programs.jq.process import WorkerProcess

_READ_BYTES = 65536


class _DiedError(Exception):
    """The worker ended or was stopped; `found` says how. `late`: it was stopped, being asked again cannot help."""

    def __init__(self, found: str, *, late: bool = False) -> None:
        super().__init__(found)
        self.found = found
        self.late = late


class Checker:
    """Compiles expressions without running them. Safe to use from several threads, one at a time gets through."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()  # one stream: two callers would read each other's replies
        self.process: WorkerProcess | None = None
        self._replies = wire.Replies()
        self._known = lru_cache(maxsize=1024)(self._check)

    def check(self, text: str, names: Collection[str]) -> str | None:
        """What is wrong with a text, or None. Raises `JqUnavailableError`."""
        if problem := source.fault(text, names, self._limits.text_characters):
            return problem
        try:
            with self._lock:
                return self._known(text, tuple(sorted(names)))
        except _DiedError as died:  # not remembered, unlike jq's own word
            return f"expected an expression that can be compiled, found {died.found}"

    def close(self) -> None:
        """End the worker, if there is one. The next check starts another."""
        with self._lock:
            self._stop()

    def _check(self, text: str, names: tuple[str, ...]) -> str | None:
        programs = (source.program(text, names), source.balance(text, names))
        replies = map(self._compile, programs)
        return next((problem for reply in replies if (problem := _problem(reply, text, names))), None)

    def _compile(self, program: bytes) -> wire.Reply:
        """A worker's word on a program. A second worker is asked when the first one dies of it (or before it)."""
        try:
            return self._ask(program)
        except _DiedError as died:
            if died.late:
                raise
        return self._ask(program)

    def _ask(self, program: bytes) -> wire.Reply:
        process = self.process or self._begin()
        try:
            process.stream.settimeout(self._limits.time_s)
            process.stream.sendall(b"".join(wire.request(program, b"")))
            reply = self._read(process, self._limits.time_s)
        except OSError:
            raise _DiedError(f"that a worker ended by {self._stop()}") from None
        if reply.retires:
            self._stop()
        return reply

    def _begin(self) -> WorkerProcess:
        process = self.process = WorkerProcess(self._limits)
        self._replies = wire.Replies()
        try:
            self._read(process, 10 * self._limits.time_s)
        except OSError:
            raise JqUnavailableError(f"it ended with {self._stop()}") from None
        except _DiedError as died:
            raise JqUnavailableError(died.found) from None
        return process

    def _read(self, process: WorkerProcess, limit_s: float) -> wire.Reply:
        """The next reply. Raises `_DiedError` when it takes too long, `OSError` when the worker is gone."""
        until = time.monotonic() + limit_s
        while (left := until - time.monotonic()) > 0:
            process.stream.settimeout(left)
            try:
                data = process.stream.recv(_READ_BYTES)
            except TimeoutError:
                break
            if not data:
                raise ConnectionResetError
            if replies := list(self._replies.feed(data)):
                return replies[0]
        self._stop()
        raise _DiedError(f"that it takes longer than {limit_s:g} s", late=True)

    def _stop(self) -> str:
        process, self.process = self.process, None
        if process is None:
            return "nothing"
        process.stream.close()
        process.kill()
        return process.reap()


def _problem(reply: wire.Reply, text: str, names: Collection[str]) -> str | None:
    match reply.kind:
        case wire.MALFORMED:
            return source.complaint(reply.payload.decode("utf-8", "replace"), text, names)
        case wire.NO_MEMORY:
            return "expected an expression that can be compiled, found that it needs too much memory"
    return None  # with no input, nothing ran

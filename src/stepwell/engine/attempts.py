"""One attempt of a step: what the activity sees, and what its outcome is as a record."""

import asyncio
import math
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from stepwell.core import commands as c
from stepwell.core.errors import Problem, ProgramError, StepFailure, problem
from stepwell.core.history import NULL
from stepwell.core.program import Work
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.core.trace import attempt_span, under
from stepwell.store.model import StreamItem

_encode = msgspec.json.encode
decode = msgspec.json.decode
_PLAIN: Final = frozenset({str, int, bool})


def recorded(value: Any) -> tuple[Raw, Any]:
    """A value as it goes on record, and as the record gives it back: the same on the first pass and after recovery.

    Raises `ProgramError` for what is not JSON.
    """
    if value is None:
        return NULL, None
    try:
        raw = _encode(value)
    except (TypeError, ValueError, RecursionError) as fault:
        raise ProgramError(problem("validation", f"expected a JSON value: {fault}", retryable=False)) from None
    if type(value) in _PLAIN:
        return Raw(raw), value
    found = decode(raw)
    # JSON has neither NaN nor infinity, and the encoder writes null for them: what was given would be lost unseen.
    if b"null" in raw and found != value and (place := _not_finite(value)) is not None:
        text = f"expected a JSON value: a finite number at {place or 'its top'}, found NaN or infinity"
        raise ProgramError(problem("validation", text, retryable=False))
    return Raw(raw), found


def _not_finite(value: Any) -> str | None:
    """The JSON pointer of a number that is none, if there is one in what the encoder sees."""
    waiting = [(msgspec.to_builtins(value, enc_hook=lambda _: None), "")]
    while waiting:
        item, place = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return place
        if isinstance(item, dict):
            waiting += [(inner, f"{place}/{_escaped(name)}") for name, inner in item.items()]
        elif isinstance(item, list | tuple):
            waiting += [(inner, f"{place}/{number}") for number, inner in enumerate(item)]
    return None


def _escaped(name: Any) -> str:
    """A name as part of a JSON pointer (RFC 6901 §3)."""
    return str(name).replace("~", "~0").replace("/", "~1")


class Home(Protocol):
    """Where an attempt belongs: the driver of its run."""

    run_id: str
    loop: asyncio.AbstractEventLoop
    thread: int
    """The identity of the loop's thread."""

    @property
    def state(self) -> State:
        """The fold of the run."""

    def publish(self, item: StreamItem) -> None:
        """Put an item on the run's stream."""

    def durable(self) -> Awaitable[None]:
        """Comes true when everything so far is on disk; raises the store's fault."""

    def late(self, command: c.ProgramCommand) -> None:
        """Take the report of an attempt that nobody waits for any more."""


class AttemptContext(msgspec.Struct):
    """What an activity gets to see of its attempt (`core.program.StepContext`)."""

    _home: Any  # a Home, which msgspec has no type for
    run_id: str
    key: str
    attempt: int
    _generation: int
    _deadline: asyncio.Timeout | None = None
    _heartbeat_s: float = 0.0

    @property
    def idempotency_key(self) -> str:
        return f"{self.run_id}/{self.key}/{self._generation}"

    @property
    def traceparent(self) -> str:
        home: Home = self._home
        trace = home.state.trace
        return under(trace, attempt_span(self.run_id, self.key, self.attempt)) if trace else ""

    @property
    def status(self) -> Status:
        home: Home = self._home
        return home.state.phase

    def heartbeat(self) -> None:
        self._on_loop(self._move_deadline)

    def think(self, text: str) -> None:
        self._put("thinking", text)

    def progress(self, fraction: float) -> None:
        self._put("progress", fraction)

    def publish(self, item: Any) -> None:
        self._put("item", item)

    async def saved(self) -> None:
        await self._home.durable()

    def late(self, value: Any = None, error: BaseException | None = None) -> None:
        if error is None:
            try:
                output, _ = recorded(value)
            except ProgramError as fault:
                error = fault
        if error is None:
            self._on_loop(self._home.late, c.CompleteStep(key=self.key, attempt=self.attempt, output=output))
        else:
            failed = c.FailAttempt(key=self.key, attempt=self.attempt, error=problem_of(error))
            self._on_loop(self._home.late, failed)

    def _put(self, kind: str, data: Any) -> None:
        if type(data) is not Raw:
            _, data = recorded(data)
        item = StreamItem(type=kind, data=data, key=self.key, attempt=self.attempt)
        self._on_loop(self._home.publish, item)

    def _on_loop(self, callback: Callable[..., None], *values: Any) -> None:
        """At once on the loop's own thread, so that order is kept; soon from any other."""
        if threading.get_ident() == self._home.thread:
            callback(*values)
        else:
            self._home.loop.call_soon_threadsafe(callback, *values)

    def _move_deadline(self) -> None:
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(self._home.loop.time() + self._heartbeat_s)

    async def run_timed(self, work: Work, timeout_s: float | None, heartbeat_timeout_s: float | None) -> Any:
        """Do the work within its time limits; raises what it raises, or `StepFailure` on a time-out."""
        total, silence = asyncio.timeout(timeout_s), asyncio.timeout(heartbeat_timeout_s)
        try:
            async with total, silence:
                if heartbeat_timeout_s is not None:
                    self._deadline, self._heartbeat_s = silence, heartbeat_timeout_s
                return await work(self)
        except TimeoutError:
            if total.expired():
                text = f"the attempt took longer than {timeout_s:g} s"
                raise StepFailure(problem("timeout", text, status=408, title="Step time-out")) from None
            if silence.expired():
                text = f"no heartbeat for {heartbeat_timeout_s:g} s"
                raise StepFailure(problem("timeout", text, status=408, title="Heartbeat time-out")) from None
            raise


def problem_of(fault: BaseException) -> Problem:
    """What went wrong, as a record. Text that no JSON takes (a lone surrogate of `os.fsdecode`) is replaced."""
    found = fault.problem if isinstance(fault, StepFailure | ProgramError) else _unforeseen(fault)
    try:
        _encode(found)
    except (TypeError, ValueError, RecursionError):
        texts = {name: _clean(getattr(found, name)) for name in ("type", "title", "detail", "instance")}
        return msgspec.structs.replace(found, data=None, **texts)
    return found


def _clean(text: Any) -> str:
    return str(text).encode("utf-8", "replace").decode()


def _unforeseen(fault: BaseException) -> Problem:
    lines = traceback.format_exception(fault)[-3:]
    return problem(
        "runtime",
        str(fault) or type(fault).__name__,
        title=type(fault).__name__,
        data={"traceback": "".join(lines)[-2000:]},
    )

"""One attempt of a step: what the activity sees, and what its outcome is as a record."""

import asyncio
import traceback
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from stepwell.core.errors import Problem, ProgramError, StepFailure, problem
from stepwell.core.history import NULL
from stepwell.core.program import Work
from stepwell.store.port import StreamItem

_encode = msgspec.json.encode
decode = msgspec.json.decode
_PLAIN: Final = frozenset({str, int, bool})

Publish = Callable[[StreamItem], None]


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
    return Raw(raw), value if type(value) in _PLAIN else decode(raw)


class AttemptContext:
    """What an activity gets to see of its attempt (`core.program.StepContext`)."""

    __slots__ = ("_deadline", "_heartbeat_s", "_loop", "_publish", "attempt", "idempotency_key", "key", "run_id")

    def __init__(self, *, run_id: str, key: str, attempt: int, idempotency_key: str, publish: Publish) -> None:
        self.run_id = run_id
        self.key = key
        self.attempt = attempt
        self.idempotency_key = idempotency_key
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.Timeout | None = None
        self._heartbeat_s = 0.0

    def heartbeat(self) -> None:
        self._loop.call_soon_threadsafe(self._move_deadline)

    def think(self, text: str) -> None:
        self._put("thinking", text)

    def progress(self, fraction: float) -> None:
        self._put("progress", fraction)

    def publish(self, item: Any) -> None:
        self._put("item", item)

    def _put(self, kind: str, data: Any) -> None:
        _, data = recorded(data)
        item = StreamItem(type=kind, data=data, key=self.key, attempt=self.attempt)
        self._loop.call_soon_threadsafe(self._publish, item)

    def _move_deadline(self) -> None:
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(self._loop.time() + self._heartbeat_s)

    async def run(self, work: Work, *, timeout_s: float | None, heartbeat_timeout_s: float | None) -> Any:
        """Do the work within its time limits; raises what it raises, or `StepFailure` on a time-out."""
        try:
            if timeout_s is None and heartbeat_timeout_s is None:
                return await work(self)
            return await self._run_timed(work, timeout_s, heartbeat_timeout_s)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled us: the activity raised it by itself, and that is a failure like any other.
            raise StepFailure(problem("runtime", "the activity cancelled itself", title="CancelledError")) from None

    async def _run_timed(self, work: Work, timeout_s: float | None, heartbeat_timeout_s: float | None) -> Any:
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
    """What went wrong, as a record."""
    if isinstance(fault, StepFailure | ProgramError):
        return fault.problem
    lines = traceback.format_exception(fault)[-3:]
    return problem(
        "runtime",
        str(fault) or type(fault).__name__,
        title=type(fault).__name__,
        data={"traceback": "".join(lines)[-2000:]},
    )

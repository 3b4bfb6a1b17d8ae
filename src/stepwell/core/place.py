"""What is being done in this task or thread: set by whoever does it, read by the log and by what calls elsewhere."""

from contextvars import ContextVar
from typing import Final

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A run's program, or an attempt of one of its steps; between steps `key` is "" and `attempt` 0. It refers to
    nothing that does the work: a timer may keep it for long after that.
    """

    run_id: str
    key: str = ""
    attempt: int = 0
    traceparent: str = ""
    """What calls to elsewhere carry along (`core.trace`); "" when the run is not traced."""


TRACEPARENT: Final = "traceparent"
"""The name of the header of HTTP requests and of messages (W3C Trace Context §3.2.1)."""
PLACE: Final[ContextVar[Place | None]] = ContextVar("stepwell_place", default=None)


def traceparent() -> str:
    """Of what is being done here; "" when that is not traced."""
    place = PLACE.get()
    return "" if place is None else place.traceparent

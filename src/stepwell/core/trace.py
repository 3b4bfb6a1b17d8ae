"""Where runs, steps and attempts stand in a distributed trace (W3C Trace Context, level 2, §3.2). Pure.

Their span ids are made of what is on record of them, so every process that ever drives a run names them the same: a
run that is taken up after a crash goes on in its trace, and no span has to be kept open.
"""

import re
from hashlib import blake2b
from typing import Final
from uuid import UUID

NO_SPAN: Final = "0" * 16
"""In place of a parent, for a run that begins a trace."""
_FORM: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Whether a text is a traceparent as runs keep it: of version 00, the parent may be `NO_SPAN`."""
    return _FORM.fullmatch(text) is not None


def begun(run_id: str, *, sampled: bool) -> str:
    """Of a run that begins a trace. That has the run's id, whose last 62 bits are random (§3.2.2.3)."""
    return f"00-{UUID(run_id).hex}-{NO_SPAN}-{'01' if sampled else '00'}"


def under(trace: str, span_id: str) -> str:
    """The traceparent of what happens within a span of that trace; "" where there is none."""
    return f"{trace[:36]}{span_id}{trace[52:]}" if trace else ""


def parts_of(trace: str) -> tuple[str, str, bool]:
    """Trace id, parent's span id and whether it is sampled."""
    return trace[3:35], trace[36:52], bool(int(trace[53:55], 16) & 1)


def run_span(run_id: str, generation: int) -> str:
    """The span of a run; a retry or a roll-back begins another one."""
    return _id("run", run_id, str(generation))


def step_span(run_id: str, key: str, opened_at: float) -> str:
    """The span of a step, waits too; one that is forgotten and opened anew is another one."""
    return _id("step", run_id, key, repr(opened_at))


def attempt_span(run_id: str, key: str, attempt: int) -> str:
    """The span of an attempt: these are counted on when a step is opened anew."""
    return _id("attempt", run_id, key, str(attempt))


def _id(*parts: str) -> str:
    found = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return found if found != NO_SPAN else "1".rjust(16, "0")

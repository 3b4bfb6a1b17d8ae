"""What every part of the cluster demo uses: it says when something happened, waits for it, and fails."""

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 120.0

T = TypeVar("T")

_began = time.monotonic()


class DemoError(Exception):
    """Something did not come out as it should."""


def since_start_s() -> float:
    return time.monotonic() - _began


def say(text: str, *, at_s: float | None = None) -> None:
    """Now, or of what happened at `at_s`."""
    print(f"{since_start_s() if at_s is None else at_s:5.1f} s  {text}", flush=True)


def wait_for(ask: Callable[[], T | None], what: str) -> T:
    """What `ask` gives, once it gives something."""
    deadline = time.monotonic() + WAIT_S
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise DemoError(f"waited {WAIT_S:g} s for {what}")
        time.sleep(0.05)
    return found

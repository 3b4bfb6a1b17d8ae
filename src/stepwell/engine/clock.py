"""The one clock of the engine; tests hand in their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)

"""When a delivery is tried again: the example schedule of Standard Webhooks with jitter, or what a receiver asks."""

from collections.abc import Callable
from typing import Final

DELAYS_S: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Before the second try, the third, ...: ten tries over about three days."""
JITTER: Final = 0.1
LONGEST_S: Final = 86_400.0
"""More than a day is not waited, whatever a receiver asks for."""


def next_delay(tries: int, asked_s: float | None, chance: Callable[[], float]) -> float | None:
    """Seconds until the next try after `tries` of them; None when that was the last.

    `asked_s` is the receiver's `Retry-After`; `chance` gives numbers from 0 to 1.
    """
    if tries > len(DELAYS_S):
        return None
    delay_s = DELAYS_S[tries - 1] * (1.0 + JITTER * (2.0 * chance() - 1.0))
    return max(delay_s, min(asked_s or 0.0, LONGEST_S))

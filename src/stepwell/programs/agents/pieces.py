"""Text that comes in many small pieces, handed on in fewer: every one is an item on the run's stream."""

import time
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 0.2
LONGEST: Final = 2_000


class Pieces:
    """Hands text on a few times a second, up to a space: so that what must not be shown is seen as a whole."""

    def __init__(self, put: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._put = put
        self._clock = clock
        self._kept = ""
        self._put_at = clock()

    def take(self, text: str) -> None:
        self._kept += text
        now = self._clock()
        if not self._kept or (now - self._put_at < EVERY_S and len(self._kept) < LONGEST):
            return
        end = max(self._kept.rfind(" "), self._kept.rfind("\n")) + 1
        end = len(self._kept) if not end and len(self._kept) >= LONGEST else end
        if end:
            self._hand_on(end)
            self._put_at = now

    def flush(self) -> None:
        """Hand on what is left."""
        if self._kept:
            self._hand_on(len(self._kept))

    def _hand_on(self, end: int) -> None:
        text, self._kept = self._kept[:end], self._kept[end:]
        self._put(text)

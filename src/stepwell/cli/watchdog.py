"""Ends a process whose event loop hangs: it holds runs that other nodes could go on with, and answers nobody."""

import asyncio
import os
import sys
import threading
from types import TracebackType
from typing import Final, Self

LOOKS: Final = 20
"""How often within the allowed time the loop is looked at."""
EXIT_CODE: Final = 70
"""EX_SOFTWARE: a supervisor starts the process again."""


class Watchdog:
    """While entered: a loop that does not turn for `allowed_s` seconds ends the process at once.

    Time is counted in looks of the thread: a process that was frozen as a whole is not taken for one that hangs.
    """

    def __init__(self, allowed_s: float) -> None:
        self._pause_s = allowed_s / LOOKS
        self._turned = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stepwell-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._turn()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._next.cancel()

    def _turn(self) -> None:
        self._turned = True
        self._next = self._loop.call_later(self._pause_s / 2, self._turn)

    def _watch(self) -> None:
        missed = 0
        while not self._ended.wait(self._pause_s):
            missed = 0 if self._turned else missed + 1
            self._turned = False
            if missed >= LOOKS:
                print("stepwell: the event loop hangs: this process ends, others take its runs over", file=sys.stderr)
                sys.stderr.flush()
                os._exit(EXIT_CODE)

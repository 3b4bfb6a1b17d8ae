"""What comes to a run from outside of its control loop: ticks, taken one at a time, in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from stepwell.programs.code.seam import WorkflowTick


class Mailbox:
    """Has one reader, the control loop, which takes the next tick before it asks for another. `tell` is called when
    it has something to take.
    """

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        self._waiting: deque[WorkflowTick] = deque()
        self._reader: asyncio.Future[WorkflowTick] | None = None

    def put(self, tick: WorkflowTick) -> None:
        if self._reader is None or self._reader.done():
            self._waiting.append(tick)
        else:
            self._reader.set_result(tick)
            self._tell()

    def next(self) -> Any:
        """The next tick: a future, which the control loop treats as a task."""
        self._reader = asyncio.get_running_loop().create_future()
        if self._waiting:
            self._reader.set_result(self._waiting.popleft())
        return self._reader

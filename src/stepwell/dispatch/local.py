"""Dispatch in one process: an asyncio task per driven run, and a lock so that two servers cannot drive one file."""

import asyncio
import fcntl
import os
from collections import deque
from functools import partial
from pathlib import Path
from typing import Final, Self

import structlog

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.dispatch.here import here
from stepwell.dispatch.port import Drive, NodeInfo

log = structlog.get_logger()
MAX_ACTIVE: Final = 10_000
"""Runs driven at once; the others wait their turn. Bounds memory, not throughput."""


class LocalDispatch:
    """Drives every submitted run in this process."""

    def __init__(self, *, max_active: int = MAX_ACTIVE) -> None:
        self._max_active = max_active
        self._drive: Drive | None = None
        self._waiting: deque[str] = deque()
        self._queued: set[str] = set()
        self._active: dict[str, asyncio.Task[bool]] = {}
        self._again: set[str] = set()

    def start(self, run_id: str, workflow: str) -> int:  # noqa: ARG002  # the port's signature
        self.submit(run_id)
        return 0

    def submit(self, run_id: str, delay_s: float = 0.0) -> None:
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self.submit, run_id)
        elif run_id in self._active:
            self._again.add(run_id)  # it may be letting go at this moment: look once more when it has
        elif run_id not in self._queued:
            self._queued.add(run_id)
            self._waiting.append(run_id)
            self._fill()

    def interrupt(self, run_id: str) -> None:
        """Nothing to do: the engine of this process is the driver, and sees what it commits."""

    async def serve(self, drive: Drive) -> None:
        self._drive = drive
        self._loop = asyncio.get_running_loop()
        self._fill()

    async def stop(self, grace_s: float) -> None:
        self._drive = None
        tasks = list(self._active.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def nodes(self) -> list[NodeInfo]:
        return [here(len(self._active))] if self._drive is not None else []

    def _fill(self) -> None:
        while self._drive is not None and self._waiting and len(self._active) < self._max_active:
            run_id = self._waiting.popleft()
            self._queued.discard(run_id)
            task = self._loop.create_task(self._drive(run_id))
            self._active[run_id] = task
            task.add_done_callback(partial(self._ended, run_id))

    def _ended(self, run_id: str, task: asyncio.Task[bool]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("run.driver_failed", run_id=run_id, error=repr(task.exception()))
        del self._active[run_id]
        if run_id in self._again:
            self._again.discard(run_id)
            self.submit(run_id)
        self._fill()


class FileLock:
    """Only one process drives a database file. The kernel lets go of the lock when the holder dies."""

    def __init__(self, database: str) -> None:
        # The file itself, whatever links lead to it: two names must not be two locks.
        self._path = Path(f"{Path(database).resolve()}.lock")
        self._file: int | None = None

    def acquire(self) -> Self:
        """Take the lock, or raise `StorageError` with the holder's process id."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as fault:
            raise StorageError(f"{self._path} cannot be created ({fault.strerror}): may you write there?") from fault
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            self._file = None
            raise StorageError(
                f"{str(self._path).removesuffix('.lock')} is driven by another process (pid {holder}): "
                "stop it, or use its API, or `stepwell runs`"
            ) from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError as fault:
            self.release()
            raise StorageUnavailableError(
                f"{self._path} cannot be written ({fault.strerror}): free some space on its disk"
            ) from fault
        # A forked child (multiprocessing) must not hold the lock on when its parent is killed.
        os.register_at_fork(after_in_child=self.release)
        return self

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

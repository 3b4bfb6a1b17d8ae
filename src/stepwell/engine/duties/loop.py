"""The waiting that duties share: run once, wait until it is wanted again or somebody nudges, and so on."""

import asyncio
from typing import Final, Protocol

import structlog

from stepwell.core.errors import StorageError
from stepwell.engine.clock import Clock

log = structlog.get_logger()
AFTER_FAULT_S: Final = 1.0


class Duty(Protocol):
    """Something that has to be done again and again."""

    name: str

    async def run_once(self, now: float) -> float:
        """Do what is due at `now`; seconds until it should be looked at again."""


class DutyLoop:
    """Runs one duty until stopped."""

    def __init__(self, duty: Duty, clock: Clock) -> None:
        self._duty = duty
        self._clock = clock
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"stepwell-{self._duty.name}")

    def nudge(self) -> None:
        """There is something to do now."""
        self._nudged.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._nudged.clear()
            try:
                pause_s = await self._duty.run_once(self._clock.now())
            except StorageError as fault:
                log.warning("duty.store_failed", duty=self._duty.name, error=str(fault))
                pause_s = AFTER_FAULT_S
            except Exception:  # a duty that ends is noticed by nobody: it says what happened and goes on
                log.exception("duty.failed", duty=self._duty.name)
                pause_s = AFTER_FAULT_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._nudged.wait()
            except TimeoutError:
                pass

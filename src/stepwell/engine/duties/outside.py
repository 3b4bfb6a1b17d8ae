"""Sees what other processes append to the same database (the command line beside a live server)."""

from collections.abc import Awaitable, Callable
from typing import Final

from stepwell.store.port import RunStore

LOOK_EVERY_S: Final = 0.1


class SeeOutsideChanges:
    name = "outside"

    def __init__(self, store: RunStore, changed: Callable[[str], Awaitable[None]]) -> None:
        self._store = store
        self._changed = changed

    async def run_once(self, now: float) -> float:  # noqa: ARG002  # the Duty protocol's signature
        for run_id in await self._store.changed_outside():
            await self._changed(run_id)
        return LOOK_EVERY_S

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
        self._unseen: dict[str, None] = {}
        """Runs still to be looked at: the store tells of each change once, also when a fault comes between."""

    async def run_once(self, now: float) -> float:  # noqa: ARG002  # the Duty protocol's signature
        self._unseen |= dict.fromkeys(await self._store.changed_outside())
        for run_id in list(self._unseen):
            await self._changed(run_id)
            del self._unseen[run_id]
        return LOOK_EVERY_S

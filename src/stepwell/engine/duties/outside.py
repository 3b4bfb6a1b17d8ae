"""Sees what other processes append to the same database (the command line beside a live server)."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

from stepwell.store.port import RunStore

LOOK_EVERY_S: Final = 0.1
AT_ONCE: Final = 100
"""So many runs are looked at together: a store may read them with one statement."""


class SeeOutsideChanges:
    """`changed`: what to do for a run that was appended to; `written`: when another process wrote anything at all
    (an event sent from there is no change of a run, but an item of the outbox)."""

    name = "outside"

    def __init__(
        self, store: RunStore, *, changed: Callable[[str], Awaitable[None]], written: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._changed = changed
        self._written = written
        self._unseen: dict[str, None] = {}
        """Runs still to be looked at: the store tells of each change once, also when a fault comes between."""

    async def run_once(self, now: float) -> float:  # noqa: ARG002  # the Duty protocol's signature
        found = await self._store.changed_outside()
        if found is not None:
            await self._written()
            self._unseen |= dict.fromkeys(found)
        while self._unseen:
            run_ids = list(islice(self._unseen, AT_ONCE))
            await asyncio.gather(*map(self._changed, run_ids))
            for run_id in run_ids:
                del self._unseen[run_id]
        return LOOK_EVERY_S

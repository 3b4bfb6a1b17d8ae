"""Does what commits have decided elsewhere: starts children, cancels them, tells parents. At least once, in order."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from stepwell.store.model import OutboxItem
from stepwell.store.port import RunStore

log = structlog.get_logger()
PAGE: Final = 200
IDLE_S: Final = 1.0
MAX_DELAY_S: Final = 60.0

Deliver = Callable[[OutboxItem], Awaitable[None]]


class DeliverOutbox:
    """`handlers`: what to do with each kind of item; doing it twice must be harmless."""

    name = "outbox"

    def __init__(self, store: RunStore, handlers: Mapping[str, Deliver]) -> None:
        self._store = store
        self._handlers = handlers

    async def run_once(self, now: float) -> float:
        items = await self._store.take_outbox(now, PAGE)
        done: list[int] = []
        again: list[tuple[int, float]] = []
        for item in items:
            try:
                await self._handlers[item.kind](item)
                done.append(item.id)
            except Exception as fault:  # noqa: BLE001  # one item must not hold up the others
                log.warning("outbox.put_off", kind=item.kind, run_id=item.run_id, tries=item.tries, error=str(fault))
                again.append((item.id, now + min(MAX_DELAY_S, 2.0**item.tries)))
        if items:
            await self._store.settle_outbox(done, again)
        return 0.0 if len(items) == PAGE else IDLE_S

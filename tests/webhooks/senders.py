"""Sending without an engine, on a clock that jumps from one try to the next: days pass in milliseconds."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from engine.harness import CrashingStore
from engine.virtual_time import START
from stepwell.store.model import Delivery
from stepwell.store.sqlite import SqliteStore
from stepwell.webhooks import Endpoint, Webhooks, WebhookSettings
from stepwell.webhooks.messages import make_message
from stepwell.webhooks.subscriptions import delivery_of

from .worlds import HOOK, Receiver, refuse_private

COMPLETED = "workflow.run.completed"


class Sender:
    """A store, webhooks on it, and the receiver at the other end."""

    def __init__(self, store: SqliteStore, settings: WebhookSettings | None) -> None:
        self.now = START
        self.store = store
        self.receiver = Receiver(lambda: self.now)
        self.webhooks = Webhooks(
            store, self.receiver, check_url=refuse_private, now=lambda: self.now, settings=settings,
            chance=lambda: 0.5,
        )  # fmt: skip

    async def endpoint(self, url: str = HOOK) -> Endpoint:
        return await self.webhooks.add(owner="", url=url, events=[COMPLETED])

    async def put(self, endpoint: Endpoint | str, **more: Any) -> Delivery:
        """A delivery as a commit writes it."""
        message = make_message(uuid4(), COMPLETED, self.now, {})
        name = endpoint if isinstance(endpoint, str) else endpoint.id
        delivery = delivery_of(message, name, self.now, **more)
        await self.store.put_delivery(delivery)
        return delivery

    async def look(self) -> None:
        """The duty looks once, and what it began has ended."""
        await self.webhooks.duty.run_once(self.now)
        while self.webhooks.duty._flying:
            await asyncio.sleep(0)
            await self.webhooks.duty._settle()

    async def until(self, instant: float) -> None:
        """Let the time pass up to an instant: from one due try to the next."""
        while True:
            await self.look()
            due = [at for _, at in await self.store.waiting_endpoints() if at <= instant]
            if not due or self.now >= instant:
                self.now = max(self.now, instant)
                return
            self.now = min(max(self.now + 0.5, min(due)), instant)

    async def until_ended(self) -> None:
        """Let the time pass until nothing is pending."""
        while await self.store.waiting_endpoints():
            await self.until(self.now + 3_600.0)

    async def deliveries(self, endpoint: Endpoint, status: str | None = None) -> list[Delivery]:
        return await self.webhooks.deliveries(None, endpoint.id, status=status)

    def gaps(self) -> list[float]:
        """Seconds between the tries."""
        got = self.receiver.got
        return [round(later.at - earlier.at) for earlier, later in itertools.pairwise(got)]


@asynccontextmanager
async def sending(settings: WebhookSettings | None = None) -> AsyncIterator[Sender]:
    store = CrashingStore(f"file:/sender-{uuid4().hex}?vfs=memdb")
    await store.open()
    try:
        yield Sender(store, settings)
    finally:
        await store.close()

"""The duty that sends webhooks: what is due is sent, some to every endpoint at once, until each is taken or given up.

A receiver that is slow or away holds up nobody but itself: every endpoint has its own few requests in flight, and one
that fails is left alone for a while, longer with each failure. Which deliveries are in flight is known in memory
only: after a crash they are sent again, with the same id.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

import msgspec
import structlog

from stepwell.core.errors import StorageError
from stepwell.programs.http import HttpClient
from stepwell.store.model import Delivery, DeliveryQuery
from stepwell.store.port import Deliveries
from stepwell.webhooks.delays import next_delay
from stepwell.webhooks.endpoints import Endpoint, is_callbacks
from stepwell.webhooks.sending import GONE, Outcome, Verdict, send
from stepwell.webhooks.types import TEST

log = structlog.get_logger()

PER_ENDPOINT: Final = 4
IN_FLIGHT: Final = 64
"""Requests under way, in all."""
CALLBACKS_AT_ONCE: Final = 16
"""Callback addresses are many receivers."""
REST_S: Final = 1.0
LONGEST_REST_S: Final = 60.0
"""How long an endpoint that failed is left alone: 1 s, 2 s, 4 s, ..."""
IDLE_S: Final = 1.0
SHORTEST_S: Final = 0.02
HELD_S: Final = 30.0
"""So long a delivery belongs to the node that sends it; then it died, and another may."""
PRUNE_EVERY_S: Final = 60.0
PRUNE_MORE_S: Final = 0.1
PRUNE_PAGE: Final = 500
GIVE_UP_PAGE: Final = 1_000
KEPT_ATTEMPTS: Final = 20


class Directory(Protocol):
    """Where endpoints are looked up, and switched off."""

    async def find(self, id: str) -> Endpoint | None:
        """The endpoint with this id."""

    async def disable(self, endpoint: Endpoint, reason: str) -> None:
        """Switch it off."""


class DeliverWebhooks:
    """`keep_s` and `keep`: how long ended deliveries are kept, and how many of each endpoint and status."""

    name = "webhooks"

    def __init__(
        self,
        store: Deliveries,
        http: HttpClient,
        directory: Directory,
        *,
        now: Callable[[], float],
        keep_s: float,
        keep: int,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.nudge: Callable[[], None] = lambda: None
        """Have `run_once` called soon (set by whoever calls it)."""
        self._store = store
        self._http = http
        self._directory = directory
        self._now = now
        self._keep_s = keep_s
        self._keep = keep
        self._chance = chance if chance is not None else Random().random
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._flights: Counter[str] = Counter()
        self._ended: list[Delivery] = []
        """What came of requests, to be written with the next group."""
        self._writing = asyncio.Lock()
        self._failures: Counter[str] = Counter()
        """Endpoint to how often it failed in a row."""
        self._resting: dict[str, float] = {}
        """Endpoint to the instant until which it is left alone."""
        self._prune_at = 0.0

    async def run_once(self, now: float) -> float:
        """Write what came of the requests that ended, begin those that are due; seconds until the next look."""
        await self._settle()
        if now >= self._prune_at:
            pruned = await self._store.prune_deliveries(now - self._keep_s, self._keep, PRUNE_PAGE)
            self._prune_at = now + (PRUNE_MORE_S if pruned == PRUNE_PAGE else PRUNE_EVERY_S)
        next_at = min(now + IDLE_S, self._prune_at)
        waiting = await self._store.waiting_endpoints()
        for name, due_at in sorted(waiting, key=lambda one: (self._flights[one[0]], one[1])):  # a share for each
            due_at = max(due_at, self._resting.get(name, 0.0))
            if not is_callbacks(name) and not await self._is_on(name):
                next_at = now
            elif due_at <= now:
                await self._begin(name, now)
            else:
                next_at = min(next_at, due_at)
        return max(SHORTEST_S, next_at - now)

    async def close(self, grace_s: float) -> None:
        """Give the requests in flight some time, then let go: the next process sends again what has not ended."""
        if self._flying:
            await asyncio.wait(self._flying.values(), timeout=grace_s)
        for task in self._flying.values():
            task.cancel()
        await asyncio.gather(*self._flying.values(), return_exceptions=True)
        try:
            await self._settle()
        except StorageError as fault:
            log.warning("webhooks.not_settled", deliveries=len(self._ended), error=str(fault))

    # --- what is due ------------------------------------------------------------------------------------------------

    async def _is_on(self, name: str) -> bool:
        """Whether an endpoint wants its deliveries. One that is switched off gives them up, one that is gone drops
        them, page by page.
        """
        endpoint = await self._directory.find(name)
        if endpoint is None:
            await self._store.drop_deliveries(name, GIVE_UP_PAGE)
        elif not endpoint.enabled:
            await self._store.fail_deliveries(name, GIVE_UP_PAGE)
        return endpoint is not None and endpoint.enabled

    async def _begin(self, name: str, now: float) -> None:
        """Begin as many of an endpoint's due deliveries as may be in flight."""
        most = CALLBACKS_AT_ONCE if is_callbacks(name) else PER_ENDPOINT
        if self._failures[name] and not is_callbacks(name):
            most = 1  # one to see whether it is back
        free = min(most - self._flights[name], IN_FLIGHT - len(self._flying))
        if free <= 0:
            return
        endpoint = await self._directory.find(name)
        if endpoint is None:
            return
        due = await self._store.due_deliveries(name, now, free + self._flights[name])
        wanted = [one for one in due if one.id not in self._flying][:free]
        held = await self._store.hold_deliveries([one.id for one in wanted], now, now + HELD_S) if wanted else set()
        for delivery in wanted:
            if delivery.id in held:
                self._fly(delivery, endpoint)

    def _fly(self, delivery: Delivery, endpoint: Endpoint) -> asyncio.Task[None]:
        self._flights[delivery.endpoint] += 1
        task = asyncio.create_task(self._attempt(delivery, endpoint), name="stepwell-webhook")
        self._flying[delivery.id] = task
        return task

    async def send_now(self, delivery: Delivery, endpoint: Endpoint) -> Delivery:
        """Send a delivery that is on record at once, beside all others; what became of it, on disk."""
        task = self._flying.get(delivery.id) or self._fly(delivery, endpoint)
        await asyncio.shield(task)
        await self._settle()
        found = await self._store.list_deliveries(DeliveryQuery(endpoint=delivery.endpoint, id=delivery.id))
        return found[0] if found else delivery

    # --- one try ----------------------------------------------------------------------------------------------------

    async def _attempt(self, delivery: Delivery, endpoint: Endpoint) -> None:
        """Send it once. It counts as in flight until what came of it is written."""
        try:
            outcome = await send(self._http, delivery, endpoint, now=self._now())
            self._ended.append(await self._after(delivery, endpoint, outcome))
        except Exception as fault:  # one delivery must not hold up the others
            log.exception("webhook.not_sent", delivery=delivery.id, error=str(fault))
            self._land(delivery)
        self.nudge()

    async def _after(self, delivery: Delivery, endpoint: Endpoint, outcome: Outcome) -> Delivery:
        """The delivery after a try, and what the try says about its endpoint."""
        name, now = delivery.endpoint, self._now()
        attempts = (*delivery.attempts, outcome.attempt)[-KEPT_ATTEMPTS:]
        tried = msgspec.structs.replace(delivery, attempts=attempts, tries=delivery.tries + 1, due_at=None)
        if outcome.verdict is Verdict.TAKEN:
            self._failures.pop(name, None)
            self._resting.pop(name, None)
            return msgspec.structs.replace(tried, status="delivered")
        delay_s = None
        if outcome.verdict is Verdict.LATER and delivery.type != TEST:
            self._rest(name, outcome.retry_after_s, now)
            delay_s = next_delay(tried.tries, outcome.retry_after_s, self._chance)
        if delay_s is not None:
            return msgspec.structs.replace(tried, due_at=now + delay_s)
        log.warning("webhook.given_up", endpoint=name, delivery=delivery.id, error=outcome.attempt.error)
        if delivery.type != TEST:
            await self._judge(tried, endpoint, outcome)
        return msgspec.structs.replace(tried, status="failed")

    def _rest(self, name: str, asked_s: float | None, now: float) -> None:
        """Leave a failing endpoint alone for a while. Callback addresses are many: one says nothing of the others."""
        if is_callbacks(name):
            return
        self._failures[name] += 1
        rest_s = min(LONGEST_REST_S, REST_S * 2.0 ** min(self._failures[name] - 1, 10))
        self._resting[name] = now + max(rest_s, min(asked_s or 0.0, LONGEST_REST_S))

    async def _judge(self, delivery: Delivery, endpoint: Endpoint, outcome: Outcome) -> None:
        """Switch an endpoint off that wants nothing any more, or that took nothing since this delivery was made."""
        if is_callbacks(endpoint.id):
            return
        reason = "gone" if outcome.attempt.status == GONE else "failing"
        if reason == "failing":
            taken = await self._store.list_deliveries(
                DeliveryQuery(endpoint=endpoint.id, status="delivered", limit=1)
            )
            if taken and taken[0].created_at >= delivery.created_at:
                return
        log.warning("webhook.endpoint_disabled", endpoint=endpoint.id, reason=reason)
        await self._directory.disable(endpoint, reason)

    async def _settle(self) -> None:
        """Write what became of deliveries, all at once; only then may they be in flight again."""
        async with self._writing:
            ended = list(self._ended)
            if ended:
                await self._store.settle_deliveries(ended)
                del self._ended[: len(ended)]
            for delivery in ended:
                self._land(delivery)

    def _land(self, delivery: Delivery) -> None:
        self._flying.pop(delivery.id, None)
        self._flights[delivery.endpoint] -= 1
        if not self._flights[delivery.endpoint]:
            del self._flights[delivery.endpoint]

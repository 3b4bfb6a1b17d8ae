"""A broker that counts what became of the messages it was given."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stepwell.brokers.port import Broker, BrokerError, Delivery, Keep, Matches, Outgoing, Post, Settled


class CountingBroker:
    """`Broker`, over another one. `counts` has `acknowledged` and `failed` messages."""

    def __init__(self, broker: Broker, counts: Counter[str]) -> None:
        self._broker = broker
        self._counts = counts

    def posting(self, settled: Settled) -> Post:
        counts = self._counts

        def count(messages: Sequence[Outgoing], found: Delivery | BrokerError) -> None:
            counts["failed" if isinstance(found, BrokerError) else "acknowledged"] += len(messages)
            settled(messages, found)

        return self._broker.posting(count)

    async def ready(self, message: Outgoing) -> None:
        await self._broker.ready(message)

    def hurry(self) -> None:
        self._broker.hurry()

    async def expect(self, source: str, matches: Matches, *, since: float, within_s: float, keep: Keep) -> Any:
        return await self._broker.expect(source, matches, since=since, within_s=within_s, keep=keep)

    async def aclose(self) -> None:
        await self._broker.aclose()

"""Brokers that record what is posted, in place of Kafka and RabbitMQ, which are not ours."""

import asyncio
from typing import Any

from stepwell.brokers.port import BrokerError, Delivery, Matches, Outgoing, Settled


class RecordingBroker:
    """Acknowledges every message as partition 0 would."""

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []
        self.news = asyncio.Event()

    async def post(self, message: Outgoing, settled: Settled) -> None:
        self.taken.append(message)
        self.news.set()
        settled(Delivery(topic=message.topic, partition=0, offset=len(self.taken) - 1))

    async def expect(self, source: str, _matches: Matches, *, since: float, within_s: float) -> Any:  # noqa: ARG002
        raise BrokerError(f"nothing comes from {source}", retryable=False)

    async def aclose(self) -> None: ...


class RecordingBrokers:
    """Brokers of the names given; no others."""

    def __init__(self, *names: tuple[str, str]) -> None:
        self.by_name = {name: RecordingBroker() for name in names}

    async def broker(self, type: str, name: str) -> RecordingBroker:
        if (type, name) not in self.by_name:
            word = "RabbitMQ producer" if type == "rabbit" else "Producer"
            raise BrokerError(f"{word} not found: {name}", retryable=False)
        return self.by_name[type, name]

    async def posted(self, count: int) -> None:
        """Wait until so many messages were posted to the one broker."""
        (broker,) = self.by_name.values()
        while len(broker.taken) < count:
            broker.news.clear()
            await broker.news.wait()

    def forget(self) -> None:
        for broker in self.by_name.values():
            broker.taken.clear()

    def connected(self, type: str, name: str) -> bool:
        return (type, name) in self.by_name

    async def aclose(self) -> None: ...

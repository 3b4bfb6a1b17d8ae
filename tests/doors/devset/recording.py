"""Brokers that record what is posted, in place of Kafka and RabbitMQ, which are not ours."""

import asyncio
from typing import Any

from stepwell.brokers.port import BrokerError, Delivery, Keep, Matches, Outgoing, Post, Settled


class RecordingBroker:
    """Acknowledges every message as partition 0, or a queue, would; while it is `down` it takes none."""

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []
        self.news = asyncio.Event()
        self.down = False
        self.refused = 0
        self.coming: asyncio.Queue[Any] = asyncio.Queue()
        """What `expect` finds."""

    def posting(self, settled: Settled) -> Post:
        def post(message: Outgoing) -> bool:
            if self.down:
                return False
            self.take(message, settled)
            return True

        return post

    def take(self, message: Outgoing, settled: Settled) -> None:
        self.taken.append(message)
        self.news.set()
        asyncio.get_running_loop().call_soon(settled, [message], self._acknowledgement(message))

    def _acknowledgement(self, message: Outgoing) -> Delivery:
        if not message.topic:
            return Delivery(exchange=message.exchange, routing_key=message.routing_key)
        return Delivery(topic=message.topic, partition=0, offset=len(self.taken) - 1)

    async def ready(self, message: Outgoing) -> None:  # noqa: ARG002
        if self.down:
            self.refused += 1
            raise BrokerError("the broker is away")

    def hurry(self) -> None: ...

    async def expect(self, source: str, matches: Matches, *, since: float, within_s: float, keep: Keep) -> Any:  # noqa: ARG002
        try:
            async with asyncio.timeout(within_s):
                while not matches(content := await self.coming.get()):
                    pass
        except TimeoutError:
            return None
        await keep(content)
        return content

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

    @property
    def only(self) -> RecordingBroker:
        """The one broker that there is."""
        (broker,) = self.by_name.values()
        return broker

    async def posted(self, count: int) -> None:
        """Wait until so many messages were posted to the one broker."""
        while len(self.only.taken) < count:
            self.only.news.clear()
            await self.only.news.wait()

    def forget(self) -> None:
        for broker in self.by_name.values():
            broker.taken.clear()

    def connected(self, type: str, name: str) -> bool:
        return (type, name) in self.by_name

    async def aclose(self) -> None: ...

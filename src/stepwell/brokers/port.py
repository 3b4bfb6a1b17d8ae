"""The broker port: messages out with an acknowledgement, and messages that are expected to come."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from stepwell.core.errors import StepwellError


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message as it goes out. For Kafka `topic` and `key` count, for RabbitMQ `exchange` and `routing_key`.

    `message_id` is the same each time that a message is sent again, so that a consumer can drop repeats.
    """

    message_id: str
    body: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    content_type: str = "application/json"
    topic: str = ""
    key: str | None = None
    exchange: str = ""
    routing_key: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the broker acknowledged: Kafka's topic, partition and offset, or RabbitMQ's confirm that it was routed."""

    topic: str = ""
    partition: int | None = None
    offset: int | None = None
    exchange: str | None = None
    routing_key: str | None = None
    confirmed: bool = True

    def of_batch(self, count: int) -> "list[Delivery]":
        """Those of so many messages of a batch, of which this is the first's."""
        if count == 1 or self.offset is None:
            return [self] * count
        topic, partition, first = self.topic, self.partition, self.offset
        return [Delivery(topic=topic, partition=partition, offset=first + place) for place in range(count)]


class BrokerError(StepwellError):
    """A broker that cannot be reached, or does not take a message. `retryable`: whether later it may."""

    def __init__(self, text: str, *, retryable: bool = True) -> None:
        super().__init__(text)
        self.retryable = retryable


Matches = Callable[[Any], bool]
Settled = Callable[[Sequence[Outgoing], Delivery | BrokerError], None]
"""Told what became of messages that were posted one after the other: the acknowledgement of the first (those of the
others are `of_batch`), or why there is none.
"""
Post = Callable[[Outgoing], bool]
"""Hands a message over, in the order of the calls; whether it was taken.

Otherwise `Broker.ready` is to be waited for, and the message to be handed over again.
"""
Keep = Callable[[Any], Awaitable[None]]
"""Puts the content of a message on record."""


class Broker(Protocol):
    """A connection to one broker, made when it is first used and again when it was lost."""

    def posting(self, settled: Settled) -> Post:
        """How messages are handed over of which `settled` is told, each once and later, what became of it."""

    async def ready(self, message: Outgoing) -> None:
        """Wait for the connection, and until there is room for such a message.

        Raises `BrokerError`, also for a message that there never is room for.
        """

    def hurry(self) -> None:
        """Nothing more is posted for now: what was posted is not to wait for company."""

    async def expect(self, source: str, matches: Matches, *, since: float, within_s: float, keep: Keep) -> Any:
        """The content (JSON, or text) of the first message that matches, on a topic (from the instant `since` on) or
        in a queue (from which it is taken once `keep` has it; the others stay).

        None when there was none in time. Raises `BrokerError`.
        """

    async def aclose(self) -> None:
        """Send what was posted, then let go of the connection."""


async def hand_over(broker: Broker, post: Post, message: Outgoing) -> None:
    """Post a message as soon as there is room. Raises `BrokerError` when it could not be handed over."""
    while not post(message):
        await broker.ready(message)


async def deliver(broker: Broker, message: Outgoing) -> Delivery:
    """Post one message and wait for what becomes of it. Raises `BrokerError`."""
    settled: asyncio.Future[Delivery | BrokerError] = asyncio.get_running_loop().create_future()
    post = broker.posting(lambda _messages, found: None if settled.done() else settled.set_result(found))
    await hand_over(broker, post, message)
    found = await settled
    if isinstance(found, BrokerError):
        raise found
    return found


class Brokers(Protocol):
    """The brokers that pipelines may send to, by name."""

    async def broker(self, type: str, name: str) -> Broker:
        """Raises `BrokerError`, not retryable, when there is none of that name."""

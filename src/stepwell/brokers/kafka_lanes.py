"""Batches for one partition of a Kafka topic, one on its way while the next one gathers.

The client's own way is a future for every message; here a batch has one, which is most of what a message costs. One
batch at a time keeps the order, and shows at once when the broker no longer answers.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownTopicOrPartitionError,
)

from stepwell.brokers.port import BrokerError, Delivery, Outgoing, Settled

MESSAGE_ID: Final = "message-id"
MAX_MESSAGE_BYTES: Final = 1_000_000
"""Of key, value and headers together: brokers refuse batches of more than about a megabyte, unless told otherwise."""
LARGE_BYTES: Final = MAX_MESSAGE_BYTES // 2
"""Of a value: that of a smaller one is not counted with key and headers."""
LINGER_S: Final = 0.005
"""How long a batch that is not full waits for more: a request costs as much as dozens of messages."""
_OF_THE_PRODUCER: Final = (OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced)
"""What a new producer does not suffer from."""


class Lane:
    """`broken` is told of a producer that is of no more use."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        *,
        timeout_s: float,
        broken: Callable[[AIOKafkaProducer], None],
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._timeout_s = timeout_s
        self._broken = broken
        self.gathering: Any = None
        """The batch that messages are put into; None before the first of them."""
        self._waiting: list[tuple[Settled, list[Outgoing]]] = []
        """The messages of the batch that gathers, with who is to be told: together where it is the same."""
        self._last_settled: Settled | None = None
        self._last: list[Outgoing] = []
        """The last of these."""
        self._taken = asyncio.Event()
        self._hurried = asyncio.Event()
        self.sending: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether the batch that gathers takes no more."""
        return self.gathering is not None and bool(self.gathering.closed())

    def add(self, message: Outgoing, settled: Settled) -> bool:
        """Put a message into the batch that gathers; False when there is no room in it."""
        body = message.body
        if len(body) > LARGE_BYTES and _size(message) > MAX_MESSAGE_BYTES:
            return False
        gathering = self.gathering
        if gathering is None:
            gathering = self.gathering = self._producer.create_batch()
        key = None if message.key is None else message.key.encode()
        if gathering.append(timestamp=None, key=key, value=body, headers=_headers(message)) is None:
            self.hurry()
            return False
        if settled is not self._last_settled:
            self._last_settled, self._last = settled, []
            self._waiting.append((settled, self._last))
        self._last.append(message)
        if self.sending is None:
            self.sending = asyncio.create_task(self._send_all())
        return True

    def hurry(self) -> None:
        """Let the batch that gathers wait for no more messages."""
        if self.gathering is not None:
            self._hurried.set()

    async def room(self) -> None:
        """Wait until a batch that is full is on its way."""
        if self.full:
            self._taken.clear()
            await self._taken.wait()

    async def _send_all(self) -> None:
        try:
            while self.gathering is not None:
                await self._linger()
                builder, waiting = self.gathering, self._waiting
                self.gathering, self._waiting, self._last_settled = None, [], None
                self._hurried.clear()
                self._taken.set()
                self._settle(waiting, await self._send(builder))
        finally:
            self.sending = None

    async def _linger(self) -> None:
        """Wait until the batch is full, or has waited long enough."""
        if not self._hurried.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._hurried.wait()

    def _settle(self, waiting: list[tuple[Settled, list[Outgoing]]], found: Any) -> None:
        """Tell of the messages of a batch: where they are, or why they are not."""
        if isinstance(found, BrokerError):
            for settled, messages in waiting:
                settled(messages, found)
            return
        offset = found.offset
        for settled, messages in waiting:
            settled(messages, Delivery(topic=self._topic, partition=self._partition, offset=offset))
            offset += len(messages)

    async def _send(self, builder: Any) -> Any:
        """The metadata of the batch's first message, or a `BrokerError`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await (await self._producer.send_batch(builder, self._topic, partition=self._partition))
        except TimeoutError:
            self._broken(self._producer)
            return BrokerError(f"Kafka did not acknowledge messages for {self._topic} in {self._timeout_s:g} s")
        except KafkaError as fault:
            if isinstance(fault, _OF_THE_PRODUCER) or type(fault) is KafkaError:
                self._broken(self._producer)
            return broker_error(fault, self._topic)


def _headers(message: Outgoing) -> list[tuple[str, bytes]]:
    headers = [*message.headers, (MESSAGE_ID, message.message_id.encode())]
    if message.content_type != "application/json":
        headers.append(("content-type", message.content_type.encode()))
    return headers


def _size(message: Outgoing) -> int:
    """Of key, value and headers in bytes."""
    key = (message.key or "").encode()
    return len(key) + len(message.body) + sum(len(name) + len(value) for name, value in _headers(message))


def check_size(message: Outgoing) -> None:
    """Raises `BrokerError`, not retryable, for a message that is too large."""
    if _size(message) > MAX_MESSAGE_BYTES:
        text = f"Kafka takes messages of at most {MAX_MESSAGE_BYTES} bytes"
        raise BrokerError(f"{text}: one for {message.topic} is larger", retryable=False)


def broker_error(fault: KafkaError, topic: str) -> BrokerError:
    """What a fault of the client means for a message."""
    if isinstance(fault, UnknownTopicOrPartitionError):
        return BrokerError(f"Kafka has no topic {topic}", retryable=False)
    text = str(fault) or type(fault).__name__
    again = bool(getattr(fault, "retriable", False))
    of_the_producer = isinstance(fault, _OF_THE_PRODUCER) or type(fault) is KafkaError
    return BrokerError(f"Kafka did not take a message for {topic}: {text}", retryable=again or of_the_producer)

"""Kafka through aiokafka: an idempotent producer, and consumers for what pipelines expect.

`acks=all`; while one batch is on its way the next one gathers. Keys choose the partition as Java's client
does (murmur2), so that other producers of the same keys agree.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from stepwell.brokers.kafka_lanes import Lane, broker_error, check_size
from stepwell.brokers.options import KafkaOptions
from stepwell.brokers.port import BrokerError, Keep, Matches, Outgoing, Post, Settled
from stepwell.brokers.tls import tls_context
from stepwell.brokers.turns import Turns

KNOWN_FOR_S: Final = 60.0
"""How long the partitions of a topic are taken to be the same."""
FAILED_FOR_S: Final = 1.0
"""How long a topic that was not found is not looked for again."""
CLOSE_S: Final = 5.0
"""What messages under way get when the connection is let go of."""
_BY_KEY: Final = DefaultPartitioner()


def _client(options: KafkaOptions) -> dict[str, Any]:
    """The options that producers and consumers share."""
    client: dict[str, Any] = {
        "bootstrap_servers": options.bootstrap_servers,
        "request_timeout_ms": round(options.request_timeout_s * 1000),
        "security_protocol": ("SASL_" if options.username else "") + ("SSL" if options.secure else "PLAINTEXT"),
    }
    if options.secure:
        client["ssl_context"] = tls_context(options.ca_file, options.certificate_file, options.key_file)
    if options.username:
        client |= {
            "sasl_mechanism": options.mechanism,
            "sasl_plain_username": options.username,
            "sasl_plain_password": options.password,
        }
    return client


class _Topic:
    """The partitions of a topic, and for messages without a key the one that they go to just now."""

    def __init__(self, partitions: Sequence[int]) -> None:
        self.partitions = sorted(partitions)
        self.until = time.monotonic() + KNOWN_FOR_S
        self.lane: Lane | None = None


class KafkaBroker:
    """`Broker` of one cluster."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._starting = Turns()
        self._topics: dict[str, _Topic] = {}
        self._failed: dict[str, tuple[float, BrokerError]] = {}
        """Of topics that could not be found just now: until when that counts, and why."""
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def posting(self, settled: Settled) -> Post:
        def post(message: Outgoing) -> bool:
            topic = self._topics.get(message.topic)
            if topic is not None and message.key is None:
                lane = topic.lane  # a batch without keys stays together, the next one may part
                if lane is not None and lane.gathering is not None and lane.add(message, settled):
                    return True
            other = self._lane(message)
            return other is not None and other.add(message, settled)

        return post

    async def ready(self, message: Outgoing) -> None:
        check_size(message)
        producer = self._producer or await self._start()
        topic = self._topics.get(message.topic)
        if topic is None or time.monotonic() > topic.until:
            self._topics[message.topic] = await self._find(producer, message.topic)
        lane = self._lane(message)
        if lane is not None:
            await lane.room()

    async def _find(self, producer: AIOKafkaProducer, name: str) -> _Topic:
        """Look for a topic. One that is not there costs the client's whole time limit: messages share the answer."""
        failed = self._failed.get(name)
        if failed is not None and time.monotonic() < failed[0]:
            raise BrokerError(str(failed[1]), retryable=failed[1].retryable)
        try:
            return _Topic(await producer.partitions_for(name))
        except KafkaError as fault:
            found = broker_error(fault, name)
            self._failed[name] = time.monotonic() + FAILED_FOR_S, found
            raise found from None

    def hurry(self) -> None:
        for lane in self._lanes.values():
            lane.hurry()

    def _lane(self, message: Outgoing) -> Lane | None:
        """Where a message goes; None when its topic is not known yet."""
        topic = self._topics.get(message.topic)
        if topic is None or self._producer is None:
            return None
        if message.key is not None:
            if time.monotonic() > topic.until:
                return None
            partition = _BY_KEY(message.key.encode(), topic.partitions, topic.partitions)
            return self._lane_of(message.topic, partition)
        lane = topic.lane
        if lane is None or lane.gathering is None or lane.full:
            if time.monotonic() > topic.until:
                return None
            lane = topic.lane = self._roomy_lane(message.topic, topic.partitions)
        return lane

    def _roomy_lane(self, topic: str, partitions: Sequence[int]) -> Lane:
        """Any lane of a topic, if possible one that is not full."""
        lane = self._lane_of(topic, _BY_KEY(None, partitions, partitions))
        if lane.full:
            others = (self._lane_of(topic, partition) for partition in partitions)
            return next((other for other in others if not other.full), lane)
        return lane

    def _lane_of(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            assert self._producer is not None
            lane = Lane(
                self._producer, topic, partition, timeout_s=self._options.request_timeout_s, broken=self._abandon
            )
            self._lanes[topic, partition] = lane
        return lane

    async def _start(self) -> AIOKafkaProducer:
        async with self._starting.turn():
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **_client(self._options),
                    enable_idempotence=True,
                    acks="all",
                    max_batch_size=self._options.max_batch_bytes,
                )
                try:
                    async with asyncio.timeout(self._options.request_timeout_s):
                        await producer.start()
                except (KafkaError, TimeoutError) as fault:
                    self._leave(producer)
                    where = f"Kafka at {self._options.bootstrap_servers}"
                    raise BrokerError(f"{where} cannot be reached: {str(fault) or type(fault).__name__}") from None
                self._producer = producer
            return self._producer

    # --- letting go -------------------------------------------------------------------------------------------------

    def _abandon(self, producer: AIOKafkaProducer) -> None:
        """The next message makes a new producer: this one sends no more, or tries one batch for ever."""
        if self._producer is producer:
            self._producer = None
            self._topics, self._lanes = {}, {}
            self._leave(producer)

    def _leave(self, producer: AIOKafkaProducer) -> None:
        leaving = asyncio.create_task(_closed(producer))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def aclose(self) -> None:
        sending = [lane.sending for lane in self._lanes.values() if lane.sending is not None]
        if sending:
            _, late = await asyncio.wait(sending, timeout=CLOSE_S)
            for task in late:
                task.cancel()
        if self._producer is not None:
            self._abandon(self._producer)
        if self._leaving:
            await asyncio.wait(set(self._leaving), timeout=CLOSE_S)

    # --- expecting --------------------------------------------------------------------------------------------------

    async def expect(self, source: str, matches: Matches, *, since: float, within_s: float, keep: Keep) -> Any:
        consumer = AIOKafkaConsumer(source, **_client(self._options), group_id=None, auto_offset_reset="latest")
        try:
            async with asyncio.timeout(within_s):
                await consumer.start()
                await _seek(consumer, since)
                async for record in consumer:
                    content = _content(record.value)
                    if matches(content):
                        await keep(content)
                        return content
        except TimeoutError:
            return None
        except KafkaError as fault:
            said = str(fault) or type(fault).__name__
            raise BrokerError(f"Kafka does not let messages of {source} be read: {said}") from None
        finally:
            await consumer.stop()


async def _closed(producer: AIOKafkaProducer) -> None:
    """Let go of a producer. Its sender is ended first: it would try to send what it has for ever."""
    sender = producer._sender.sender_task  # no public way leads there
    if sender is not None:
        sender.cancel()
    with suppress(KafkaError, asyncio.CancelledError):
        await producer.stop()


async def _seek(consumer: AIOKafkaConsumer, since: float) -> None:
    """In every partition to the first message that is not older than `since`, else to its end as it is now."""
    partitions = consumer.assignment()
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, round(since * 1000)))
    for partition in partitions:
        offset = found.get(partition)
        if offset is not None:
            consumer.seek(partition, offset.offset)
        else:
            await consumer.position(partition)


def _content(value: bytes | None) -> Any:
    try:
        return msgspec.json.decode(value or b"null")
    except msgspec.DecodeError:
        return (value or b"").decode("utf-8", "replace")

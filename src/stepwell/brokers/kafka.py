"""Kafka through aiokafka: an idempotent producer, and consumers for what pipelines expect.

`acks=all`, no linger: while one batch is on its way the next one gathers. Keys choose the partition as Java's client
does (murmur2), so that other producers of the same keys agree.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from stepwell.brokers.options import KafkaOptions
from stepwell.brokers.port import BrokerError, Delivery, Matches, Outgoing, Settled
from stepwell.brokers.tls import tls_context

MESSAGE_ID: Final = "message-id"


def _client(options: KafkaOptions) -> dict[str, Any]:
    """The options that producers and consumers share."""
    secure = options.tls if options.tls is not None else options.username is not None
    client: dict[str, Any] = {
        "bootstrap_servers": options.bootstrap_servers,
        "request_timeout_ms": round(options.request_timeout_s * 1000),
        "security_protocol": ("SASL_" if options.username else "") + ("SSL" if secure else "PLAINTEXT"),
    }
    if secure:
        client["ssl_context"] = tls_context(options.ca_file, options.certificate_file, options.key_file)
    if options.username is not None:
        client |= {
            "sasl_mechanism": options.mechanism,
            "sasl_plain_username": options.username,
            "sasl_plain_password": options.password or "",
        }
    return client


class KafkaBroker:
    """`Broker` of one cluster."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def post(self, message: Outgoing, settled: Settled) -> None:
        producer = self._producer or await self._start()
        headers = [*message.headers, (MESSAGE_ID, message.message_id.encode())]
        if message.content_type != "application/json":
            headers.append(("content-type", message.content_type.encode()))
        try:
            future = await producer.send(
                message.topic,
                message.body,
                key=None if message.key is None else message.key.encode(),
                headers=headers,
            )
        except KafkaError as fault:
            raise _broker_error(fault, message.topic) from None
        future.add_done_callback(lambda found: settled(_outcome(found, message.topic)))

    async def _start(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **_client(self._options),
                    enable_idempotence=True,
                    acks="all",
                    max_batch_size=self._options.max_batch_bytes,
                )
                try:
                    await producer.start()
                except KafkaError as fault:
                    await producer.stop()
                    where = f"Kafka at {self._options.bootstrap_servers}"
                    raise BrokerError(f"{where} cannot be reached: {fault or type(fault).__name__}") from None
                self._producer = producer
            return self._producer

    async def expect(self, source: str, matches: Matches, *, since: float, within_s: float) -> Any:
        consumer = AIOKafkaConsumer(source, **_client(self._options), group_id=None, auto_offset_reset="latest")
        try:
            async with asyncio.timeout(within_s):
                await consumer.start()
                await _seek(consumer, since)
                async for record in consumer:
                    content = _content(record.value)
                    if matches(content):
                        return content
        except TimeoutError:
            return None
        except KafkaError as fault:
            raise _broker_error(fault, source) from None
        finally:
            await consumer.stop()

    async def aclose(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):
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


def _outcome(found: "asyncio.Future[Any]", topic: str) -> Delivery | BrokerError:
    fault = None if found.cancelled() else found.exception()
    if found.cancelled() or fault is not None:
        return _broker_error(fault if isinstance(fault, KafkaError) else KafkaError(str(fault or "given up")), topic)
    metadata = found.result()
    return Delivery(topic=metadata.topic, partition=metadata.partition, offset=metadata.offset)


def _broker_error(fault: KafkaError, topic: str) -> BrokerError:
    text = str(fault) or type(fault).__name__
    retryable = bool(getattr(fault, "retriable", False)) and not isinstance(fault, UnknownTopicOrPartitionError)
    return BrokerError(f"Kafka did not take a message for {topic}: {text}", retryable=retryable)


def _content(value: bytes | None) -> Any:
    try:
        return msgspec.json.decode(value or b"null")
    except msgspec.DecodeError:
        return (value or b"").decode("utf-8", "replace")

"""Kafka over its real protocol, read back by a client that is not ours."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError
from confluent_kafka import Producer

from stepwell.brokers.kafka import KafkaBroker
from stepwell.brokers.options import KafkaOptions
from stepwell.brokers.port import BrokerError, Delivery, Outgoing, deliver, hand_over

from .kafka import KafkaCluster, KafkaProcess


@pytest.fixture(scope="module")
def cluster() -> KafkaCluster:
    return KafkaCluster()


@pytest.fixture
async def broker(cluster: KafkaCluster) -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker(KafkaOptions(bootstrap_servers=cluster.bootstrap_servers))
    yield broker
    await broker.aclose()


def outgoing(topic: str, n: int = 1, **more: object) -> Outgoing:
    return Outgoing(message_id=f"run/1/{n}", topic=topic, body=json.dumps({"n": n}).encode(), **more)  # type: ignore[arg-type]


async def keep(_content: object) -> None:
    """There is no record here."""


async def test_a_message_arrives_with_key_headers_and_id(cluster: KafkaCluster, broker: KafkaBroker) -> None:
    message = outgoing("orders", key="k1", headers=(("trace", b"abc"),))
    delivery = await deliver(broker, message)
    (found,) = await asyncio.to_thread(cluster.read, "orders", 1)
    assert (found.key(), found.value()) == (b"k1", b'{"n": 1}')
    assert found.headers() == [("trace", b"abc"), ("message-id", b"run/1/1")]
    assert (delivery.topic, delivery.partition, delivery.offset) == ("orders", found.partition(), found.offset())


async def post_all(broker: KafkaBroker, messages: list[Outgoing]) -> None:
    """Post messages one after the other, then wait until each is settled."""
    left = asyncio.Semaphore(0)

    def settled(some: Sequence[Outgoing], _found: Delivery | BrokerError) -> None:
        for _ in some:
            left.release()

    post = broker.posting(settled)
    for message in messages:
        await hand_over(broker, post, message)
    for _ in messages:
        await left.acquire()


async def test_messages_of_one_key_keep_their_order(cluster: KafkaCluster, broker: KafkaBroker) -> None:
    await post_all(broker, [outgoing("ordered", n, key=str(n % 3)) for n in range(300)])
    found = await asyncio.to_thread(cluster.read, "ordered", 300)
    by_key: dict[bytes, list[int]] = {}
    for message in found:
        by_key.setdefault(message.key(), []).append(json.loads(message.value())["n"])
    assert {key: len(numbers) for key, numbers in by_key.items()} == {b"0": 100, b"1": 100, b"2": 100}
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


async def test_protobuf_says_what_it_is(cluster: KafkaCluster, broker: KafkaBroker) -> None:
    await deliver(broker, outgoing("bytes", content_type="application/x-protobuf"))
    (found,) = await asyncio.to_thread(cluster.read, "bytes", 1)
    assert ("content-type", b"application/x-protobuf") in found.headers()


async def test_a_cluster_that_is_away_is_an_error_that_can_be_tried_again() -> None:
    broker = KafkaBroker(KafkaOptions(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1 cannot be reached") as caught:
        await deliver(broker, outgoing("orders"))
    assert caught.value.retryable
    await broker.aclose()


async def test_an_expected_message_is_found_among_others(broker: KafkaBroker) -> None:
    await deliver(broker, outgoing("answers", 0))
    expecting = asyncio.create_task(
        broker.expect("answers", lambda found: found == {"n": 7}, since=time.time() - 1, within_s=20, keep=keep)
    )
    numbers = iter(range(1, 1000))
    while not expecting.done():  # until the consumer has come to the topic's end
        n = next(numbers)
        await deliver(broker, outgoing("answers", 7 if n % 3 == 0 else n))
        await asyncio.wait({expecting}, timeout=0.05)
    assert await expecting == {"n": 7}


async def test_what_never_comes_is_none(broker: KafkaBroker) -> None:
    await deliver(broker, outgoing("silence", 0))
    assert await broker.expect("silence", lambda _content: False, since=time.time(), within_s=0.5, keep=keep) is None


async def taken(broker: KafkaBroker, message: Outgoing) -> bool:
    """Whether the broker took it; else it may take it later."""
    try:
        await deliver(broker, message)
    except BrokerError as fault:
        if not fault.retryable:
            raise
        return False
    return True


async def test_a_cluster_that_stands_still_is_an_error_and_is_reached_again(halting: KafkaProcess) -> None:
    options = KafkaOptions(bootstrap_servers=halting.bootstrap_servers, request_timeout_s=1.0)
    broker = KafkaBroker(options)
    await deliver(broker, outgoing("orders", 1))
    halting.halt()
    with pytest.raises(BrokerError, match=r"did not acknowledge|cannot be reached") as caught:
        await deliver(broker, outgoing("orders", 2))
    assert caught.value.retryable
    halting.go_on()
    async with asyncio.timeout(60):
        while not await taken(broker, outgoing("orders", 2)):
            pass
    await broker.aclose()
    ids: set[bytes] = set()
    most = 2
    while len(ids) < 2 and most < 20:  # the second may be there twice, acknowledged late
        found = await asyncio.to_thread(halting.read, "orders", most)
        ids = {dict(message.headers())["message-id"] for message in found}
        most += 1
    assert ids == {b"run/1/1", b"run/1/2"}


async def test_batches_of_one_partition_keep_their_order_over_their_limits(cluster: KafkaCluster) -> None:
    broker = KafkaBroker(KafkaOptions(bootstrap_servers=cluster.bootstrap_servers, max_batch_bytes=2_000))
    await post_all(broker, [outgoing("small", n, key="one") for n in range(500)])
    await broker.aclose()
    found = await asyncio.to_thread(cluster.read, "small", 500)
    assert [json.loads(message.value())["n"] for message in found] == list(range(500))


async def test_a_message_that_is_too_large_does_not_take_others_with_it(broker: KafkaBroker) -> None:
    large = Outgoing(message_id="run/1/1", topic="large", body=b"x" * 2_000_000)
    with pytest.raises(BrokerError, match="at most 1000000 bytes") as caught:
        await deliver(broker, large)
    assert not caught.value.retryable
    assert (await deliver(broker, outgoing("large", 2))).offset is not None


async def test_keys_choose_the_partition_as_other_clients_do(cluster: KafkaCluster, broker: KafkaBroker) -> None:
    """murmur2, which librdkafka calls `murmur2_random`."""
    theirs = Producer({"bootstrap.servers": cluster.bootstrap_servers, "partitioner": "murmur2_random"})
    for n in range(20):
        theirs.produce("keyed", key=f"key-{n}", value=b"{}")
    theirs.flush(20)
    for n in range(20):
        await deliver(broker, outgoing("keyed", n, key=f"key-{n}"))
    found: dict[bytes, set[int]] = {}
    for message in await asyncio.to_thread(cluster.read, "keyed", 40):
        found.setdefault(message.key(), set()).add(message.partition())
    assert len(found) == 20
    assert all(len(partitions) == 1 for partitions in found.values())
    assert len(set.union(*found.values())) > 1


async def test_a_topic_that_is_not_there_is_looked_for_once(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    async def partitions_for(_producer: AIOKafkaProducer, topic: str) -> set[int]:
        looked.append(topic)
        raise UnknownTopicOrPartitionError

    monkeypatch.setattr(AIOKafkaProducer, "partitions_for", partitions_for)
    for n in range(20):
        with pytest.raises(BrokerError, match=r"^Kafka has no topic nowhere$") as raised:
            await deliver(broker, outgoing("nowhere", n))
        assert not raised.value.retryable
    assert looked == ["nowhere"]
    monkeypatch.undo()
    assert (await deliver(broker, outgoing("somewhere", 1))).topic == "somewhere"

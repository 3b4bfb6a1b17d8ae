"""Kafka over its real protocol, read back by a client that is not ours."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from stepwell.brokers.kafka import KafkaBroker
from stepwell.brokers.options import KafkaOptions
from stepwell.brokers.port import BrokerError, Outgoing, deliver

from .kafka import KafkaCluster


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


async def test_a_message_arrives_with_key_headers_and_id(cluster: KafkaCluster, broker: KafkaBroker) -> None:
    message = outgoing("orders", key="k1", headers=(("trace", b"abc"),))
    delivery = await deliver(broker, message)
    (found,) = await asyncio.to_thread(cluster.read, "orders", 1)
    assert (found.key(), found.value()) == (b"k1", b'{"n": 1}')
    assert found.headers() == [("trace", b"abc"), ("message-id", b"run/1/1")]
    assert (delivery.topic, delivery.partition, delivery.offset) == ("orders", found.partition(), found.offset())


async def test_messages_of_one_key_keep_their_order(cluster: KafkaCluster, broker: KafkaBroker) -> None:
    left = asyncio.Semaphore(0)
    for n in range(300):
        await broker.post(outgoing("ordered", n, key=str(n % 3)), lambda _outcome: left.release())
    for _ in range(300):
        await left.acquire()
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
        broker.expect("answers", lambda content: content == {"n": 7}, since=time.time() - 1, within_s=20)
    )
    numbers = iter(range(1, 1000))
    while not expecting.done():  # until the consumer has come to the topic's end
        n = next(numbers)
        await deliver(broker, outgoing("answers", 7 if n % 3 == 0 else n))
        await asyncio.wait({expecting}, timeout=0.05)
    assert await expecting == {"n": 7}


async def test_what_never_comes_is_none(broker: KafkaBroker) -> None:
    await deliver(broker, outgoing("silence", 0))
    assert await broker.expect("silence", lambda _content: False, since=time.time(), within_s=0.5) is None

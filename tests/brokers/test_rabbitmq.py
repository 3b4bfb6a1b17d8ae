"""A real RabbitMQ, read back through channels that are not ours."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from stepwell.brokers.options import RabbitOptions
from stepwell.brokers.port import BrokerError, Outgoing, deliver
from stepwell.brokers.rabbitmq import RabbitBroker

from .rabbit import Rabbit

pytestmark = pytest.mark.slow


@pytest.fixture
async def broker(node: Rabbit) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(RabbitOptions(host="127.0.0.1", port=node.port))
    yield broker
    await broker.aclose()


@pytest.fixture
async def channel(node: Rabbit) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{node.port}/") as connection:
        yield await connection.channel()


def outgoing(n: int = 1, **more: Any) -> Outgoing:
    return Outgoing(message_id=f"run/1/{n}", body=b'{"n":%d}' % n, headers=(("trace", b"abc"),), **more)


async def test_a_message_arrives_with_headers_and_id(broker: RabbitBroker, channel: AbstractChannel) -> None:
    queue = await channel.declare_queue("orders", durable=True)
    delivery = await deliver(broker, outgoing(routing_key="orders"))
    found = await queue.get(no_ack=True)
    assert found is not None
    assert (found.body, found.headers, found.message_id) == (b'{"n":1}', {"trace": "abc"}, "run/1/1")
    assert delivery.confirmed


async def test_an_exchange_routes_by_its_key(broker: RabbitBroker, channel: AbstractChannel) -> None:
    exchange = await channel.declare_exchange("topics", aio_pika.ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue("routed")
    await queue.bind(exchange, "order.*")
    await deliver(broker, outgoing(exchange="topics", routing_key="order.created"))
    assert await queue.get(no_ack=True) is not None


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"routing_key": "nowhere"}, "no queue for a message"),
        ({"exchange": "nowhere", "routing_key": "x"}, "no exchange 'nowhere'"),
    ],
)
async def test_what_no_queue_takes_is_an_error(broker: RabbitBroker, place: dict[str, Any], said: str) -> None:
    with pytest.raises(BrokerError, match=said) as caught:
        await deliver(broker, outgoing(**place))
    assert not caught.value.retryable


async def test_a_channel_that_had_a_fault_does_not_stand_in_the_way(
    broker: RabbitBroker, channel: AbstractChannel
) -> None:
    await channel.declare_queue("after", durable=True)
    with pytest.raises(BrokerError):
        await deliver(broker, outgoing(exchange="nowhere", routing_key="x"))
    assert (await deliver(broker, outgoing(routing_key="after"))).confirmed


async def test_an_expected_message_is_taken_and_the_others_stay(
    broker: RabbitBroker, channel: AbstractChannel
) -> None:
    queue = await channel.declare_queue("answers", durable=True)
    for n in (1, 2, 3):
        await deliver(broker, outgoing(n, routing_key="answers"))
    kept: list[Any] = []

    async def keep(content: Any) -> None:
        kept.append(content)

    found = await broker.expect("answers", lambda content: content == {"n": 2}, since=0.0, within_s=20, keep=keep)
    assert [found] == kept == [{"n": 2}]
    left = {one.body for one in [await queue.get(no_ack=True), await queue.get(no_ack=True)] if one}
    assert left == {b'{"n":1}', b'{"n":3}'}


async def declare(node: Rabbit, queue: str) -> None:
    async with await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{node.port}/") as connection:
        await (await connection.channel()).declare_queue(queue, durable=True)


async def test_a_broker_that_was_away_is_reached_again(node: Rabbit) -> None:
    broker = RabbitBroker(RabbitOptions(host="127.0.0.1", port=node.port))
    await declare(node, "kept")
    await deliver(broker, outgoing(1, routing_key="kept"))
    node.stop()
    with pytest.raises(BrokerError) as caught:
        await deliver(broker, outgoing(2, routing_key="kept"))
    assert caught.value.retryable
    await asyncio.to_thread(node.start)
    await declare(node, "kept")  # the node writes a new queue down after a while only: the kill may have cost it
    assert (await deliver(broker, outgoing(2, routing_key="kept"))).confirmed
    await broker.aclose()

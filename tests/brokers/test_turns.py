"""Brokers that take a connection and then say nothing: one attempt is enough for all who ask meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from stepwell.brokers import turns
from stepwell.brokers.kafka import KafkaBroker
from stepwell.brokers.options import KafkaOptions, RabbitOptions
from stepwell.brokers.port import BrokerError, Outgoing, deliver
from stepwell.brokers.rabbitmq import RabbitBroker
from stepwell.brokers.turns import Turns


class Silence:
    def __init__(self) -> None:
        self.port = 0
        self.connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read()
        writer.close()


@pytest.fixture
async def silence() -> AsyncIterator[Silence]:
    silence = Silence()
    server = await asyncio.start_server(silence.take, "127.0.0.1", 0)
    async with server:
        silence.port = server.sockets[0].getsockname()[1]
        yield silence


def kafka(port: int) -> KafkaBroker:
    return KafkaBroker(KafkaOptions(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_s=0.3))


def rabbit(port: int) -> RabbitBroker:
    return RabbitBroker(RabbitOptions(host="127.0.0.1", port=port, timeout_s=0.3))


@pytest.mark.parametrize("made", [kafka, rabbit])
async def test_all_that_wait_for_a_silent_broker_share_one_attempt(
    silence: Silence, made: Callable[[int], Any]
) -> None:
    broker = made(silence.port)
    messages = [Outgoing(message_id=f"run/{n}/1", topic="t", routing_key="t", body=b"{}") for n in range(20)]
    found = await asyncio.gather(*(deliver(broker, message) for message in messages), return_exceptions=True)
    assert all(isinstance(fault, BrokerError) and fault.retryable for fault in found)
    assert silence.connections == 1
    assert not str(found[0]).endswith(": "), "it says why"
    await broker.aclose()


async def fail(shared: Turns, *, retryable: bool = True) -> None:
    async with shared.turn():
        raise BrokerError("away", retryable=retryable)


async def tried(shared: Turns) -> bool:
    try:
        async with shared.turn():
            return True
    except BrokerError:
        return False


async def test_what_just_failed_is_not_tried_at_once_but_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Turns()
    with pytest.raises(BrokerError):
        await fail(shared)
    assert not await tried(shared)
    monkeypatch.setattr(turns, "FRESH_S", -1.0)
    assert await tried(shared)


async def test_what_fails_for_good_is_nobody_elses() -> None:
    shared = Turns()
    with pytest.raises(BrokerError):
        await fail(shared, retryable=False)
    assert await tried(shared)

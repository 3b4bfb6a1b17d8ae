"""A connection of RabbitMQ that is lost while it still looks open."""

from typing import Any

import aio_pika
import pytest

from stepwell.brokers.options import RabbitOptions
from stepwell.brokers.port import BrokerError
from stepwell.brokers.rabbitmq import RabbitBroker


class Channel:
    is_closed = False


class Connection:
    """Opens channels until it is lost, which it does not know."""

    is_closed = False
    lost = False

    def __init__(self) -> None:
        self.closed = False

    async def channel(self, **confirms: Any) -> Channel:
        if self.lost or not confirms:  # one of its own, to expect a message on
            self.lost = True
            raise RuntimeError("the connection was closed")
        return Channel()

    async def close(self) -> None:
        self.closed = True


async def nothing(_content: Any) -> None: ...


async def test_what_expects_a_message_is_told_and_connects_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Connection] = []

    async def connect(**_options: Any) -> Connection:
        made.append(Connection())
        return made[-1]

    monkeypatch.setattr(aio_pika, "connect", connect)
    broker = RabbitBroker(RabbitOptions(host="127.0.0.1"))
    for _ in range(2):
        with pytest.raises(BrokerError, match="opens no channel for 'answers': the connection was closed") as caught:
            await broker.expect("answers", bool, since=0.0, within_s=20, keep=nothing)
        assert caught.value.retryable
        monkeypatch.setattr("stepwell.brokers.turns.FRESH_S", -1.0)
    assert [one.closed for one in made] == [True, False]
    await broker.aclose()

"""RabbitMQ through aio-pika: publisher confirms, and `mandatory`, so that a message no queue takes is an error."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any, Final

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError
from aiormq.exceptions import ChannelNotFoundEntity

from stepwell.brokers.options import RabbitOptions
from stepwell.brokers.port import BrokerError, Delivery, Keep, Matches, Outgoing, Post, Settled
from stepwell.brokers.tls import tls_context
from stepwell.brokers.turns import Turns

MAX_UNCONFIRMED: Final = 1_000
UNREACHABLE: Final = (AMQPError, ConnectionError, TimeoutError, OSError, RuntimeError)
"""What the library raises for a connection that is gone, or never was (`RuntimeError` for one that it closed)."""


class RabbitBroker:
    """`Broker` of one virtual host."""

    def __init__(self, options: RabbitOptions) -> None:
        self._options = options
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchanges: dict[str, Any] = {}
        self._lost = False
        self._opening = Turns()
        self._freed = asyncio.Event()
        """Set whenever a message is settled."""
        self._publishing: set[asyncio.Task[Delivery | BrokerError]] = set()

    def posting(self, settled: Settled) -> Post:
        def post(message: Outgoing) -> bool:
            exchange = self._known_exchange(message.exchange)
            if exchange is None or len(self._publishing) >= MAX_UNCONFIRMED:
                return False
            publishing = asyncio.ensure_future(self._publish(exchange, message))
            self._publishing.add(publishing)
            publishing.add_done_callback(partial(self._published, message, settled))
            return True

        return post

    async def ready(self, message: Outgoing) -> None:
        if self._known_exchange(message.exchange) is None:
            await self._find_exchange(message.exchange)
        while len(self._publishing) >= MAX_UNCONFIRMED:
            self._freed.clear()
            await self._freed.wait()

    def hurry(self) -> None:
        """Messages go out one by one."""

    def _published(
        self, message: Outgoing, settled: Settled, publishing: "asyncio.Task[Delivery | BrokerError]"
    ) -> None:
        self._publishing.discard(publishing)
        self._freed.set()
        if publishing.cancelled():
            found: Delivery | BrokerError = BrokerError("RabbitMQ was let go of")
        elif (fault := publishing.exception()) is not None:  # a message that AMQP has no form for
            found = BrokerError(f"RabbitMQ cannot be sent a message: {_said(fault)}", retryable=False)
        else:
            found = publishing.result()
        settled([message], found)

    async def _publish(self, exchange: Any, message: Outgoing) -> Delivery | BrokerError:
        place = f"exchange {message.exchange!r}, routing key {message.routing_key!r}"
        try:
            await exchange.publish(
                aio_pika.Message(
                    message.body,
                    message_id=message.message_id,
                    content_type=message.content_type,
                    headers={name: value.decode("utf-8", "replace") for name, value in message.headers},
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                ),
                routing_key=message.routing_key,
                mandatory=True,
                timeout=self._options.timeout_s,
            )
        except PublishError:
            return BrokerError(f"RabbitMQ has no queue for a message to {place}", retryable=False)
        except DeliveryError:
            return BrokerError(f"RabbitMQ did not take a message to {place}")
        except UNREACHABLE as fault:
            self._forget(lost=True)
            return BrokerError(f"RabbitMQ did not confirm a message to {place}: {_said(fault)}")
        return Delivery(exchange=message.exchange, routing_key=message.routing_key)

    def _known_exchange(self, name: str) -> Any:
        """The exchange on the channel that is open; None when there is something to be done first."""
        if self._channel is None or self._channel.is_closed:
            return None
        return self._exchanges.get(name) if name else self._channel.default_exchange

    async def _find_exchange(self, name: str) -> None:
        async with self._opening.turn():
            channel = await self._open()
            if not name or name in self._exchanges:
                return
            try:
                self._exchanges[name] = await channel.get_exchange(name, ensure=True)
            except ChannelNotFoundEntity:
                self._forget()
                raise BrokerError(f"RabbitMQ has no exchange {name!r}", retryable=False) from None
            except UNREACHABLE as fault:
                self._forget(lost=True)
                raise BrokerError(f"RabbitMQ did not answer for exchange {name!r}: {_said(fault)}") from None

    async def _open(self) -> AbstractChannel:
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        try:
            if self._lost:  # it may not know yet that it is closed
                await self._close_connection()
            if self._connection is None or self._connection.is_closed:
                self._connection = await self._connect()
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        except UNREACHABLE as fault:
            await self._close_connection()
            where = f"{self._options.host}:{self._options.port}"
            raise BrokerError(f"RabbitMQ at {where} cannot be reached: {_said(fault)}") from None
        self._exchanges = {}
        return self._channel

    async def _connect(self) -> Any:
        options = self._options
        files = options.ca_file, options.certificate_file, options.key_file
        return await aio_pika.connect(
            host=options.host,
            port=options.port,
            virtualhost=options.virtual_host,
            login=options.username or "guest",
            password=options.password or "guest",
            ssl=options.tls,
            ssl_context=tls_context(*files) if options.tls else None,
            timeout=options.timeout_s,
        )

    def _forget(self, *, lost: bool = False) -> None:
        """The next message opens a channel anew, since one that had a fault is closed. `lost`: the connection too."""
        self._channel = None
        self._exchanges = {}
        self._lost = self._lost or lost

    async def expect(
        self,
        source: str,
        matches: Matches,
        *,
        since: float,  # noqa: ARG002  what lies in the queue counts, however old
        within_s: float,
        keep: Keep,
    ) -> Any:
        async with self._opening.turn():
            await self._open()
            assert self._connection is not None
            try:
                channel = await self._connection.channel()
            except UNREACHABLE as fault:
                self._forget(lost=True)
                raise BrokerError(f"RabbitMQ opens no channel for {source!r}: {_said(fault)}") from None
        try:
            async with asyncio.timeout(within_s):
                queue = await channel.get_queue(source, ensure=True)
                async with queue.iterator() as incoming:
                    async for message in incoming:
                        content = _content(message.body)
                        if matches(content):  # the others are not acknowledged: they go back when the channel closes
                            await keep(content)
                            await message.ack()
                            return content
        except TimeoutError:
            return None
        except ChannelNotFoundEntity:
            raise BrokerError(f"RabbitMQ has no queue {source!r}", retryable=False) from None
        except UNREACHABLE as fault:
            raise BrokerError(f"RabbitMQ stopped delivering from {source!r}: {_said(fault)}") from None
        finally:
            with suppress(*UNREACHABLE):
                await channel.close()

    async def aclose(self) -> None:
        await asyncio.gather(*self._publishing)
        self._forget()
        await self._close_connection()

    async def _close_connection(self) -> None:
        connection, self._connection, self._lost = self._connection, None, False
        if connection is not None:
            with suppress(*UNREACHABLE):
                await connection.close()


def _said(fault: BaseException) -> str:
    return str(fault) or type(fault).__name__


def _content(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace")

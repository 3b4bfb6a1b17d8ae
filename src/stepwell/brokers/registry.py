"""The brokers that are in use, by type and name: connected when they are first sent to."""

from collections import Counter
from collections.abc import Awaitable, Callable

from stepwell.brokers.counting import CountingBroker
from stepwell.brokers.options import BrokerOptions, KafkaOptions
from stepwell.brokers.port import Broker, BrokerError

FindOptions = Callable[[str, str], Awaitable[BrokerOptions | None]]
"""How the broker of that type and name is reached; None when nobody configured it."""


class BrokerRegistry:
    """`Brokers`. What was configured anew is connected to anew."""

    def __init__(self, find: FindOptions) -> None:
        self._find = find
        self._open: dict[tuple[str, str], tuple[BrokerOptions, Broker]] = {}
        self.counts: dict[tuple[str, str], Counter[str]] = {}
        """Messages of each broker, by what became of them, since the process began."""

    async def broker(self, type: str, name: str) -> Broker:
        options = await self._find(type, name)
        if options is None:
            raise BrokerError(f"{_NAMES.get(type, '')}roducer not found: {name}", retryable=False)
        known = self._open.get((type, name))
        if known is not None:
            if known[0] == options:
                return known[1]
            await known[1].aclose()
        counts = self.counts.setdefault((type, name), Counter())
        broker = CountingBroker(_made(options), counts)
        self._open[type, name] = options, broker
        return broker

    def connected(self, type: str, name: str) -> bool:
        """Whether there is a client for it at present."""
        return (type, name) in self._open

    async def aclose(self) -> None:
        """Send what was posted, then let go of all connections."""
        brokers, self._open = self._open, {}
        for _, broker in brokers.values():
            await broker.aclose()


_NAMES = {"kafka": "P", "rabbit": "RabbitMQ p"}


def _made(options: BrokerOptions) -> Broker:
    """The client libraries are extras: imported when they are needed. Raises `BrokerError` without them."""
    if isinstance(options, KafkaOptions):
        try:
            from stepwell.brokers.kafka import KafkaBroker
        except ImportError:
            raise BrokerError("Kafka needs the extra `stepwell[kafka]`", retryable=False) from None
        return KafkaBroker(options)
    try:
        from stepwell.brokers.rabbitmq import RabbitBroker
    except ImportError:
        raise BrokerError("RabbitMQ needs the extra `stepwell[rabbitmq]`", retryable=False) from None
    return RabbitBroker(options)

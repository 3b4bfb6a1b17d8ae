"""What pipelines need from outside; handed in when the application is put together."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any, Protocol

from stepwell.brokers.port import Brokers
from stepwell.sources.port import Wanted

__all__ = ["Brokers", "ItemsOf", "Outside", "Records"]


class Records(Protocol):
    """Data sources that a `query` reads."""

    async def first(self, name: str, wanted: Wanted) -> Mapping[str, Any] | None:
        """A record of the source of that name; None when none fits. Raises `SourceError`."""


ItemsOf = Callable[[str, Collection[str]], AsyncIterator[Any]]
"""What the attempts of some steps put on the stream of their run, oldest first: by run id and keys."""


class Outside:
    """All of it together. Without `records`, queries fail when they are reached.

    `broker_retry_s`: how long a message is sent again that a broker cannot take.
    """

    def __init__(
        self,
        *,
        brokers: Brokers | None = None,
        records: Records | None = None,
        items_of: ItemsOf | None = None,
        broker_retry_s: float = 60.0,
    ) -> None:
        self.brokers = brokers
        self.records = records
        self.items_of = items_of
        self.broker_retry_s = broker_retry_s

"""What pipelines need from outside; handed in when the application is put together."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stepwell.brokers.port import Brokers

__all__ = ["Brokers", "Outside", "Records", "Reports"]


class Records(Protocol):
    """Data sources that a `query` reads."""

    async def first(
        self, connection: str, database: str, collection: str, *, find: Any, fields: Sequence[str]
    ) -> Mapping[str, Any] | None:
        """The first record that `find` describes; None when there is none. Raises `RecordsError`."""


class Reports(Protocol):
    """What runs have put on their streams."""

    async def of_run(self, run_id: str, key: str) -> Sequence[Any]:
        """The items that the attempts of one step published, oldest first."""


class Outside:
    """All of it together. Without `records`, queries fail when they are reached.

    `broker_retry_s`: how long a message is sent again that a broker cannot take.
    """

    def __init__(
        self,
        *,
        brokers: Brokers | None = None,
        records: Records | None = None,
        reports: Reports | None = None,
        broker_retry_s: float = 60.0,
    ) -> None:
        self.brokers = brokers
        self.records = records
        self.reports = reports
        self.broker_retry_s = broker_retry_s

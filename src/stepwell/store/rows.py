"""What every database holds alike: totals by day, the text that is searched, and deliveries as rows."""

import time
from collections import Counter
from functools import lru_cache
from typing import Any, Final

import msgspec

from stepwell.core.status import Status
from stepwell.store.port import Delivery, RunRow

CountKey = tuple[int, str, str]
"""Series, day, status."""
ALL_DAYS: Final = ""

_decode_delivery = msgspec.json.Decoder(Delivery).decode
_encode = msgspec.json.encode


@lru_cache(maxsize=64)
def _day_text(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))


def day_of(at: float) -> str:
    """The UTC day (`YYYY-MM-DD`) of an instant."""
    return _day_text(int(at // 86_400))


def count_change(counts: Counter[CountKey], series: int, row: RunRow, was: Status | None) -> None:
    """Move the run's one from the totals it was in to the totals it is in now."""
    for day in (ALL_DAYS, day_of(row.created_at)):
        counts[series, day, row.status] += 1
        if was is not None:
            counts[series, day, was] -= 1


def search_text(row: RunRow) -> str:
    """What is searched of a run: its id and its labels' values."""
    return " ".join((row.run_id, *row.labels.values()))


def delivery_row(delivery: Delivery) -> tuple[Any, ...]:
    """A new delivery: id, endpoint, status, created_at, due_at, and the rest as JSON."""
    d = delivery
    return (d.id, d.endpoint, d.status, d.created_at, d.due_at, _encode(d).decode())


def settled_row(delivery: Delivery) -> tuple[Any, ...]:
    """What became of one: status, due_at, the rest as JSON, id."""
    d = delivery
    return (d.status, d.due_at, _encode(d).decode(), d.id)


def delivery_of(number: int, status: str, due_at: float | None, shown: str) -> Delivery:
    """A delivery as it was read; the columns are the truth for status and due instant."""
    return msgspec.structs.replace(_decode_delivery(shown), number=number, status=status, due_at=due_at)

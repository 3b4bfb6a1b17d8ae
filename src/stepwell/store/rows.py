"""What every database holds alike: totals by day, and deliveries as rows."""

import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec

from stepwell.core.history import AnyEvent
from stepwell.core.status import Status
from stepwell.store.model import Delivery, Ends, RunRow

CountKey = tuple[int, str, str]
"""Series, day, status."""
Move = tuple[int, str, Status | None, Status]
"""Series, day of the creation, and the status that a run had (None: it is new) and has."""
ALL_DAYS: Final = ""

_decode_delivery = msgspec.json.Decoder(Delivery).decode
_encode = msgspec.json.encode


@lru_cache(maxsize=64)
def _day_text(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))


def day_of(at: float) -> str:
    """The UTC day (`YYYY-MM-DD`) of an instant."""
    return _day_text(int(at // 86_400))


def move_of(series: int, row: RunRow, was: Status | None) -> Move:
    """How a run moves in the totals."""
    return series, day_of(row.created_at), was, row.status


def totals(moves: Counter[Move]) -> list[tuple[int, str, str, int]]:
    """What the totals change by (series, day, status, runs): each run's one goes from where it was to where it is."""
    found: Counter[CountKey] = Counter()
    for (series, created_on, was, status), runs in moves.items():
        for day in (ALL_DAYS, created_on):
            found[series, day, status] += runs
            if was is not None:
                found[series, day, was] -= runs
    return [(*key, runs) for key, runs in found.items() if runs]


def ends_of(rows: Iterable[tuple[str, list[AnyEvent]]]) -> dict[str, Ends]:
    """From the outermost rows of histories, in the order of their seqs; the only row of a history is both."""
    found: dict[str, Ends] = {}
    for run_id, events in rows:
        first = found[run_id].first if run_id in found else events[0]
        found[run_id] = Ends(first, events[-1])
    return found


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

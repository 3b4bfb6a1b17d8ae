"""Webhook deliveries on SQLite: what is due, pages of an endpoint's deliveries, and how old ones go.

The columns are the truth for status and due instant; `shown` holds the rest.
"""

from itertools import product
from typing import Any, Final

import apsw
import msgspec

from stepwell.store.model import Delivery, DeliveryQuery
from stepwell.store.rows import delivery_of
from stepwell.store.sql import statements

ENDED: Final = ("delivered", "failed")
STATUSES: Final = ("pending", *ENDED)


def list_deliveries(connection: apsw.Connection, query: DeliveryQuery) -> list[Delivery]:
    """One page, newest first: merged from the index ranges of the statuses asked for."""
    ranges, values = _ranges(query)
    rows = connection.execute(
        "SELECT id, status, due_at, shown FROM delivery WHERE id IN "
        f"(SELECT id FROM ({ranges} ORDER BY id DESC) LIMIT ? OFFSET ?) ORDER BY id DESC",
        (*values, query.limit, query.offset),
    )
    return [delivery_of(*row) for row in rows]


def count_deliveries(connection: apsw.Connection, query: DeliveryQuery, at_most: int) -> int:
    ranges, values = _ranges(msgspec.structs.replace(query, before=None))
    return int(connection.execute(f"SELECT count(*) FROM ({ranges} LIMIT ?)", (*values, at_most)).get)


def _ranges(query: DeliveryQuery) -> tuple[str, list[Any]]:
    """The ids of a query's deliveries, one index range per status; by their own id along its unique index."""
    if query.id:
        return "SELECT id FROM delivery WHERE uuid = ? AND endpoint = ?", [query.id, query.endpoint]
    statuses = STATUSES if query.status is None else (query.status,)
    below = 2**62 if query.before is None else query.before
    one = "SELECT id FROM delivery WHERE endpoint = ? AND status = ? AND id < ?"
    return " UNION ALL ".join([one] * len(statuses)), [v for s in statuses for v in (query.endpoint, s, below)]


def superfluous(connection: apsw.Connection, created_before: float, keep: int, limit: int) -> list[int]:
    """Numbers of ended deliveries that are old, or too many of one endpoint and status."""
    sql = statements("sqlite")
    found: list[int] = []
    endpoints = [endpoint for (endpoint,) in connection.execute(sql["delivery_endpoints"])]
    for endpoint, status in product(endpoints, ENDED):
        values = (endpoint, status, created_before, keep, limit - len(found))
        found += [number for (number,) in connection.execute(sql["superfluous_deliveries"], values)]
        if len(found) >= limit:
            break
    return found

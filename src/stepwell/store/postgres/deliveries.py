"""Webhook deliveries on PostgreSQL: pages of an endpoint's deliveries, and how old ones go."""

from itertools import product
from typing import Final

import msgspec

from stepwell.store.model import Delivery, DeliveryQuery
from stepwell.store.postgres.connection import Connection
from stepwell.store.postgres.ways import NOWHERE, Values
from stepwell.store.rows import delivery_of
from stepwell.store.sql import statements

ENDED: Final = ("delivered", "failed")
STATUSES: Final = ("pending", *ENDED)


async def list_deliveries(connection: Connection, query: DeliveryQuery) -> list[Delivery]:
    """One page, newest first: merged from the index ranges of the statuses asked for."""
    values = Values()
    ranges = _ranges(query, values)
    limit, offset = values.bind(query.limit, "bigint"), values.bind(query.offset, "bigint")
    rows = await connection.fetch(
        "SELECT id, status, due_at, shown FROM delivery WHERE id IN "
        f"(SELECT id FROM ({ranges}) r ORDER BY id DESC LIMIT {limit} OFFSET {offset}) ORDER BY id DESC",
        *values.all,
    )
    return [delivery_of(*row) for row in rows]


async def count_deliveries(connection: Connection, query: DeliveryQuery, at_most: int) -> int:
    values = Values()
    ranges = _ranges(msgspec.structs.replace(query, before=None), values)
    limit = values.bind(at_most, "bigint")
    return int(
        await connection.fetchval(f"SELECT count(*) FROM (SELECT id FROM ({ranges}) r LIMIT {limit}) c", *values.all)
    )


def _ranges(query: DeliveryQuery, values: Values) -> str:
    """The ids of a query's deliveries, one index range per status; by their own id along its unique index."""
    endpoint = values.bind(query.endpoint, "text")
    if query.id:
        return f"SELECT id FROM delivery WHERE uuid = {values.bind(query.id, 'text')} AND endpoint = {endpoint}"
    below = values.bind(NOWHERE if query.before is None else query.before, "bigint")
    statuses = STATUSES if query.status is None else (query.status,)
    return " UNION ALL ".join(
        f"SELECT id FROM delivery WHERE endpoint = {endpoint} AND status = {place} AND id < {below}"
        for place in [values.bind(status, "text") for status in statuses]
    )


async def superfluous(connection: Connection, created_before: float, keep: int, limit: int) -> list[int]:
    """Numbers of ended deliveries that are old, or too many of one endpoint and status."""
    sql = statements("postgres")
    found: list[int] = []
    endpoints = [endpoint for (endpoint,) in await connection.fetch(sql["delivery_endpoints"])]
    for endpoint, status in product(endpoints, ENDED):
        left = limit - len(found)
        rows = await connection.fetch(sql["superfluous_deliveries"], endpoint, status, created_before, keep, left)
        found += [number for (number,) in rows]
        if len(found) >= limit:
            break
    return found

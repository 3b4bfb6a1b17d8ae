"""Listings of several stores as one, newest first: their own orders stay, and instants of creation merge them.

A page begins after the last row of the page before. Of the store that holds that row this is a place; of another it
is the first row that the merge would not have come to yet: the first that is not newer, or, where the instants are
the same, that stands in a later store.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from stepwell.store.model import ApprovalQuery, ApprovalRow, RunQuery, RunRow
from stepwell.store.port import Store

PAGE: Final = 200
Row = TypeVar("Row", RunRow, ApprovalRow)


def merged(parts: Sequence[Sequence[Row]], at: Callable[[Row], float]) -> list[tuple[int, Row]]:
    """Rows of several lists with the number of their list; each list keeps its order, earlier ones go first."""
    heads = [0] * len(parts)
    found: list[tuple[int, Row]] = []
    while open := [n for n, part in enumerate(parts) if heads[n] < len(part)]:
        newest = max(open, key=lambda n: (at(parts[n][heads[n]]), -n))
        found.append((newest, parts[newest][heads[newest]]))
        heads[newest] += 1
    return found


async def merged_runs(stores: Sequence[Store], query: RunQuery, before_place: int) -> list[RunRow]:
    """One page; `before_place` is the number of the store that holds the run `query.before`."""
    many = query.offset + query.limit
    whole = replace(query, offset=0, limit=many)
    pages: list[Awaitable[list[RunRow]]]
    if query.before is None:
        pages = [store.list_runs(whole) for store in stores]
    else:
        found = await stores[before_place].list_runs(RunQuery(search=query.before, limit=PAGE))
        last = next((row for row in found if row.run_id == query.before), None)
        if last is None:
            return []
        pages = [
            store.list_runs(whole)
            if place == before_place
            else _from(
                store, whole, last.created_at if place < before_place else math.nextafter(last.created_at, math.inf)
            )
            for place, store in enumerate(stores)
        ]
    rows = merged(await asyncio.gather(*pages), lambda row: row.created_at)
    return [row for _, row in rows[query.offset : many]]


async def _from(store: Store, query: RunQuery, older_than: float) -> list[RunRow]:
    """From the first run on that is older, whatever follows it."""
    bound = older_than if query.created_to is None else min(older_than, query.created_to)
    first = await store.list_runs(replace(query, before=None, created_to=bound, limit=1))
    if not first or query.limit == 1:
        return first
    return first + await store.list_runs(replace(query, before=first[0].run_id, limit=query.limit - 1))


async def merged_approvals(stores: Sequence[Store], query: ApprovalQuery) -> list[ApprovalRow]:
    """One page. Nothing tells a place in another store: they are merged from their beginnings; inboxes are short."""
    wanted = PAGE + query.offset + query.limit
    while True:
        parts = await asyncio.gather(
            *(store.list_approvals(replace(query, before=None, offset=0, limit=wanted)) for store in stores)
        )
        rows = [row for _, row in merged(parts, lambda row: row.requested_at)]
        complete = all(len(part) < wanted for part in parts)
        begin = 0
        if query.before is not None:
            begin = next((n + 1 for n, row in enumerate(rows) if row.approval_id == query.before), -1)
        end = begin + query.offset + query.limit
        # What a store has beyond what was read stands behind its last row that was.
        if complete or (begin >= 0 and end <= wanted):
            return rows[begin + query.offset : end] if begin >= 0 else []
        wanted *= 2

"""Listings and totals on PostgreSQL. No listing folds a history or counts runs; `finding` finds a page's runs."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stepwell.core.history import decode_events
from stepwell.core.status import WaitReason
from stepwell.store.model import ApprovalQuery, ApprovalRow, CountQuery, Ends, RunQuery, RunRow
from stepwell.store.postgres.connection import Connection, holds
from stepwell.store.postgres.finding import find, named_series
from stepwell.store.postgres.ways import NOWHERE, Values
from stepwell.store.rows import ALL_DAYS, ends_of
from stepwell.store.sql import statements

_decode_run = msgspec.json.Decoder(RunRow).decode
_decode_approval = msgspec.json.Decoder(ApprovalRow).decode
APPROVAL_STATUSES: Final = ("pending", "approved", "rejected", "expired", "cancelled")


async def list_runs(connection: Connection, query: RunQuery) -> list[RunRow]:
    """One page, newest first. A run that changes its status meanwhile is neither missed nor seen twice."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        page = await connection.fetch(statements("postgres")["list_page"], await find(connection, query))
    return [
        msgspec.structs.replace(_decode_run(shown), seq=seq, step=step, attempts=attempts)
        for _, seq, step, attempts, shown in page
    ]


async def ends(connection: Connection, run_ids: Sequence[str]) -> dict[str, Ends]:
    """How the histories of these runs begin and end."""
    rows = await connection.fetch(statements("postgres")["read_ends"], list(run_ids))
    return ends_of((run_id, decode_events(row)) for run_id, row in rows)


async def count_found(connection: Connection, query: RunQuery, at_most: int) -> int:
    """How many runs the query finds, up to `at_most`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return len(await find(connection, msgspec.structs.replace(query, before=None, offset=0, limit=at_most)))


async def count_runs(connection: Connection, query: CountQuery) -> dict[tuple[str, str], int]:
    """(workflow, status) to number of runs."""
    if not holds(query.workflow or ""):
        return {}
    values = Values()
    days = query.from_day is not None or query.to_day is not None
    where = [f"day {'>' if days else '='} '{ALL_DAYS}'"]
    if query.owner is not None:
        where.append(f"owner = {values.bind(query.owner, 'text')}")
    if query.workflow is not None:
        where.append(f"workflow = {values.bind(query.workflow, 'text')}")
    if query.named:
        series = await named_series(connection, query.owner, query.workflow, query.named)
        where.append(f"series.id = ANY ({values.bind(series, 'bigint[]')})")
    if query.from_day is not None:
        where.append(f"day >= {values.bind(query.from_day, 'text')}")
    if query.to_day is not None:
        where.append(f"day <= {values.bind(query.to_day, 'text')}")
    rows = await connection.fetch(
        "SELECT workflow, status, sum(runs)::bigint FROM series JOIN run_count ON run_count.series = series.id "
        f"WHERE {' AND '.join(where)} GROUP BY workflow, status",
        *values.all,
    )
    return {(workflow, status): number for workflow, status, number in rows if number}


async def count_waiting(connection: Connection, owner: str | None) -> dict[WaitReason, int]:
    """What runs wait for, to number of runs: along run_by_reason."""
    counts = dict.fromkeys(WaitReason, 0)
    rows = await connection.fetch(
        "SELECT reason, count(*) FROM run WHERE status = 'waiting' AND reason = ANY ($1::text[]) "
        "AND ($2::text IS NULL OR owner = $2) GROUP BY reason",
        [str(reason) for reason in WaitReason],
        owner,
    )
    return counts | {WaitReason(reason): number for reason, number in rows}


async def list_approvals(connection: Connection, query: ApprovalQuery) -> list[ApprovalRow]:
    """One page of the inbox, newest first."""
    values = Values()
    below = NOWHERE
    if query.before is not None:
        below = await connection.fetchval("SELECT id FROM approval WHERE uuid = $1", query.before) or 0
    limit, offset = values.bind(query.limit, "bigint"), values.bind(query.offset, "bigint")
    found = _approvals(query, values, below, f"ORDER BY id DESC LIMIT {limit} + {offset}")
    rows = await connection.fetch(
        f"SELECT approval.shown FROM ({found}) found JOIN approval ON approval.id = found.id "
        f"ORDER BY found.id DESC LIMIT {limit} OFFSET {offset}",
        *values.all,
    )
    return [_decode_approval(shown) for (shown,) in rows]


async def count_approvals(connection: Connection, query: ApprovalQuery) -> int:
    """How many approvals there are on all pages."""
    values = Values()
    found = _approvals(query, values, NOWHERE)
    return int(await connection.fetchval(f"SELECT count(*) FROM ({found}) found", *values.all))


def _approvals(query: ApprovalQuery, values: Values, below: int, page: str = "") -> str:
    """The ids of all approvals, or of those that one of the deciders may decide. `page` is how each branch ends: none
    of them reads more than that of the decider table, along its key.
    """
    under, where = values.bind(below, "bigint"), []
    if query.owner is not None:
        where.append(f"approval.owner = {values.bind(query.owner, 'text')}")
    if query.approval_id is not None:
        where.append(f"approval.uuid = {values.bind(query.approval_id, 'text')}")
    if query.run_id is not None:
        where.append(f"approval.run = (SELECT id FROM run WHERE uuid = {values.bind(query.run_id, 'text')})")
    if not query.deciders:
        if query.status is not None:
            where.append(f"approval.status = {values.bind(query.status, 'text')}")
        return f"SELECT id FROM approval WHERE {' AND '.join([f'id < {under}', *where])} {page}"
    given = " AND ".join([f"decider.approval < {under}", *where])
    statuses = APPROVAL_STATUSES if query.status is None else (query.status,)
    return " UNION ".join(
        "(SELECT decider.approval AS id FROM decider JOIN approval ON approval.id = decider.approval "
        f"WHERE decider.who = {who} AND decider.status = {status} AND {given} {page})"
        for who in [values.bind(who, "text") for who in dict.fromkeys(query.deciders)]
        for status in [values.bind(status, "text") for status in statuses]
    )

"""Listings and totals on SQLite. No listing folds a history or counts runs; `finding` finds the runs of a page.

Every answer is one row: each row that is stepped to may have to wait for the interpreter's lock.
"""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.history import AnyEvent
from stepwell.core.status import WaitReason
from stepwell.store.model import ApprovalQuery, ApprovalRow, CountQuery, Ends, RunQuery, RunRow
from stepwell.store.rows import ALL_DAYS, ends_of
from stepwell.store.sql import statements
from stepwell.store.sqlite.connection import transaction
from stepwell.store.sqlite.finding import NOWHERE, find, named_series

_decode_runs = msgspec.json.Decoder(list[tuple[int, str, int, RunRow]]).decode
_decode_histories = msgspec.json.Decoder(list[tuple[str, list[AnyEvent]]]).decode
_decode_approvals = msgspec.json.Decoder(list[ApprovalRow]).decode
_decode_counts = msgspec.json.Decoder(list[tuple[str, str, int]]).decode
_encode = msgspec.json.encode

EVERYTHING: Final = -1
"""As a LIMIT."""
APPROVAL_STATUSES: Final = ("pending", "approved", "rejected", "expired", "cancelled")
_RUNS: Final = """
    SELECT '[' || coalesce(group_concat(
             '[' || seq || ',' || json_quote(step) || ',' || attempts || ',' || shown || ']', ',' ORDER BY id DESC
           ), '') || ']'
    FROM run WHERE id IN (SELECT value FROM json_each(?))
"""


def list_runs(connection: apsw.Connection, query: RunQuery) -> list[RunRow]:
    """One page, newest first."""
    with transaction(connection):  # a run that changes its status meanwhile is neither missed nor seen twice
        page = connection.execute(_RUNS, (_encode(find(connection, query)).decode(),)).get
    return [
        msgspec.structs.replace(row, seq=seq, step=step, attempts=attempts)
        for seq, step, attempts, row in _decode_runs(page)
    ]


def ends(connection: apsw.Connection, run_ids: Sequence[str]) -> dict[str, Ends]:
    """How the histories of these runs begin and end."""
    found = connection.execute(statements("sqlite")["read_ends"], (_encode(run_ids).decode(),)).get
    return ends_of(_decode_histories(found))


def count_found(connection: apsw.Connection, query: RunQuery, at_most: int) -> int:
    """How many runs the query finds, up to `at_most`."""
    with transaction(connection):
        return len(find(connection, msgspec.structs.replace(query, before=None, offset=0, limit=at_most)))


def count_runs(connection: apsw.Connection, query: CountQuery) -> dict[tuple[str, str], int]:
    """(workflow, status) to number of runs.

    Grouped by series first, in the order of the index: by workflow they would be sorted, which takes twice as long.
    """
    days = query.from_day is not None or query.to_day is not None
    series = named_series(connection, query.owner, query.workflow, query.named) if query.named else None
    wanted = [
        ("owner = ?", query.owner),
        ("workflow = ?", query.workflow),
        ("series.id IN (SELECT value FROM json_each(?))", None if series is None else _encode(series).decode()),
        ("day > ?" if days else "day = ?", ALL_DAYS),
        ("day >= ?", query.from_day),
        ("day <= ?", query.to_day),
    ]
    where, values = _where(wanted)
    counts = connection.execute(
        "SELECT json_group_array(json_array(workflow, status, number)) FROM ("
        "SELECT workflow, status, sum(runs) AS number "
        f"FROM series CROSS JOIN run_count ON run_count.series = series.id {where} GROUP BY series.id, status)",
        values,
    ).get
    found: dict[tuple[str, str], int] = {}
    for workflow, status, number in _decode_counts(counts):
        if number:
            key = (workflow, status)
            found[key] = found.get(key, 0) + number
    return found


def count_waiting(connection: apsw.Connection, owner: str | None) -> dict[WaitReason, int]:
    """What runs wait for, to number of runs: along run_by_reason."""
    sql = "SELECT count(*) FROM run WHERE status = 'waiting' AND shown ->> 'reason' = ?"
    sql, values = (sql, ()) if owner is None else (f"{sql} AND owner = ?", (owner,))
    return {reason: int(connection.execute(sql, (reason, *values)).get) for reason in WaitReason}


def list_approvals(connection: apsw.Connection, query: ApprovalQuery) -> list[ApprovalRow]:
    """One page of the inbox, newest first."""
    below = _approval(connection, query)
    where, values = _where([("approval.id < ?", below), *_of_approvals(query)])
    reach = query.limit + query.offset if _is_plain(query) else EVERYTHING
    source, source_values = _asked(query, NOWHERE if below is None else below, reach)
    page = connection.execute(
        "SELECT '[' || coalesce(group_concat(shown, ',' ORDER BY id DESC), '') || ']' FROM ("
        f"SELECT approval.id, approval.shown FROM {source} {where} ORDER BY approval.id DESC LIMIT ? OFFSET ?)",
        (*source_values, *values, query.limit, query.offset),
    ).get
    return _decode_approvals(page)


def count_approvals(connection: apsw.Connection, query: ApprovalQuery) -> int:
    """How many approvals there are on all pages."""
    if query.deciders and _is_plain(query):
        return _count_asked(connection, query)
    where, values = _where(_of_approvals(query))
    source, source_values = _asked(query, NOWHERE, EVERYTHING)
    return int(connection.execute(f"SELECT count(*) FROM {source} {where}", (*source_values, *values)).get)


def _count_asked(connection: apsw.Connection, query: ApprovalQuery) -> int:
    """Along the decider table's key. Who is named by two names is counted under the first."""
    named = list(dict.fromkeys(query.deciders))
    total = 0
    for number, who in enumerate(named):
        sql = "SELECT count(*) FROM decider WHERE who = ? AND status IN (SELECT value FROM json_each(?))"
        values: list[Any] = [who, _encode(_statuses(query)).decode()]
        if number:
            sql += (
                " AND NOT EXISTS (SELECT 1 FROM json_each(?) name CROSS JOIN decider other ON other.who = name.value"
                " AND other.status = decider.status AND other.approval = decider.approval)"
            )
            values.append(_encode(named[:number]).decode())
        total += int(connection.execute(sql, values).get)
    return total


def _of_approvals(query: ApprovalQuery) -> list[tuple[str, Any]]:
    """Conditions and values, as for `_where`; the status first, which the decider table has too."""
    return [
        ("approval.status = ?", query.status),
        ("approval.owner = ?", query.owner),
        ("approval.uuid = ?", query.approval_id),
        ("approval.run = (SELECT id FROM run WHERE uuid = ?)", query.run_id),
    ]


def _statuses(query: ApprovalQuery) -> tuple[str, ...]:
    return APPROVAL_STATUSES if query.status is None else (query.status,)


def _is_plain(query: ApprovalQuery) -> bool:
    """Whether the decider table alone tells which approvals are wanted."""
    return all(value is None for _, value in _of_approvals(query)[1:])


def _asked(query: ApprovalQuery, below: int, reach: int) -> tuple[str, list[Any]]:
    """All approvals, or those that one of the deciders may decide: merged along the decider table's key.

    No page has more than the newest `reach` of one name and status: the others are not looked at.
    """
    if not query.deciders:
        return "approval", []
    ranges = [(who, status, below, reach) for who in dict.fromkeys(query.deciders) for status in _statuses(query)]
    one = (
        "SELECT id FROM (SELECT approval AS id FROM decider WHERE who = ? AND status = ? AND approval < ?"
        " ORDER BY approval DESC LIMIT ?)"
    )
    merged = " UNION ".join([one] * len(ranges))
    values = [value for values in ranges for value in values]
    return f"(SELECT id FROM ({merged} ORDER BY id DESC)) asked CROSS JOIN approval ON approval.id = asked.id", values


def _approval(connection: apsw.Connection, query: ApprovalQuery) -> int | None:
    if query.before is None:
        return None
    return int(connection.execute("SELECT id FROM approval WHERE uuid = ?", (query.before,)).get or 0)


def _where(wanted: Sequence[tuple[str, Any]]) -> tuple[str, list[Any]]:
    """A WHERE clause of the conditions whose value is not None, and those values."""
    given = [(text, value) for text, value in wanted if value is not None]
    conditions = " AND ".join(text for text, _ in given)
    return (f"WHERE {conditions}" if given else ""), [value for _, value in given]

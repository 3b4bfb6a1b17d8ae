"""Listings and totals on SQLite. No listing folds a history or counts runs; `finding` finds the runs of a page.

Every answer is one row: each row that is stepped to may have to wait for the interpreter's lock.
"""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.store.port import ApprovalQuery, ApprovalRow, CountQuery, RunQuery, RunRow
from stepwell.store.sqlite.finding import NOWHERE, find

_decode_runs = msgspec.json.Decoder(list[tuple[int, str, int, RunRow]]).decode
_decode_approvals = msgspec.json.Decoder(list[ApprovalRow]).decode
_decode_counts = msgspec.json.Decoder(list[tuple[str, str, int]]).decode
_encode = msgspec.json.encode

APPROVAL_STATUSES: Final = ("pending", "approved", "rejected", "expired", "cancelled")
_RUNS: Final = """
    SELECT '[' || coalesce(group_concat(
             '[' || seq || ',' || json_quote(step) || ',' || attempts || ',' || shown || ']', ',' ORDER BY id DESC
           ), '') || ']'
    FROM run WHERE id IN (SELECT value FROM json_each(?))
"""


def list_runs(connection: apsw.Connection, query: RunQuery) -> list[RunRow]:
    """One page, newest first."""
    page = connection.execute(_RUNS, (_encode(find(connection, query)).decode(),)).get
    return [
        msgspec.structs.replace(row, seq=seq, step=step, attempts=attempts)
        for seq, step, attempts, row in _decode_runs(page)
    ]


def count_found(connection: apsw.Connection, query: RunQuery, at_most: int) -> int:
    """How many runs the query finds, up to `at_most`."""
    return len(find(connection, msgspec.structs.replace(query, before=None, offset=0, limit=at_most)))


def count_runs(connection: apsw.Connection, query: CountQuery) -> dict[tuple[str, str], int]:
    """(workflow, status) to number of runs."""
    wanted = [
        ("owner = ?", query.owner),
        ("workflow = ?", query.workflow),
        ("day >= ?", query.from_day),
        ("day <= ?", query.to_day),
    ]
    where, values = _where(wanted)
    counts = connection.execute(
        "SELECT json_group_array(json_array(workflow, status, number)) FROM ("
        f"SELECT workflow, status, sum(runs) AS number FROM run_count {where} GROUP BY workflow, status)",
        values,
    ).get
    return {(workflow, status): number for workflow, status, number in _decode_counts(counts) if number}


def list_approvals(connection: apsw.Connection, query: ApprovalQuery) -> list[ApprovalRow]:
    """One page of the inbox, newest first."""
    below = _approval(connection, query)
    wanted = [
        ("approval.status = ?", query.status),
        ("approval.owner = ?", query.owner),
        ("approval.id < ?", below),
        ("approval.run = (SELECT id FROM run WHERE uuid = ?)", query.run_id),
    ]
    where, values = _where(wanted)
    source, source_values = _asked(query, NOWHERE if below is None else below)
    page = connection.execute(
        "SELECT '[' || coalesce(group_concat(shown, ',' ORDER BY id DESC), '') || ']' FROM ("
        f"SELECT approval.id, approval.shown FROM {source} {where} ORDER BY approval.id DESC LIMIT ?)",
        (*source_values, *values, query.limit),
    ).get
    return _decode_approvals(page)


def _asked(query: ApprovalQuery, below: int) -> tuple[str, list[Any]]:
    """All approvals, or those that one of the deciders may decide: merged along the decider table's key."""
    if not query.deciders:
        return "approval", []
    statuses = APPROVAL_STATUSES if query.status is None else (query.status,)
    ranges = [(who, status, below) for who in query.deciders for status in statuses]
    one = "SELECT approval AS id FROM decider WHERE who = ? AND status = ? AND approval < ?"
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

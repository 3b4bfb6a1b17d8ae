"""Listings and totals on SQLite. No page folds a history or counts runs.

A page merges one index range per status (and per workflow), each already in newest-first order, so that its cost is
the size of the page, whatever the number of runs.
"""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.status import Status
from stepwell.store.port import ApprovalQuery, ApprovalRow, CountQuery, RunQuery, RunRow

_decode_run = msgspec.json.Decoder(RunRow).decode
_decode_approval = msgspec.json.Decoder(ApprovalRow).decode

ALL_STATUSES: Final = tuple(Status)
MAX_RANGES: Final = 2_000
TRIGRAM: Final = 3


def list_runs(connection: apsw.Connection, query: RunQuery) -> list[RunRow]:
    """One page, newest first."""
    sql, values = _page(connection, query, "run.id")
    rows = connection.execute(
        f"SELECT seq, step, attempts, shown FROM run WHERE id IN ({sql}) ORDER BY id DESC", values
    )
    return [_shown(*row) for row in rows]


def count_found(connection: apsw.Connection, query: RunQuery, at_most: int) -> int:
    """How many runs the query finds, up to `at_most`."""
    unpaged = msgspec.structs.replace(query, before=None, offset=0, limit=at_most)
    sql, values = _page(connection, unpaged, "run.id")
    return int(connection.execute(f"SELECT count(*) FROM ({sql})", values).get)


def count_runs(connection: apsw.Connection, query: CountQuery) -> dict[tuple[str, str], int]:
    """(workflow, status) to number of runs."""
    wanted = [
        ("owner = ?", query.owner),
        ("workflow = ?", query.workflow),
        ("day >= ?", query.from_day),
        ("day <= ?", query.to_day),
    ]
    where, values = _where(wanted)
    rows = connection.execute(
        f"SELECT workflow, status, sum(runs) FROM run_count {where} GROUP BY workflow, status", values
    )
    return {(workflow, status): runs for workflow, status, runs in rows if runs}


def list_approvals(connection: apsw.Connection, query: ApprovalQuery) -> list[ApprovalRow]:
    """One page of the inbox, newest first."""
    if query.deciders:
        rows = _approvals_of(connection, query)
    else:
        wanted = [
            ("status = ?", query.status),
            ("owner = ?", query.owner),
            ("id < ?", _approval(connection, query)),
            ("run = (SELECT id FROM run WHERE uuid = ?)", query.run_id),
        ]
        where, values = _where(wanted)
        rows = connection.execute(
            f"SELECT shown FROM approval {where} ORDER BY id DESC LIMIT ?", (*values, query.limit)
        )
    return [_decode_approval(shown) for (shown,) in rows]


def _approvals_of(connection: apsw.Connection, query: ApprovalQuery) -> Any:
    """Those that one of the deciders may decide, along the decider table's key."""
    marks = ", ".join("?" * len(query.deciders))
    wanted = [
        ("d.status = ?", query.status),
        ("a.owner = ?", query.owner),
        ("a.id < ?", _approval(connection, query)),
        ("a.run = (SELECT id FROM run WHERE uuid = ?)", query.run_id),
    ]
    where, values = _where(wanted, f"d.who IN ({marks})")
    return connection.execute(
        f"SELECT DISTINCT a.shown FROM decider d JOIN approval a ON a.id = d.approval {where} "
        "ORDER BY a.id DESC LIMIT ?",
        (*query.deciders, *values, query.limit),
    )


def _approval(connection: apsw.Connection, query: ApprovalQuery) -> int | None:
    if query.before is None:
        return None
    return int(connection.execute("SELECT id FROM approval WHERE uuid = ?", (query.before,)).get or 0)


def _where(wanted: Sequence[tuple[str, Any]], *always: str) -> tuple[str, list[Any]]:
    """A WHERE clause of the conditions whose value is not None, and those values."""
    given = [(text, value) for text, value in wanted if value is not None]
    conditions = [*always, *(text for text, _ in given)]
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), [value for _, value in given]


def _shown(seq: int, step: str, attempts: int, shown: str) -> RunRow:
    return msgspec.structs.replace(_decode_run(shown), seq=seq, step=step, attempts=attempts)


def _page(connection: apsw.Connection, query: RunQuery, column: str) -> tuple[str, list[Any]]:
    """A query for the ids of one page, newest first, and its values."""
    filters, filter_values = _filters(connection, query)
    many = query.offset + query.limit
    parts, values = [], []
    for where, range_values in _ranges(connection, query):
        parts.append(
            f"SELECT * FROM (SELECT {column} AS id FROM run WHERE {' AND '.join([*where, *filters]) or 1} "
            f"ORDER BY run.id DESC LIMIT {many:d})"
        )
        values += [*range_values, *filter_values]
    if not parts:
        return "SELECT 0 WHERE 0", []
    union = " UNION ".join(parts)
    return f"SELECT id FROM ({union}) ORDER BY id DESC LIMIT {query.limit:d} OFFSET {query.offset:d}", values


def _filters(connection: apsw.Connection, query: RunQuery) -> tuple[list[str], list[Any]]:
    """What every range is cut by: the place in the listing, the time, and the rare filters."""
    filters, values = [], []
    bounds = [
        ("run.id < ?", _number(connection, query.before)),
        ("run.parent = ?", query.parent_id),
        ("run.shown ->> 'door' = ?", query.door),
        ("run.created_at >= ?", query.created_from),
        ("run.created_at < ?", query.created_to),
    ]
    for text, value in bounds:
        if value is not None:
            filters.append(text)
            values.append(value)
    if query.created_from is not None:
        filters.append("run.id >= ?")
        values.append(_first_since(connection, query.created_from))
    if query.created_to is not None:
        filters.append("run.id < ?")
        values.append(_first_since(connection, query.created_to))
    return filters, values


def _number(connection: apsw.Connection, run_id: str | None) -> int | None:
    if run_id is None:
        return None
    return int(connection.execute("SELECT id FROM run WHERE uuid = ?", (run_id,)).get or 0)


def _first_since(connection: apsw.Connection, at: float) -> int:
    """The lowest run number created at or after an instant, found by the time in the UUIDv7 (RFC 9562 §5.7)."""
    stamp = f"{max(0, int(at * 1000)):012x}"
    bound = f"{stamp[:8]}-{stamp[8:12]}"
    found = connection.execute("SELECT id FROM run WHERE uuid >= ? ORDER BY uuid LIMIT 1", (bound,)).get
    return int(found) if found is not None else 2**62


def _ranges(connection: apsw.Connection, query: RunQuery) -> list[tuple[list[str], list[Any]]]:
    """The index ranges whose merge is the listing: conditions and values of each."""
    text = query.search.strip()
    if not text:
        return _plain_ranges(query.owner, query.workflows, query.statuses)
    matching = [name for name in _workflow_names(connection, query) if text.casefold() in name.casefold()]
    ranges = _plain_ranges(query.owner, tuple(matching), query.statuses) if matching else []
    if len(text) >= TRIGRAM:
        ranges.append(_text_range(query, text))
    return ranges


def _plain_ranges(
    owner: str | None, workflows: tuple[str, ...], statuses: tuple[Status, ...]
) -> list[tuple[list[str], list[Any]]]:
    owner_where, owner_value = (["run.owner = ?"], [owner]) if owner is not None else ([], [])
    if workflows:
        # "+": keep the planner on run_by_workflow, the owner is checked on the way
        owner_where = ["+run.owner = ?"] if owner is not None else []
        names = workflows[: MAX_RANGES // len(ALL_STATUSES)]
        return [
            (["run.workflow = ?", "run.status = ?", *owner_where], [name, status, *owner_value])
            for name in names
            for status in statuses or ALL_STATUSES
        ]
    if not statuses and owner is None:
        return [([], [])]
    return [([*owner_where, "run.status = ?"], [*owner_value, status]) for status in statuses or ALL_STATUSES]


def _workflow_names(connection: apsw.Connection, query: RunQuery) -> list[str]:
    if query.workflows:
        return list(query.workflows)
    where, values = _where([("owner = ?", query.owner)])
    return [name for (name,) in connection.execute(f"SELECT DISTINCT workflow FROM run_count {where}", values)]


def _text_range(query: RunQuery, text: str) -> tuple[list[str], list[Any]]:
    """Runs whose id or label holds `text`: all its trigrams by the index, then the text itself by the row."""
    folded = text.casefold()
    trigrams = dict.fromkeys(folded[at : at + TRIGRAM] for at in range(len(folded) - TRIGRAM + 1))
    match = " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)
    where = [
        "run.id IN (SELECT rowid FROM run_text WHERE run_text MATCH ? ORDER BY rowid DESC)",
        "(instr(lower(run.uuid), ?) OR instr(lower(run.shown ->> 'labels'), ?))",
    ]
    values: list[Any] = [match, folded, folded]
    for column, names in (("workflow", query.workflows), ("status", query.statuses)):
        if names:
            where.append(f"+run.{column} IN ({', '.join('?' * len(names))})")
            values += names
    if query.owner is not None:
        where.append("+run.owner = ?")
        values.append(query.owner)
    return where, values

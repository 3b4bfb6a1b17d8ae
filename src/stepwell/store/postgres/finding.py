"""Finding the runs of one page, newest first, whatever is asked for and however many runs there are.

Several ways lead to the same page: along an owner's statuses, along series, along the trigrams of a text. Each is a
merge of index ranges in the order of the page, on which every other condition is checked run by run. Which of them is
short depends on the data, so they are walked in turns, in growing pieces, and the first that fills the page or comes
to its end has it: the cost is that of the best way, times the number of ways. Trigrams are looked up for blocks of
runs, since an index of this kind gives all its rows at once and in no order; how often they occur (`occurring`) says
how many runs are looked at on the other ways before that.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from stepwell.core.status import Status
from stepwell.store.model import RunQuery
from stepwell.store.postgres.connection import Connection, holds
from stepwell.store.postgres.grams import TRIGRAM, numbers_of
from stepwell.store.postgres.ways import BLOCK_KEYS, NOWHERE, TEXT_KEYS, TextWay, Values, Way, series_keys
from stepwell.store.sql import statements
from stepwell.store.texts import fold, sought

FIRST_PIECE: Final = 64
LONGEST_PIECE: Final = 65_536
MERGED: Final = 60
"""Index ranges merged as they are walked; of more, the newest of each are taken and sorted."""
SPARE: Final = 8
SHORT_TEXT: Final = 20_000
"""A text without a trigram has no index: ids and labels are compared in so many of the newest runs only."""
NEIGHBOURS: Final = 1_000
CHOSEN: Final = 4
"""So many of a text's trigrams are looked up, the rarest: frequent ones exclude little, and their lists are long."""


async def find(connection: Connection, query: RunQuery) -> list[int]:
    """The numbers of the runs on the page, newest first. Inside the caller's transaction."""
    many = query.offset + query.limit
    piece = max(FIRST_PIECE, 2 * many) + (NEIGHBOURS if query.created_to is not None else 0)
    ways: Iterable[Way] = (await _Finder.of(connection, query)).ways()  # made one by one: the first is often enough
    walked: list[Way] = []
    looked_at, page = 0, many
    while True:
        for way in ways:
            walked.append(way)
            if way.price > looked_at:
                continue
            looked_at += piece
            await way.walk(connection, piece if way.condition else page)
            if way.ended or len(way.found) >= many:
                return way.found[query.offset : many]
        ways, walked = walked, []
        piece, page = min(2 * piece, LONGEST_PIECE), 2 * page


class _Finder:
    """The ways to the page of one query."""

    def __init__(self, query: RunQuery) -> None:
        self._query = query
        self._text = sought(query.search)
        self._values = Values()
        self._below = NOWHERE
        self._lowest = 0
        self._series: list[int] | None = None
        self._in_text: list[int] = []
        self._grams: list[int] = []
        self._share = 0.0
        self._counted: dict[tuple[int, str], int] = {}

    @classmethod
    async def of(cls, connection: Connection, query: RunQuery) -> "_Finder":
        finder = cls(query)
        await finder._set_bounds(connection)
        await finder._set_series(connection)
        finder._conditions = dict(finder._all_conditions())
        return finder

    _conditions: dict[str, str]

    async def _set_bounds(self, connection: Connection) -> None:
        """The place in the listing, and the time as far as the order of the numbers tells it."""
        query = self._query
        if query.before is not None:
            before = query.before if holds(query.before) else ""
            self._below = await connection.fetchval("SELECT id FROM run WHERE uuid = $1", before) or 0
        if query.created_from is not None:
            self._lowest, _ = await _numbers_around(connection, query.created_from)
        if query.created_to is not None:
            _, last = await _numbers_around(connection, query.created_to)
            self._below = min(self._below, last + 1)

    async def _set_series(self, connection: Connection) -> None:
        """The series asked for, those whose workflow holds the text, and how many runs the former have."""
        query = self._query
        if query.workflows or query.named:
            self._series = await _of_workflows(connection, query.owner, query.workflows, query.named)
            if not query.workflows and len(self._series) == len(await known(connection, query.owner, ())):
                self._series = None  # every name holds the text
        if self._text:
            all = await known(connection, query.owner, query.workflows)
            self._in_text = [series for series, workflow, _ in all if self._text in fold(workflow)]
            self._grams, self._share, newest = await _rarest(connection, self._text)
            self._below = min(self._below, newest + 1)
        wanted = {*(self._series or ()), *self._in_text}
        if wanted:
            statuses = [str(status) for status in query.statuses or tuple(Status)]
            rows = await connection.fetch(
                "SELECT series, status, runs FROM run_count "
                "WHERE series = ANY ($1::bigint[]) AND day = '' AND status = ANY ($2::text[]) AND runs > 0",
                list(wanted),
                statuses,
            )
            self._counted = {(series, status): runs for series, status, runs in rows}

    # --- conditions -------------------------------------------------------------------------------------------------

    def _all_conditions(self) -> Iterator[tuple[str, str]]:
        query, bind = self._query, self._values.bind
        if query.owner is not None:
            yield "owner", f"run.owner = {bind(query.owner, 'text')}"
        if query.statuses:
            yield "status", f"run.status = ANY ({bind(list(map(str, query.statuses)), 'text[]')})"
        if query.reasons:
            reasons = bind(list(map(str, query.reasons)), "text[]")
            yield "reason", f"(run.status <> 'waiting' OR run.reason = ANY ({reasons}))"
        if query.origins:
            origin = "CASE WHEN run.parent IS NULL THEN run.door ELSE 'child' END"
            yield "origin", f"{origin} = ANY ({bind(list(query.origins), 'text[]')})"
        if self._series is not None:
            yield "series", f"run.series = ANY ({bind(self._series, 'bigint[]')})"
        if query.parent_id is not None:
            yield "parent", f"run.parent = {bind(query.parent_id, 'text')}"
        if query.created_from is not None:
            yield "from", f"run.created_at >= {bind(query.created_from, 'float8')}"
        if query.created_to is not None:
            yield "to", f"run.created_at < {bind(query.created_to, 'float8')}"
        if query.door is not None:
            yield "door", f"run.door = {bind(query.door, 'text')}"
        if self._text:
            yield "text", self._text_condition()

    def _text_condition(self) -> str:
        """The text is in the workflow's name, in the id, or in the value of a label."""
        found = f"EXISTS (SELECT FROM run_text t WHERE t.run = v.id AND {self._holds_text()})"
        named = f"run.series = ANY ({self._values.bind(self._in_text, 'bigint[]')})"
        return f"({named} OR {found})" if self._in_text else found

    def _holds_text(self) -> str:
        return f"position({self._values.bind(self._text, 'text')} in text) > 0"

    # --- ways -------------------------------------------------------------------------------------------------------

    def ways(self) -> Iterator[Way]:
        query, short = self._query, 0 < len(self._text) < TRIGRAM
        if query.parent_id is not None:
            yield self._way([self._conditions["parent"]], "parent")
            return
        if self._series is None:
            yield self._along_statuses(left=SHORT_TEXT if short else NOWHERE)
        else:
            ranges, partial = self._ranges_of_series(self._series)
            yield self._way_of(ranges, "series", "status", "owner", partial=partial)
        if query.door is not None:
            yield self._way([self._conditions["door"]], "door")
        if self._text and not short:
            yield self._along_text()

    def _way(self, places: list[str], *covered: str, left: int = NOWHERE) -> Way:
        return self._way_of(" UNION ALL ".join(map(self._range, places)), *covered, left=left)

    def _way_of(self, ranges: str, *covered: str, left: int = NOWHERE, **more: Any) -> Way:
        condition = self._condition_beside(*covered)
        return Way(ranges, condition, self._values.all, self._lowest, self._below, left, **more)

    def _condition_beside(self, *covered: str) -> str:
        """All conditions but those that a way covers by itself."""
        return " AND ".join(condition for name, condition in self._conditions.items() if name not in covered)

    def _range(self, place: str, limit: str = "{piece}") -> str:
        """The newest runs of a place. Each range has its order and limit of its own: the planner merges them as they
        are read, while it would read those of a plain union to their ends and sort them.
        """
        where = " AND ".join([*([place] if place else []), "id < {below}", "id >= {lowest}"])
        return f"(SELECT id FROM run WHERE {where} ORDER BY id DESC LIMIT {limit})"

    def _along_statuses(self, *, left: int) -> Way:
        """Along run_by_owner or run_by_status, one range per status; along the table when neither is given."""
        owner = self._conditions.get("owner")
        if owner is None and not self._query.statuses:
            return self._way([""], left=left)
        statuses = self._query.statuses or tuple(Status)
        places = [f"status = '{Status(status)}'" for status in statuses]
        by_reason = bool(owner and self._query.reasons and Status.WAITING in statuses)
        if by_reason:  # along run_by_reason, which has the order of the page for one owner
            waits = f"status = '{Status.WAITING}'"
            places.remove(waits)
            places += [f"{waits} AND reason = {self._values.bind(str(one), 'text')}" for one in self._query.reasons]
        places = [f"{owner} AND {place}" for place in places] if owner else places
        return self._way(places, "owner", "status", *(["reason"] if by_reason else []), left=left)

    def _ranges_of_series(self, series: list[int], *, whole: bool = False) -> tuple[str, bool]:
        """Along run_by_series: its ranges merged, or the newest of each of hundreds; whether in part only.

        Of each of hundreds twice its share of the piece is taken, and some, if not `whole` pieces. Where one had more
        than that to give, what is older than the last that it gave is not certain, and left for the next walk.
        """
        among = set(series)
        places = [key for key in self._counted if key[0] in among]
        if not places:
            return "SELECT id FROM run WHERE false", False
        if len(places) <= MERGED:
            ranges = [self._range(f"series = {one} AND status = '{status}'") for one, status in places]
            return " UNION ALL ".join(ranges), False
        total = sum(self._counted[key] for key in places)
        numbers = self._values.bind([one for one, _ in places], "bigint[]")
        statuses = self._values.bind([status for _, status in places], "text[]")
        shares = self._values.bind([1.0 if whole else 2 * self._counted[key] / total for key in places], "float8[]")
        newest = self._range("series = s.series AND status = s.status", limit="t.most")
        return (
            f"WITH place AS MATERIALIZED (SELECT t.most, ARRAY({newest}) AS ids "
            f"FROM unnest({numbers}, {statuses}, {shares}) s (series, status, share) "
            f"CROSS JOIN LATERAL (SELECT least({{piece}}, ceil({{piece}} * s.share)::bigint + {SPARE}) AS most) t) "
            "SELECT id FROM place, unnest(ids) id "
            f"WHERE {'true' if whole else 'id >= (SELECT coalesce(max(ids[most]), 0) FROM place)'}"
        ), not whole

    def _along_text(self) -> TextWay:
        """The runs whose texts hold the text, and those of the workflows whose names do."""
        grams = self._values.bind(self._grams, "int[]")
        where = [f"{TEXT_KEYS} @> {grams}", f"{TEXT_KEYS} && {BLOCK_KEYS}", self._holds_text()]
        if self._series is not None and len(self._series) <= MERGED:
            where.append(f"{TEXT_KEYS} && {self._values.bind(series_keys(self._series), 'int[]')}")
        # With nothing between (OFFSET 0) the planner may rather read the newest texts one by one until enough fit.
        found = f"SELECT run AS id FROM run_text WHERE {' AND '.join(where)} OFFSET 0"
        ranges = f"SELECT id FROM ({found}) t WHERE id < {{below}} AND id >= {{lowest}}"
        if self._in_text:
            ranges = f"{ranges} UNION ({self._ranges_of_series(self._in_text, whole=True)[0]})"
        condition, lowest = self._condition_beside("text"), self._lowest
        return TextWay(ranges, condition, self._values.all, lowest, self._below, oldest=lowest, share=self._share)


async def _rarest(connection: Connection, text: str) -> tuple[list[int], float, int]:
    """The rarest trigrams of a text, in what share of the runs the rarest is, and the number of the newest run."""
    grams = numbers_of(text)
    often, newest = await connection.fetchrow(statements("postgres")["occurring"], grams)
    share = dict(zip(*often, strict=True)) if often else {}
    grams.sort(key=lambda gram: share.get(gram, 0.0))
    return grams[:CHOSEN], share.get(grams[0], 0.0) if grams else 0.0, newest


async def named_series(connection: Connection, owner: str | None, workflow: str | None, text: str) -> list[int]:
    """The series whose name holds the text, in any case."""
    return await _of_workflows(connection, owner, () if workflow is None else (workflow,), text)


async def _of_workflows(
    connection: Connection, owner: str | None, workflows: tuple[str, ...], named: str
) -> list[int]:
    """The series of these workflows (all of them if empty) whose name holds a text, in any case."""
    text = named.strip().casefold()
    all = await known(connection, owner, workflows)
    return [series for series, _, name in all if text in name.casefold()]


async def known(connection: Connection, owner: str | None, workflows: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """Number, workflow and name of series, along series_by_workflow or series_by_owner."""
    values = Values()
    wanted = [f"owner = {values.bind(owner, 'text')}"] if owner is not None else []
    names = [workflow for workflow in workflows if holds(workflow)]
    wanted += [f"workflow = ANY ({values.bind(names, 'text[]')})"] if workflows else []
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = await connection.fetch(f"SELECT id, workflow, name FROM series {where}", *values.all)
    return [(series, workflow, name) for series, workflow, name in rows]


async def _numbers_around(connection: Connection, at: float) -> tuple[int, int]:
    """The numbers between which the runs of an instant are, by the time in the UUIDv7 (RFC 9562 §5.7).

    Numbers follow the time of creation; an id may be older than its run (a child's is made by its parent), and nodes
    number their runs side by side. So some neighbours are taken in, and whoever uses the numbers looks at the time of
    creation, too.
    """
    sql = f"""
        SELECT min(id), max(id) FROM (
          (SELECT id FROM run WHERE uuid >= $1 ORDER BY uuid LIMIT {NEIGHBOURS})
          UNION ALL
          (SELECT id FROM run WHERE uuid < $1 ORDER BY uuid DESC LIMIT {NEIGHBOURS})
        ) around
    """
    row = await connection.fetchrow(sql, _stamp(int(at * 1000)))
    assert row is not None
    return row[0] or 0, row[1] or 0


def _stamp(ms: int) -> str:
    digits = f"{min(max(0, ms), 2**48 - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}"

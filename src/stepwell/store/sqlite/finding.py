"""Finding the runs of one page, newest first, whatever is asked for and however many runs there are.

Several ways lead to the same page: along an owner's statuses, along series, along the trigrams of a text. Each is
an index range (or a merge of some) in the order of the page, on which every other condition is checked run by run.
Which of them is short depends on the data, so they are walked in turns, in growing pieces, and the first that fills
the page or comes to its end has it: the cost is that of the best way, times the number of ways.

Each piece is one statement with one row as its answer: every row that is stepped to may have to wait for the
interpreter's lock, 5 ms at a time, when the event loop is busy.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.status import Status, WaitReason
from stepwell.store.model import RunQuery
from stepwell.store.texts import fold, sought, unfolded

FIRST_PIECE: Final = 64
LONGEST_PIECE: Final = 65_536
MERGED: Final = 45
"""Index ranges merged as they are walked: a series has one per status. SQLite's limit is 500."""
COLLECTED: Final = 20_000
"""Above `MERGED`, so many runs are collected and sorted; with more of them, they are walked window by window."""
WIDER: Final = 8
"""How many times as wide as the one before a window may be."""
SHORT_TEXT: Final = 20_000
"""A text without a trigram has no index: ids and labels are compared in so many of the newest runs only."""
MOST_CASED: Final = 200
"""Letters beyond ASCII whose case does not matter, in a text that is searched: more than a language has."""
TRIGRAM: Final = 3
RAREST: Final = 4
"""Trigrams looked up: the rarest; the text itself is compared anyway."""
SAMPLE: Final = 200
NEIGHBOURS: Final = 1_000
NOWHERE: Final = 2**62

_SEARCHED: Final = """
    lower(run.uuid || ' ' || (SELECT coalesce(group_concat(value, ' '), '') FROM json_each(run.shown, '$.labels')))
"""  # nearly as texts.search_text puts it: it is for counting only

_decode_ids = msgspec.json.Decoder(list[int]).decode
_decode_series = msgspec.json.Decoder(list[tuple[int, str, str]]).decode
_decode_runs_by_status = msgspec.json.Decoder(list[tuple[int, str, int]]).decode
_encode = msgspec.json.encode


class Way(msgspec.Struct):
    """Ranges whose merge is walked, the condition on every run of it, and how far the walk has come."""

    ranges: str
    condition: str
    values: dict[str, Any]
    below: int
    left: int = NOWHERE
    """How many runs may still be looked at."""
    found: list[int] = []
    ended: bool = False

    def walk(self, connection: apsw.Connection, piece: int) -> None:
        """Look at the next `piece` runs."""
        piece = min(piece, self.left)
        runs = f"SELECT id FROM ({self.ranges} ORDER BY id DESC) LIMIT :piece"
        if self.condition:
            runs = f"SELECT v.id, {self.condition} AS fits FROM ({runs}) v LEFT JOIN run ON run.id = v.id"
        fits = "FILTER (WHERE fits)" if self.condition else ""
        sql = f"SELECT count(*), min(id), json_group_array(id) {fits} FROM ({runs})"
        seen, last, ids = connection.execute(sql, {**self.values, "below": self.below, "piece": piece}).get
        self.found += _decode_ids(ids)
        self.left -= piece
        self.ended = seen < piece or self.left <= 0
        self.below = last if seen else self.below


class Windows(Way):
    """Hundreds of ranges, too many to be merged: all of them within a window of numbers, then within the next.

    `ranges` reads from `:from` on. A window holds no more runs than it is wide.
    """

    lowest: int = 0
    width: int = 0

    def walk(self, connection: apsw.Connection, piece: int) -> None:
        """Look at about the next `piece` runs."""
        fits = "FILTER (WHERE fits)" if self.condition else ""
        sql = f"SELECT count(*), json_group_array(id) {fits} FROM ({self._runs()})"
        self.width = self.width or piece
        while piece > 0 and not self.ended:
            start = max(self.lowest, self.below - self.width)
            bounds = {"from": start, "below": self.below}
            seen, ids = connection.execute(sql, {**self.values, **bounds}).get
            self.found += sorted(_decode_ids(ids), reverse=True)
            self.below, self.ended = start, start <= self.lowest
            piece -= seen
            next_width = self.width * piece // seen + FIRST_PIECE if seen else WIDER * self.width
            self.width = max(FIRST_PIECE, min(next_width, WIDER * self.width, LONGEST_PIECE))

    def _runs(self) -> str:
        if not self.condition:
            return self.ranges
        return f"SELECT v.id, {self.condition} AS fits FROM ({self.ranges}) v LEFT JOIN run ON run.id = v.id"


def find(connection: apsw.Connection, query: RunQuery) -> list[int]:
    """The numbers of the runs on the page, newest first. Inside the caller's transaction."""
    many = query.offset + query.limit
    piece = max(FIRST_PIECE, 2 * many) + (NEIGHBOURS if query.created_to is not None else 0)
    ways: Iterable[Way] = _Finder(connection, query).ways()  # made one by one: the first is often enough
    walked: list[Way] = []
    while True:
        for way in ways:
            way.walk(connection, piece if way.condition else many)
            if way.ended or len(way.found) >= many:
                return way.found[query.offset : many]
            walked.append(way)
        ways, walked = walked, []
        piece = min(2 * piece, LONGEST_PIECE)


class _Finder:
    """The ways to the page of one query."""

    def __init__(self, connection: apsw.Connection, query: RunQuery) -> None:
        self._connection = connection
        self._query = query
        self._text = sought(query.search)
        self._values: dict[str, Any] = {"owner": query.owner, "door": query.door, "parent": query.parent_id}
        self._below = NOWHERE
        self._lowest = 0
        self._set_bounds()
        self._series: list[int] | None = None
        if query.workflows or query.named:
            self._series = _of_workflows(connection, query.owner, query.workflows, query.named)
            if not query.workflows and len(self._series) == len(_known(connection, query.owner, ())):
                self._series = None  # every name holds the text
        self._in_text = self._matching_series() if self._text else []
        self._conditions = dict(self._all_conditions())

    # --- conditions -------------------------------------------------------------------------------------------------

    def _set_bounds(self) -> None:
        """The place in the listing, and the time as far as the order of the numbers tells it."""
        query = self._query
        if query.before is not None:
            self._below = self._connection.execute("SELECT id FROM run WHERE uuid = ?", (query.before,)).get or 0
        if query.created_from is not None:
            self._lowest, _ = _numbers_around(self._connection, query.created_from)
        if query.created_to is not None:
            _, last = _numbers_around(self._connection, query.created_to)
            self._below = min(self._below, last + 1)
        self._values |= {"lowest": self._lowest, "from_at": query.created_from, "to_at": query.created_to}

    def _bind(self, value: str) -> str:
        """A name for a value, for use in SQL."""
        name = f"v{len(self._values)}"
        self._values[name] = value
        return f":{name}"

    def _all_conditions(self) -> Iterator[tuple[str, str]]:
        query = self._query
        if query.owner is not None:
            yield "owner", "run.owner = :owner"
        if query.statuses:
            yield "status", f"run.status IN ({', '.join(map(_quoted, query.statuses))})"
        if query.reasons:
            yield "reason", f"(run.status <> 'waiting' OR run.shown ->> 'reason' IN ({_all_quoted(query.reasons)}))"
        if query.origins:
            origin = "CASE WHEN run.parent IS NULL THEN run.shown ->> 'door' ELSE 'child' END"
            yield "origin", f"{origin} IN (SELECT value FROM json_each({self._bind(_json(query.origins))}))"
        if self._series is not None:
            yield "series", self._within(self._series)
        if query.parent_id is not None:
            yield "parent", "run.parent = :parent"
        if query.created_from is not None:
            yield "from", "run.created_at >= :from_at"
        if query.created_to is not None:
            yield "to", "run.created_at < :to_at"
        if query.door is not None:
            yield "door", "run.shown ->> 'door' = :door"
        if self._text:
            yield "text", self._text_condition()

    def _within(self, series: list[int]) -> str:
        return f"run.series IN (SELECT value FROM json_each({self._bind(_json(series))}))"

    def _text_condition(self) -> str:
        """The text is in the workflow's name, in the id, or in the value of a label."""
        text, folded = self._bind(self._text), self._folding()
        label = (
            f"EXISTS (SELECT 1 FROM json_each(run.shown, '$.labels') WHERE instr({folded.format('value')}, {text}))"
        )
        found = f"(instr({folded.format('run.uuid')}, {text}) OR {label})"
        if self._text.isascii():  # a cheap test first: few rows have it anywhere
            found = f"(instr(lower(run.shown), {self._bind(_json(self._text)[1:-1])}) AND {found})"
        return f"({self._within(self._in_text)} OR {found})" if self._in_text else found

    def _folding(self) -> str:
        """SQL with a place for a text, which has all that can be the text sought in small letters. SQLite knows those
        of ASCII only.
        """
        folded = "lower({})"
        cased = [(letter, other) for letter in dict.fromkeys(self._text) for other in unfolded(letter)]
        for letter, other in cased[:MOST_CASED]:
            folded = f"replace({folded}, {self._bind(other)}, {self._bind(letter)})"
        return folded

    # --- ways -------------------------------------------------------------------------------------------------------

    def ways(self) -> Iterator[Way]:
        query, short = self._query, 0 < len(self._text) < TRIGRAM
        if query.parent_id is not None:
            yield self._way(self._range("parent = :parent"), "parent")
            return
        if self._series is None:
            yield self._along_statuses(left=SHORT_TEXT if short else NOWHERE)
        else:
            yield self._along_series(self._counted(self._series))
        if query.door is not None:
            yield self._way(self._range("shown ->> 'door' = :door"), "door")
        if self._text and not short:
            yield from self._along_text()

    def _way(self, ranges: str, *covered: str, left: int = NOWHERE) -> Way:
        rest = [condition for name, condition in self._conditions.items() if name not in covered]
        return Way(ranges, " AND ".join(rest), self._values, self._below, left)

    def _range(self, *conditions: str) -> str:
        return f"SELECT id FROM run WHERE {' AND '.join([*conditions, 'id < :below', 'id >= :lowest'])}"

    def _along_statuses(self, *, left: int) -> Way:
        """Along run_by_owner or run_by_status, one range per status; along the table when neither is given."""
        owner = ["owner = :owner"] if self._query.owner is not None else []
        if not owner and not self._query.statuses:
            return self._way(self._range(), left=left)
        statuses = self._query.statuses or tuple(Status)
        places = [f"status = {_quoted(status)}" for status in statuses]
        by_reason = bool(owner and self._query.reasons and Status.WAITING in statuses)
        if by_reason:  # along run_by_reason, which has the order of the page for one owner
            waits = _quoted(Status.WAITING)
            places = [place for place in places if waits not in place]
            places += [f"status = {waits} AND shown ->> 'reason' = '{one}'" for one in self._query.reasons]
        ranges = " UNION ALL ".join(self._range(*owner, place) for place in places)
        return self._way(ranges, "owner", "status", *(["reason"] if by_reason else []), left=left)

    def _counted(self, series: list[int]) -> dict[tuple[int, str], int]:
        """How many runs there are of each series and status asked for; only what there is."""
        statuses = self._query.statuses or tuple(Status)
        counts = self._connection.execute(
            "SELECT json_group_array(json_array(series, status, runs)) FROM json_each(?) number "
            "CROSS JOIN run_count ON run_count.series = number.value "
            f"WHERE day = '' AND runs > 0 AND status IN ({', '.join(map(_quoted, statuses))})",
            (_json(series),),
        ).get
        return {(number, status): runs for number, status, runs in _decode_runs_by_status(counts)}

    def _along_series(self, counted: dict[tuple[int, str], int]) -> Way:
        """Along run_by_series: its ranges merged, or collected when they are short, else window by window."""
        ranges = self._few_ranges(counted)
        if ranges is not None:
            return self._way(ranges, "series", "status", "owner")
        way = self._way(self._all_ranges(counted, ":from"), "series", "status", "owner")
        last = self._connection.execute("SELECT max(id) FROM run").get or 0
        return Windows(
            way.ranges, way.condition, self._values, min(self._below, last + 1), lowest=max(1, self._lowest)
        )

    def _few_ranges(self, counted: dict[tuple[int, str], int]) -> str | None:
        """Ranges that are few enough to be merged or short enough to be sorted; None when they are neither."""
        if not counted:
            return "SELECT id FROM run WHERE false"
        if len(counted) <= MERGED:
            return " UNION ALL ".join(
                self._range(f"series = {series}", f"status = '{status}'") for series, status in counted
            )
        return self._all_ranges(counted, ":lowest") if sum(counted.values()) <= COLLECTED else None

    def _all_ranges(self, counted: dict[tuple[int, str], int], lowest: str) -> str:
        by_status: dict[str, list[int]] = {}
        for series, status in counted:
            by_status.setdefault(status, []).append(series)
        return " UNION ALL ".join(
            f"SELECT run.id AS id FROM json_each({self._bind(_json(numbers))}) number "
            f"CROSS JOIN run ON run.series = number.value AND run.status = '{status}' "
            f"WHERE run.id < :below AND run.id >= {lowest}"
            for status, numbers in by_status.items()
        )

    def _along_text(self) -> Iterator[Way]:
        """The runs with all the trigrams, and those of the workflows that the text names."""
        match = self._bind(self._match())
        ranges = (
            f"SELECT rowid AS id FROM run_text WHERE run_text MATCH {match} AND rowid < :below AND rowid >= :lowest"
        )
        if self._series is not None:
            counted = self._counted(self._series)
            allowed = self._few_ranges(counted)
            if allowed is not None and sum(counted.values()) <= COLLECTED:
                # index against index, since most runs with the trigrams are of other series; "+": not one by one
                ranges = f"{ranges} AND +rowid IN (SELECT id FROM ({allowed}))"
        if self._in_text:
            named = self._few_ranges(self._counted(self._in_text))
            if named is None:
                return
            ranges = f"{ranges} UNION SELECT id FROM ({named} ORDER BY id DESC)"
        yield self._way(ranges)

    def _match(self) -> str:
        """The text's rarest trigrams, as an FTS5 query: walking those of every run would take as long as reading."""
        text = self._text
        trigrams = list(dict.fromkeys(text[at : at + TRIGRAM] for at in range(len(text) - TRIGRAM + 1)))[:100]
        if len(trigrams) > RAREST:
            seen = self._sampled(trigrams)
            trigrams = sorted(trigrams, key=lambda trigram: seen[trigram])[:RAREST]
        return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)

    def _sampled(self, trigrams: list[str]) -> dict[str, float]:
        """In how many of some runs, from all over the table, each trigram is."""
        last = self._connection.execute("SELECT max(id) FROM run").get or 0
        numbers = _json([last - last * part // SAMPLE for part in range(SAMPLE)])
        counts = ", ".join(f"total(instr(text, ?{number}) > 0)" for number in range(2, len(trigrams) + 2))
        found = self._connection.execute(
            f"SELECT json_array({counts}) FROM (SELECT {_SEARCHED} AS text "
            "FROM json_each(?1) number CROSS JOIN run ON run.id = number.value LIMIT -1 OFFSET 0)",
            (numbers, *trigrams),
        ).get
        return dict(zip(trigrams, msgspec.json.decode(found), strict=True))

    def _matching_series(self) -> list[int]:
        """The series whose workflow holds the text, of those the query allows."""
        known = _known(self._connection, self._query.owner, self._query.workflows)
        return [series for series, workflow, _ in known if self._text in fold(workflow)]


def _json(value: Any) -> str:
    return _encode(value).decode()


def _quoted(status: Status) -> str:
    return f"'{Status(status)}'"


def _all_quoted(reasons: Iterable[WaitReason]) -> str:
    return ", ".join(f"'{WaitReason(reason)}'" for reason in reasons)


def named_series(connection: apsw.Connection, owner: str | None, workflow: str | None, text: str) -> list[int]:
    """The series whose name holds the text, in any case."""
    return _of_workflows(connection, owner, () if workflow is None else (workflow,), text)


def _of_workflows(
    connection: apsw.Connection, owner: str | None, workflows: tuple[str, ...], named: str
) -> list[int]:
    """The series of these workflows (all of them if empty) whose name holds a text, in any case."""
    text = named.strip().casefold()
    return [series for series, _, name in _known(connection, owner, workflows) if text in name.casefold()]


def _known(connection: apsw.Connection, owner: str | None, workflows: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """Number, workflow and name of series, along series_by_workflow or series_by_owner."""
    wanted = ["owner = :owner"] if owner is not None else []
    wanted += ["workflow IN (SELECT value FROM json_each(:workflows))"] if workflows else []
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    values = {"owner": owner, "workflows": _json(workflows)}
    sql = f"SELECT json_group_array(json_array(id, workflow, name)) FROM series {where}"
    return _decode_series(connection.execute(sql, values).get)


def _numbers_around(connection: apsw.Connection, at: float) -> tuple[int, int]:
    """The numbers between which the runs of an instant are, by the time in the UUIDv7 (RFC 9562 §5.7).

    Numbers follow the time of creation; an id may be older than its run (a child's is made by its parent). So some
    neighbours are taken in, and whoever uses the numbers looks at the time of creation, too.
    """
    sql = f"""
        SELECT min(id), max(id) FROM (
          SELECT id FROM (SELECT id FROM run WHERE uuid >= ?1 ORDER BY uuid LIMIT {NEIGHBOURS})
          UNION ALL
          SELECT id FROM (SELECT id FROM run WHERE uuid < ?1 ORDER BY uuid DESC LIMIT {NEIGHBOURS})
        )
    """
    first, last = connection.execute(sql, (_stamp(int(at * 1000)),)).get
    return first or 0, last or 0


def _stamp(ms: int) -> str:
    digits = f"{min(max(0, ms), 2**48 - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}"

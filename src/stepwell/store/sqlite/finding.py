"""Finding the runs of one page, newest first, whatever is asked for and however many runs there are.

Several ways lead to the same page: along an owner's statuses, along a workflow, along the trigrams of a text. Each is
an index range (or a merge of some) in the order of the page, on which every other condition is checked run by run.
Which of them is short depends on the data, so they are walked in turns, in growing pieces, and the first that fills
the page or comes to its end has it: the cost is that of the best way, times the number of ways.

Each piece is one statement with one row as its answer: every row that is stepped to may have to wait for the
interpreter's lock, 5 ms at a time, when the event loop is busy.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, Final

import apsw
import msgspec

from stepwell.core.status import Status
from stepwell.store.port import RunQuery

FIRST_PIECE: Final = 64
LONGEST_PIECE: Final = 65_536
MERGED: Final = 45
"""Index ranges merged as they are walked: a workflow has one per status. SQLite's limit is 500."""
COLLECTED: Final = 20_000
"""Above `MERGED`, so many runs are collected and sorted; with more of them, any other way soon meets enough."""
SHORT_TEXT: Final = 20_000
"""A text without a trigram has no index: ids and labels are compared in so many of the newest runs only."""
TRIGRAM: Final = 3
RAREST: Final = 4
"""Trigrams looked up: the rarest; the text itself is compared anyway."""
SAMPLE: Final = 200
NEIGHBOURS: Final = 1_000
NOWHERE: Final = 2**62

_SEARCHED: Final = """
    lower(run.uuid || ' ' || (SELECT coalesce(group_concat(value, ' '), '') FROM json_each(run.shown, '$.labels')))
"""  # as writer.search_text puts it

_decode_ids = msgspec.json.Decoder(list[int]).decode
_decode_names = msgspec.json.Decoder(list[str]).decode
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


def find(connection: apsw.Connection, query: RunQuery) -> list[int]:
    """The numbers of the runs on the page, newest first."""
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
        self._text = query.search.replace("\0", "").encode(errors="ignore").decode().strip().lower()
        self._values: dict[str, Any] = {"owner": query.owner, "door": query.door, "parent": query.parent_id}
        self._below = NOWHERE
        self._lowest = 0
        self._set_bounds()
        self._named = self._matching_workflows() if self._text else []
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
        if query.workflows:
            yield "workflow", f"run.workflow IN (SELECT value FROM json_each({self._bind(_json(query.workflows))}))"
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

    def _text_condition(self) -> str:
        """The text is in the workflow's name, in the id, or in the value of a label."""
        within = " OR ".join(f"instr(lower(value), {self._bind(text)})" for text in _in_any_case(self._text))
        label = f"EXISTS (SELECT 1 FROM json_each(run.shown, '$.labels') WHERE {within})"
        found = f"(instr(run.uuid, {self._bind(self._text)}) OR {label})"
        if self._text.isascii():  # a cheap test first: few rows have it anywhere
            found = f"(instr(lower(run.shown), {self._bind(_json(self._text)[1:-1])}) AND {found})"
        named = f"run.workflow IN (SELECT value FROM json_each({self._bind(_json(self._named))}))"
        return f"({named} OR {found})" if self._named else found

    # --- ways -------------------------------------------------------------------------------------------------------

    def ways(self) -> Iterator[Way]:
        query, short = self._query, 0 < len(self._text) < TRIGRAM
        if query.parent_id is not None:
            yield self._way(self._range("parent = :parent"), "parent")
            return
        many = len(query.workflows) * len(query.statuses or Status) > MERGED
        if not query.workflows or many:
            yield self._along_statuses(left=SHORT_TEXT if short else NOWHERE)
        if query.workflows:
            ranges = self._workflow_ranges(query.workflows)
            if ranges is not None:
                yield self._way(ranges, "workflow", "status")
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
        ranges = " UNION ALL ".join(self._range(*owner, f"status = {_quoted(status)}") for status in statuses)
        return self._way(ranges, "owner", "status", left=left)

    def _workflow_ranges(self, names: tuple[str, ...] | list[str]) -> str | None:
        """Along run_by_workflow; None when that leads nowhere soon."""
        statuses = self._query.statuses or tuple(Status)
        if len(names) * len(statuses) <= MERGED:
            bound = [(self._bind(name), status) for name in names for status in statuses]
            return " UNION ALL ".join(
                self._range(f"workflow = {name}", f"status = {_quoted(status)}") for name, status in bound
            )
        listed = ", ".join(map(_quoted, statuses))
        every = (
            f"SELECT run.id AS id FROM json_each({self._bind(_json(names))}) name "
            "CROSS JOIN run ON run.workflow = name.value "
            f"WHERE run.status IN ({listed}) AND run.id < :below AND run.id >= :lowest"
        )
        return every if self._few(every) else None

    def _few(self, ranges: str) -> bool:
        """Whether the ranges are short enough to be collected."""
        values = {**self._values, "below": self._below}
        count = f"SELECT count(*) FROM (SELECT id FROM ({ranges}) LIMIT {COLLECTED + 1})"
        return bool(self._connection.execute(count, values).get <= COLLECTED)

    def _along_text(self) -> Iterator[Way]:
        """The runs with all the trigrams, and those of the workflows that the text names."""
        match = self._bind(self._match())
        ranges = (
            f"SELECT rowid AS id FROM run_text WHERE run_text MATCH {match} AND rowid < :below AND rowid >= :lowest"
        )
        if self._query.workflows:
            allowed = self._workflow_ranges(self._query.workflows)
            if allowed is not None and self._few(allowed):
                # index against index, since most runs with the trigrams are of other workflows; "+": not one by one
                ranges = f"{ranges} AND +rowid IN (SELECT id FROM ({allowed}))"
        if self._named:
            named = self._workflow_ranges(self._named)
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

    def _matching_workflows(self) -> list[str]:
        """The names that hold the text, of those the query allows."""
        names = self._query.workflows or _workflow_names(self._connection, self._query.owner)
        return [name for name in names if self._text in name.lower()]


def _json(value: Any) -> str:
    return _encode(value).decode()


def _quoted(status: Status) -> str:
    return f"'{Status(status)}'"


def _in_any_case(text: str) -> list[str]:
    """SQLite's `lower` knows ASCII only: the text with its (first few) other letters both small and as capitals."""
    capitals = 0
    letters: list[tuple[str, ...]] = []
    for letter in text:
        both = not letter.isascii() and letter.upper() != letter and capitals < TRIGRAM + 1
        capitals += both
        letters.append((letter, letter.upper()) if both else (letter,))
    return ["".join(chosen) for chosen in product(*letters)]


def _workflow_names(connection: apsw.Connection, owner: str | None) -> list[str]:
    """All names that ever had a run: one seek for each, along run_count's key or run_by_workflow."""
    first = "SELECT min(workflow) FROM run" if owner is None else "SELECT min(workflow) FROM run_count"
    whose = "owner = ?1 AND" if owner is not None else ""
    sql = f"""
        WITH RECURSIVE known (name) AS (
          {first} WHERE {whose} workflow >= ''
          UNION ALL
          SELECT ({first} WHERE {whose} workflow > name) FROM known WHERE name IS NOT NULL
        )
        SELECT json_group_array(name) FROM known WHERE name IS NOT NULL
    """
    return _decode_names(connection.execute(sql, (owner,) if owner is not None else ()).get)


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

"""One way to the page of a listing, walked in pieces; `finding.py` chooses among several."""

import re
from typing import Any, Final

import msgspec

from stepwell.store.postgres.connection import Connection

BLOCK: Final = 15
"""Runs whose numbers are the same but for so many bits are a block."""
MODULUS: Final = 1_000_000_000
"""The keys of the index are of four bytes: numbers that differ by this share one, and are told apart afterwards."""
TEXT_KEYS: Final = (
    f"(grams || ARRAY[(-1 - 2 * ((run >> {BLOCK}) % {MODULUS}))::int, "
    f"(-2 - 2 * (coalesce(series, 0) % {MODULUS}))::int])"
)
"""What the index run_text_by_place has of a text: its trigrams, its block, and the series of its run, if known."""
BLOCK_KEYS: Final = (
    f"ARRAY(SELECT (-1 - 2 * (b % {MODULUS}))::int "
    f"FROM generate_series({{lowest}} >> {BLOCK}, ({{below}} - 1) >> {BLOCK}) b)"
)
"""Of the blocks that are looked at."""
LOOKED_UP: Final = 2_048
"""Runs that are looked at together once their texts were looked up."""
WANTED: Final = 512
"""As many texts are to be found at a time."""
MOST_GROWTH: Final = 32
"""So many times the blocks of one look, at most, are looked up in the next."""
MOST_BLOCKS: Final = 256
CHEAPER: Final = 2
"""How much less a text that is looked up costs than a run that is looked at."""
NOWHERE: Final = 2**62
_PLACE: Final = re.compile(r"\$(\d+)::")


def series_keys(series: list[int]) -> list[int]:
    """What the index has of the runs of these series, and of those whose series is not known."""
    return [-2 - 2 * (number % MODULUS) for number in (0, *series)]


class Values:
    """The values of a statement, and their places in it."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def bind(self, value: Any, kind: str) -> str:
        """The place of a value of a type."""
        self.all.append(value)
        return f"${len(self.all)}::{kind}"


class Way(msgspec.Struct):
    """Ranges whose merge is walked, the condition on every run of it, and how far the walk has come.

    `ranges` has `{lowest}` and `{below}` for the places between which it is read, and `{piece}` for how much of each
    range is.
    """

    ranges: str
    condition: str
    values: list[Any]
    lowest: int
    below: int
    left: int = NOWHERE
    """How many runs may still be looked at."""
    partial: bool = False
    """Whether a walk may see less than a piece before the end."""
    price: float = 0.0
    """How many are looked at on the other ways before this one is walked further."""
    found: list[int] = []
    ended: bool = False

    async def walk(self, connection: Connection, piece: int) -> None:
        """Look at the next `piece` runs."""
        await self._look_at(connection, piece)

    async def _look_at(self, connection: Connection, piece: int) -> int:
        """How many there were of them."""
        piece = min(piece, self.left)
        runs = f"SELECT id FROM ({self.ranges}) r ORDER BY id DESC LIMIT {{piece}}"
        if self.condition:
            runs = f"SELECT v.id, {self.condition} AS fits FROM ({runs}) v"
        if "run." in self.condition:
            runs += " CROSS JOIN LATERAL (SELECT * FROM run WHERE run.id = v.id LIMIT 1) run"
        fits = "FILTER (WHERE fits)" if self.condition else ""
        sql = f"SELECT count(*), min(id), array_agg(id ORDER BY id DESC) {fits} FROM ({runs}) f"
        bounds, first = {"lowest": self.lowest, "below": self.below, "piece": piece}, len(self.values) + 1
        places = {name: f"${place}::bigint" for place, name in enumerate(bounds, first)}
        row = await connection.fetchrow(*_used(sql.format(**places), [*self.values, *bounds.values()]))
        assert row is not None
        seen, last, ids = row
        self.found += ids or []
        self.left -= piece
        self.ended = seen < (1 if self.partial else piece) or self.left <= 0
        self.below = last if seen else self.below
        return int(seen)


class TextWay(Way):
    """Along the runs with some trigrams, in blocks: the newest one, then so many as seem to hold `WANTED` of them."""

    oldest: int = 0
    """Where the way ends, as `lowest` is where one look does."""
    share: float = 0.0
    """In what share of the runs the rarest trigram is, as far as that is known."""
    blocks: int = 1

    def __post_init__(self) -> None:
        self.price = self.share * (self.blocks << BLOCK) / CHEAPER

    async def walk(self, connection: Connection, piece: int) -> None:
        """Also at more, as long as all of it seems to cost less than a piece of another way."""
        left = piece - await self._look_at_blocks(connection, max(piece, LOOKED_UP))
        while not self.ended and self.price <= left:
            left -= await self._look_at_blocks(connection, max(piece, LOOKED_UP))

    async def _look_at_blocks(self, connection: Connection, piece: int) -> float:
        """What it has cost."""
        newest = (self.below - 1) >> BLOCK
        self.lowest = max(self.oldest, (newest - self.blocks + 1) << BLOCK)
        seen = await self._look_at(connection, piece)
        cost = self.price = seen / CHEAPER
        if self.ended:
            self.below, self.ended = self.lowest, self.lowest <= self.oldest
            growth = min(max(2, WANTED // (seen + 1)), MOST_GROWTH)
            self.blocks = min(growth * self.blocks, MOST_BLOCKS)
            self.price *= growth
        return cost


def _used(sql: str, values: list[Any]) -> tuple[Any, ...]:
    """The statement and the values that it has places for, numbered anew: a way covers some conditions by itself."""
    used = sorted({int(number) for number in _PLACE.findall(sql)})
    places = {number: place for place, number in enumerate(used, 1)}
    return (_PLACE.sub(lambda found: f"${places[int(found[1])]}::", sql), *(values[number - 1] for number in used))

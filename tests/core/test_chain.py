"""The hash chain, by itself: rows that fit, and each way in which they may not."""

import msgspec
import pytest

from stepwell.core.chain import Chain, ChainRow, links, text_of, verify

RUN = "r"
PLAIN, KEYED = Chain(), Chain(b"a key")


def rows_of(chain: Chain, *counts: int, from_row: int = 0) -> list[ChainRow]:
    """Rows of so many events each; those before `from_row` have no hashes."""
    rows: list[ChainRow] = []
    hash, seq = b"", 0
    for number, count in enumerate(counts):
        events = msgspec.json.encode([{"n": seq + place} for place in range(count)])
        if number >= from_row:
            hash = chain.extend(hash or chain.begin(RUN, seq), events)
        rows.append(ChainRow(seq=seq + 1, count=count, events=events, hash=hash))
        seq += count
    return rows


@pytest.mark.parametrize("chain", [PLAIN, KEYED], ids=["plain", "keyed"])
@pytest.mark.parametrize("from_row", [0, 1])
def test_rows_that_nobody_touched_fit(chain: Chain, from_row: int) -> None:
    rows = rows_of(chain, 2, 3, 1, from_row=from_row)
    found = verify(chain, RUN, rows, seq=6)
    assert (found.ok, found.first, found.at, found.fault) == (True, rows[from_row].seq, None, "")
    assert found.hash == text_of(rows[-1].hash)


def _changed(row: int, **fields: object) -> list[ChainRow]:
    rows = rows_of(KEYED, 2, 3, 1)
    return [*rows[:row], msgspec.structs.replace(rows[row], **fields), *rows[row + 1 :]]


WRONG: list[tuple[list[ChainRow], int, int | None, str]] = [
    (_changed(1, events=b'[{"n":2},{"n":3},{"n":9}]'), 6, 3, "does not fit the events"),
    (_changed(1, events=b'[{"n":2},{"n":3}]'), 6, 3, "expected 3 events, found 2"),
    (_changed(1, events=b"[nonsense"), 6, 3, "cannot be read"),
    (_changed(1, hash=b""), 6, 3, "not chained, and those before are"),
    (_changed(1, hash=bytes(32)), 6, 3, "does not fit the events"),
    (rows_of(KEYED, 2, 3, 1)[1:], 6, 3, "event 1 is missing"),
    (rows_of(KEYED, 2, 3, 1)[:2], 6, 6, "its last event is 6"),
    (rows_of(KEYED, 2, 3, 1), 5, 6, "its last event is 5"),
    (rows_of(PLAIN, 2, 3, 1), 6, 1, "does not fit the events"),
    (rows_of(KEYED, 2, from_row=1), 2, None, "no event of it was chained"),
]


@pytest.mark.parametrize(("rows", "seq", "at", "fault"), WRONG, ids=[row[3] for row in WRONG])
def test_first_place_that_does_not_fit_is_named(rows: list[ChainRow], seq: int, at: int | None, fault: str) -> None:
    found = verify(KEYED, RUN, rows, seq=seq)
    assert (found.ok, found.at) == (False, at)
    assert fault in found.fault


def test_links_name_each_hash_and_the_one_before() -> None:
    rows = rows_of(PLAIN, 1, 2, 2, from_row=1)
    found = links(PLAIN, RUN, rows, after_seq=2)
    assert list(found) == [3, 4, 5]
    assert found[4].prev_hash == found[3].hash == text_of(rows[1].hash)
    assert found[5].hash == text_of(rows[2].hash)
    assert links(PLAIN, RUN, rows[1:], after_seq=0)[2].prev_hash == text_of(PLAIN.begin(RUN, 1))

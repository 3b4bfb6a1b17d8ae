"""What every store must do with a search: the same texts are found in the same runs, whatever they are written in."""

import sys
from collections import defaultdict

import pytest

from stepwell.store.model import RunQuery
from stepwell.store.port import Store
from stepwell.store.texts import SEPARATOR, fold, sought, unfolded

from .batches import create, creation, ids

LABELS: dict[str, dict[str, str]] = {
    "two": {"a": "first half", "b": "second half"},
    "three": {"a": "x y", "b": "z"},
    "with NUL": {"a": "be\0fore and after"},
    "with separator": {"a": f"left{SEPARATOR}right"},
    "sigma": {"street": "ΟΔΌΣ ΣΟΦΊΑΣ"},
    "small sigma": {"street": "οδός σοφίας"},
    "capitals": {"city": "НИЖНИЙ НОВГОРОД"},
    "mixed": {"city": "Нижний Новгород"},
    "sharp": {"street": "Große Straße"},
    "units": {"unit": "5 \u212b \u2126 \u212a"},  # the signs of ångström, ohm and kelvin
    "dotted": {"city": "İzmir"},
    "ID of Mine": {},
    "quotes": {"a": 'back\\slash "quoted" \x1b[0m'},
}
"""Labels of a run by its id."""

FOUND: list[tuple[str, set[str]]] = [
    ("first half", {"two"}),
    ("half second", set()),
    ("half\x1fsecond", set()),
    (f"half{SEPARATOR}second half", set()),
    ("half\0second", set()),
    ("halfsecond", set()),
    ("y z", set()),
    ("two first", set()),
    ("fore and", {"with NUL"}),
    ("before", set()),
    ("be", {"with NUL"}),
    ("after\0", {"with NUL"}),
    ("leftright", set()),
    ("right", {"with separator"}),
    ("ΣΟΦΊΑΣ", {"sigma", "small sigma"}),
    ("σοφίας", {"sigma", "small sigma"}),
    ("σοφίασ", {"sigma", "small sigma"}),
    ("Σοφία", {"sigma", "small sigma"}),
    ("οδόσ σ", {"sigma", "small sigma"}),
    ("ός", {"sigma", "small sigma"}),
    ("ς", {"sigma", "small sigma"}),
    ("нижний новгород", {"capitals", "mixed"}),
    ("НИЖНИЙ НОВГОРОД", {"capitals", "mixed"}),
    ("нОВГОРОД", {"capitals", "mixed"}),
    ("STRASSE", set()),
    ("stra\u1e9ee", {"sharp"}),  # the capital of ß
    ("5 å ω", {"units"}),
    ("Å Ω", {"units"}),
    ("\u212b \u2126 \u212a", {"units"}),
    ("ω k", set()),
    ("İZMIR", {"dotted"}),
    ("zmir", {"dotted"}),
    ("id OF mine", {"ID of Mine"}),
    ("BACK\\SLASH", {"quotes"}),
    ('h "QUOTED" \x1b[', {"quotes"}),
    ("\0", set(LABELS)),
    ("", set(LABELS)),
]


@pytest.fixture
async def searched(store: Store) -> Store:
    await create(store, *(creation(run_id, labels=labels) for run_id, labels in LABELS.items()))
    return store


@pytest.mark.parametrize(("search", "wanted"), FOUND, ids=[ascii(search) for search, _ in FOUND])
async def test_search_finds_exactly_the_runs_with_the_text(searched: Store, search: str, wanted: set[str]) -> None:
    assert set(ids(await searched.list_runs(RunQuery(search=search)))) == wanted
    assert await searched.count_found(RunQuery(search=search), 100) == len(wanted)


async def test_name_of_a_workflow_is_found_whatever_its_sigmas(store: Store) -> None:
    await create(store, creation("a", workflow="ΛΌΓΟΣ"), creation("b", workflow="λόγος"), creation("c", workflow="λ"))
    for search in ("λόγος", "λόγοσ", "ΛΌΓΟΣ"):
        assert set(ids(await store.list_runs(RunQuery(search=search)))) == {"a", "b"}


def test_every_letter_is_folded_and_unfolded_alike() -> None:
    others: defaultdict[str, set[str]] = defaultdict(set)
    letters = [chr(number) for number in range(128, sys.maxunicode + 1)]
    for letter in letters:
        folded = fold(letter)
        assert len(folded) == 1
        assert fold(folded) == folded
        if folded != letter:
            others[folded].add(letter)
    assert {letter: set(unfolded(letter)) for letter in letters if unfolded(letter)} == others


def test_nothing_that_is_sought_spans_two_parts() -> None:
    assert sought(f" A\0B{SEPARATOR}C\ud800 ") == "abc"

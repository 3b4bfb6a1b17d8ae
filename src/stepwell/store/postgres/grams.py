"""The trigrams of what is searched, as numbers for a GIN index of integers."""

from collections.abc import Sequence
from typing import Final

from stepwell.store.model import RunRow
from stepwell.store.postgres.connection import numbers_text
from stepwell.store.texts import search_text

LONGEST: Final = 2_000
"""Characters of a run that are indexed; longer labels are found by their beginning."""
TRIGRAM: Final = 3


def searched(row: RunRow) -> str:
    """What is searched of a run, as far as it is indexed."""
    return search_text(row)[:LONGEST]


def numbers_of(text: str) -> list[int]:
    """A number for each trigram of a text; two may share one, so the text itself is compared, too."""
    return sorted(_numbers(text))


def grams_of(text: str) -> str:
    """The numbers of a text, as PostgreSQL's text of an array."""
    return numbers_text(list(_numbers(text)))


def _numbers(text: str) -> set[int]:
    codes: Sequence[int]
    try:
        codes = text.encode("latin-1")  # nearly all texts, and their bytes are the codes
    except UnicodeEncodeError:
        codes = [ord(letter) & 0x3FF for letter in text]
    return {(a << 20) | (b << 10) | c for a, b, c in zip(codes, codes[1:], codes[2:], strict=False)}

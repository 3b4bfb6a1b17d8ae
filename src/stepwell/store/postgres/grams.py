"""The trigrams of what is searched, as numbers for a GIN index of integers."""

from typing import Final

from stepwell.store.port import RunRow
from stepwell.store.rows import search_text

LONGEST: Final = 2_000
"""Characters of a run that are indexed; longer labels are found by their beginning."""
TRIGRAM: Final = 3


def searched(row: RunRow) -> str:
    """What is searched of a run, in small letters; a text that goes from one label into the next finds nothing."""
    return search_text(row).replace("\0", "").lower()[:LONGEST]


def numbers_of(text: str) -> list[int]:
    """A number for each trigram of a text; two may share one, so the text itself is compared, too."""
    codes = [ord(letter) & 0x3FF for letter in text]
    return sorted({(a << 20) | (b << 10) | c for a, b, c in zip(codes, codes[1:], codes[2:], strict=False)})


def grams_of(text: str) -> str:
    """The numbers of a text, in one text (see `insert_texts`)."""
    return " ".join(map(str, numbers_of(text)))

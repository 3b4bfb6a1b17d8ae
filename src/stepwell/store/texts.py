"""What is searched of a run, and for what, the same in every database: whatever a letter's case, within one label.

Letters are folded one by one, so that a text keeps its length, and never to ASCII, whose letters databases fold by
themselves. So the sigma at the end of a word is one like any other, and `ß` is not `ss`.
"""

from functools import lru_cache
from typing import Final

from stepwell.store.model import RunRow

SEPARATOR: Final = "\x1f"
"""Stands between the parts of what is searched, and in no text that is searched for."""
_FINAL_SIGMA, _SIGMA = "ς", "σ"
_MORE: Final = {"å": "\u212b", "ß": "\u1e9e", "θ": "\u03f4", _SIGMA: _FINAL_SIGMA, "ω": "\u2126"}
"""Letters that fold to another one and are not its capital: signs of units, mostly."""


def search_text(row: RunRow) -> str:
    """What is searched of a run, folded: its id and its labels' values. A NUL, which PostgreSQL does not take, ends a
    part.
    """
    return fold(SEPARATOR.join((row.run_id, *row.labels.values())).replace("\0", SEPARATOR))


def sought(search: str) -> str:
    """A text that is searched for, folded, without what no run's text has; "" when nothing is left."""
    known = search.replace("\0", "").replace(SEPARATOR, "").encode(errors="ignore").decode()  # no lone surrogates
    return fold(known.strip())


def fold(text: str) -> str:
    """A text in small letters; as long as it was."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


def unfolded(letter: str) -> list[str]:
    """The other letters that fold to this one, if it is not ASCII."""
    if letter.isascii():
        return []
    candidates = dict.fromkeys((letter.upper(), letter.title(), _MORE.get(letter, letter)))
    return [other for other in candidates if len(other) == 1 and other != letter and _folded(other) == letter]


@lru_cache(maxsize=10_000)
def _folded(letter: str) -> str:
    if letter == _FINAL_SIGMA:
        return _SIGMA
    small = letter.lower()
    return small if len(small) == 1 and small.isascii() == letter.isascii() else letter

"""Anything for a document: it is compiled or refused, it runs or says what went wrong, and it never takes long.

2,000 documents; 1,000,000 with STEPWELL_SOAK=1. A failure names its seed; `STEPWELL_SEED=<seed>` plays it alone.
"""

import os

from .fuzz import play_all, play_on_all_processors

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
CASES = 1_000_000 if SOAK else 2_000


def test_no_document_breaks_or_holds_up_the_server() -> None:
    only = os.environ.get("STEPWELL_SEED")
    if only is not None:
        assert not play_all(range(int(only), int(only) + 1)).failures
        return
    parts = play_on_all_processors(0, CASES) if SOAK else [play_all(range(CASES))]
    ran = 0
    for part in parts:
        assert not part.failures
        ran += part.ran
    assert ran > CASES // 20, "too few documents are valid to say anything"

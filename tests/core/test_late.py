"""Late results: what an attempt came to when nobody waited for it goes on record once, and changes nothing."""

import msgspec
import pytest

from stepwell.core import commands as c
from stepwell.core import history as h
from stepwell.core.decide import Refusal, decide
from stepwell.core.run import fold

from .histories import BOOM, CANCELLED, NOW, STARTED, completed, opened, raw, retrying, running, state_of

DONE = c.CompleteStep(key="s", attempt=1, output=raw("paid"))
FAILED = c.FailAttempt(key="s", attempt=1, error=BOOM)
LATE = h.LateResultDiscarded(at=NOW, key="s", attempt=1, output=raw("paid"))

NOTES: list[tuple[str, list[h.AnyEvent], c.AnyCommand, tuple[h.AnyEvent, ...]]] = [
    ("after a cancel", running(*opened(), CANCELLED), DONE, (LATE,)),
    ("a failure too", running(*opened(), CANCELLED), FAILED,
     (h.LateResultDiscarded(at=NOW, key="s", attempt=1, error=BOOM),)),
    ("when another attempt has begun", running(*opened(), h.AttemptStarted(at=4.0, key="s", attempt=2)),
     DONE, (LATE,)),
    ("between attempts", running(*retrying()), DONE, (LATE,)),
    ("when a retry of the run forgot it", running(*opened(), CANCELLED, h.RunRetried(at=10.0, generation=2), STARTED),
     DONE, (LATE,)),
    ("once", running(*opened(), CANCELLED, LATE), DONE, ()),
    ("not of a step that never began", running(CANCELLED), DONE, ()),
    ("not of an attempt that never began", running(*opened(), CANCELLED),
     c.CompleteStep(key="s", attempt=2), ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "events", "command", "note"), NOTES, ids=[row[0] for row in NOTES])
def test_late_result_is_noted(
    name: str, events: list[h.AnyEvent], command: c.AnyCommand, note: tuple[h.AnyEvent, ...]
) -> None:
    decision = decide(state_of(events), command, NOW)
    assert isinstance(decision, Refusal)
    assert (decision.code, decision.note) == ("late_result", note), name


def test_late_result_changes_nothing_but_the_seq() -> None:
    events = running(*opened("kept"), completed("kept"), *opened(), CANCELLED)
    before, after = state_of(events), fold([*events, LATE])
    assert (after.seq, after.steps["s"].late) == (before.seq + 1, (1,))
    after.seq, after.last_at, after.steps["s"].late = before.seq, before.last_at, ()
    assert msgspec.json.encode(after) == msgspec.json.encode(before)

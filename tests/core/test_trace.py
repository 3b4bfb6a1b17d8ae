"""Where runs, steps and attempts stand in a trace: the ids follow from what is on record, and are none else's."""

import pytest

from stepwell.core import trace
from stepwell.core.place import PLACE, Place, traceparent
from stepwell.core.trace import NO_SPAN, attempt_span, begun, is_traceparent, parts_of, run_span, step_span, under

RUN = "01a22dec-3744-76dd-8f22-e006247674f5"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""The example of W3C Trace Context, §3.2.3."""


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (CALLER, True),
        (begun(RUN, sampled=True), True),
        (CALLER.replace("00-", "01-", 1), False),
        (CALLER.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), False),
        (CALLER.upper(), False),
        (CALLER + "-more", False),
        ("", False),
    ],
)
def test_traceparents_are_told_from_other_texts(text: str, is_one: bool) -> None:
    assert is_traceparent(text) is is_one


@pytest.mark.parametrize("sampled", [True, False])
def test_a_run_without_a_caller_begins_a_trace_of_its_own_id(sampled: bool) -> None:
    assert parts_of(begun(RUN, sampled=sampled)) == (RUN.replace("-", ""), NO_SPAN, sampled)


def test_what_happens_within_a_span_stays_in_its_trace() -> None:
    inside = under(CALLER, run_span(RUN, 1))
    assert is_traceparent(inside)
    assert parts_of(inside) == (parts_of(CALLER)[0], run_span(RUN, 1), True)
    assert under("", run_span(RUN, 1)) == "", "an untraced run has no spans"


def test_spans_are_the_same_everywhere_and_each_is_another_one() -> None:
    spans = [
        run_span(RUN, 1),
        run_span(RUN, 2),
        step_span(RUN, "/do/0/a", 1.0),
        step_span(RUN, "/do/0/a", 2.0),
        step_span(RUN, "/do/1/b", 1.0),
        attempt_span(RUN, "/do/0/a", 1),
        attempt_span(RUN, "/do/0/a", 2),
    ]
    assert len(set(spans)) == len(spans)
    assert run_span(RUN, 1) == spans[0]
    assert all(len(span) == 16 and int(span, 16) for span in spans)


def test_no_span_has_the_id_that_stands_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zeros:
        def __init__(self, *_: object, **__: object) -> None: ...

        def hexdigest(self) -> str:
            return NO_SPAN

    monkeypatch.setattr(trace, "blake2b", Zeros)
    assert run_span(RUN, 1) == "0" * 15 + "1"


def test_what_is_done_here_says_what_calls_carry_along() -> None:
    assert traceparent() == ""
    token = PLACE.set(Place(RUN, "/do/0/a", 1, CALLER))
    try:
        assert traceparent() == CALLER
    finally:
        PLACE.reset(token)

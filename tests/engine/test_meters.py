"""What a process counts: runs and steps by how they ended, how long steps took, why runs failed."""

from stepwell.core import history as h
from stepwell.core.errors import problem
from stepwell.core.run import apply
from stepwell.core.state import State
from stepwell.engine.meters import MAX_CAUSES, MINUTES, OTHER, Histogram, Meters

CREATED = h.RunCreated(at=60.0, run_id="r", workflow="w", version="", definition="d")


def counted(meters: Meters, *events: h.AnyEvent) -> None:
    state = State()
    for event in events:
        apply(state, event)
    meters.committed(state, events, 0)


def test_a_step_is_measured_from_its_scheduling_to_its_end() -> None:
    meters = Meters()

    counted(
        meters,
        CREATED,
        h.StepScheduled(at=61.0, key="/a"),
        h.AttemptStarted(at=61.0, key="/a", attempt=1),
        h.StepCompleted(at=61.2, key="/a"),
        h.RunCompleted(at=61.3),
    )

    assert meters.steps == {"completed": 1}
    assert meters.step_s.quantile(0.5) == 0.25
    assert round(meters.step_s.sum, 6) == 0.2
    assert meters.minutes == {1: {"created": 1, "completed": 1}}


def test_minutes_are_those_of_the_last_hour() -> None:
    meters = Meters()

    for minute in range(200):
        meters.committed(State(), [h.RunCompleted(at=minute * 60.0)], 0)

    assert len(meters.minutes) == MINUTES
    assert min(meters.minutes) == 200 - MINUTES
    assert meters.runs["completed"] == 200


def test_causes_that_programs_make_up_are_bounded() -> None:
    meters = Meters()

    for number in range(MAX_CAUSES + 50):
        meters.committed(State(), [h.RunFailed(at=0.0, error=problem(f"kind{number}", ""))], 0)

    assert len(meters.causes) == MAX_CAUSES + 1
    assert meters.causes[OTHER] == 50
    assert sum(meters.causes.values()) == MAX_CAUSES + 50


def test_quantiles_are_the_bounds_of_their_buckets() -> None:
    histogram = Histogram((1.0, 2.0, 5.0))
    assert histogram.quantile(0.5) is None

    for value in (0.5, 1.5, 1.6, 9.0):
        histogram.add(value)

    assert [histogram.quantile(share) for share in (0.25, 0.5, 1.0)] == [1.0, 2.0, 5.0]
    assert histogram.counts == [1, 2, 0, 1]

"""What steps of a history are called where they have no name of their own."""

import pytest

from stepwell.core.state import Step, StepKind, StepStatus
from stepwell.engine.view_steps import name_of, place_of


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("/timeout/after", "time-out of the run"),
        ("/do/1/hear/timeout/after", "time-out of hear"),
        ("/do/0/each@3/do/1/ask^2/timeout/after", "time-out of ask"),
        ("/do/0/fetch~2/delay", "delay of fetch"),
        ("/do/0/fetch/do/0/delay", "/do/0/fetch/do/0/delay"),
        ("pay/delay", "pay/delay"),  # a program's own key
    ],
)
def test_timer_beside_a_task_is_called_by_what_it_is_for(key: str, name: str) -> None:
    assert name_of(key, step(StepKind.TIMER)) == name


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("", ""),
        ("/timeout/after", "/timeout/after"),
        ("/do/1/hear/timeout/after", "/do/1/hear"),
        ("/do/0/fetch~2/delay", "/do/0/fetch~2"),
        ("/do/0/fetch~2/try/0/get", "/do/0/fetch~2/try/0/get"),
        ("pay/delay", "pay/delay"),
    ],
)
def test_run_is_at_the_task_whose_timer_was_set_last(key: str, place: str) -> None:
    assert place_of(key) == place


def test_step_keeps_its_name() -> None:
    assert name_of("/do/0/fetch~2/delay", step(StepKind.TIMER, "rest")) == "rest"
    assert name_of("/do/0/fetch~2/delay", step(StepKind.CALL)) == "/do/0/fetch~2/delay"


def step(kind: StepKind, name: str = "") -> Step:
    return Step(name=name, kind=kind, status=StepStatus.WAITING, opened_at=0.0)

"""What people are shown of hosted runs: what steps returned, and nothing of how that is kept."""

from typing import Any

import pytest
from workflows import Workflow

from stepwell.core.history import StepCompleted
from stepwell.engine.views import RunView, StepView

from ..harness import Life
from . import samples
from .hosting import CodeWorld, post

PATIENCE_S = 10_000.0


def seen(workflow: Workflow, input: Any = None, *, answer: Any = None) -> tuple[RunView, list[Any]]:
    """The view of one run, and what its history holds of the steps that completed."""

    async def all(life: Life) -> RunView:
        run_id = (await life.engine.start("one", input)).run_id
        if answer is not None:
            await post(life.engine, run_id, "one", answer)
        await life.engine.result(run_id, timeout_s=PATIENCE_S)
        return await life.engine.view(run_id)

    with CodeWorld({"one": workflow}, additional_events=[samples.Answer]) as world:
        view = world.live(all)
        kept = [event.output for event in world.history(view.row.run_id) if isinstance(event, StepCompleted)]
        return view, kept


def outputs(view: RunView, type: str = "task") -> list[tuple[str, Any]]:
    assert all(step.output == step.attempts[-1].output for step in view.steps)
    return [(step.name, step.output) for step in view.steps if step.type == type]


@pytest.mark.parametrize(
    ("workflow", "input", "expected"),
    [
        (samples.Chain(), {"number": 0}, [("begin", {"number": 0}), ("go_on", {"result": [0]})]),
        (samples.Hello(), {"name": "ada"}, [("greet", {"text": "hello ada"})]),
        (
            samples.Lists(),
            {"number": 2},
            [
                ("open", [{"number": 0}, {"number": 1}]),
                ("double", {"number": 0}),
                ("double", {"number": 2}),
                ("close", {"result": [0, 2]}),
            ],
        ),
        (samples.Lists(), {"number": 0}, [("open", []), ("close", {"result": []})]),
    ],
    ids=["fields", "stop event", "list", "empty list"],
)
def test_a_step_shows_the_event_that_it_returned(workflow: Workflow, input: Any, expected: list[Any]) -> None:
    view, kept = seen(workflow, input)

    assert outputs(view) == expected
    assert all(b'"results"' in bytes(raw) for raw in kept), "the history keeps the whole record"


def test_a_step_that_sends_collects_or_waits_shows_nothing() -> None:
    spread, _ = seen(samples.Spread(timeout=None))
    waits, _ = seen(
        samples.Waits(timeout=None),
        {"about": "x"},
        answer={"type": "Answer", "value": {"text": "yes", "about": "x"}},
    )

    assert [output for name, output in outputs(spread) if name in ("send", "collect")][:4] == [None] * 4
    assert outputs(waits) == [("talk", None), ("talk", {"result": "got yes"})]


def test_a_posted_event_is_shown_by_its_fields() -> None:
    view, _ = seen(samples.Human(timeout=None), answer={"type": "Answer", "value": {"text": "yes"}})

    assert outputs(view) == [("ask", {"question": "really?"}), ("end", {"result": "got yes"})]
    assert outputs(view, "event")[0] == ("event", {"text": "yes"})


def test_a_failed_step_shows_why_and_no_more() -> None:
    view, _ = seen(samples.Flaky(timeout=None))
    failed: list[StepView] = [step for step in view.steps if step.status == "failed"]
    errors = [error for step in failed for error in (step.error, step.attempts[-1].error) if error is not None]

    assert [error.detail for error in errors] == ["not yet: 0", "not yet: 0", "not yet: 1", "not yet: 1"]
    assert {error.data for error in errors} == {None}

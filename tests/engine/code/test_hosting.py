"""What hosted workflows do when nothing goes wrong, and when they themselves do."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from workflows import Workflow

from stepwell.core.errors import Problem
from stepwell.core.history import RunFailed, StepCompleted
from stepwell.core.status import Status
from stepwell.engine import RunResult
from stepwell.engine.driver import RunDriver
from stepwell.programs.code.adapter import HostedAdapter
from stepwell.programs.code.running import HostedRun

from ..harness import Life
from . import samples
from .hosting import CodeWorld, post

PATIENCE_S = 10_000.0


def run(workflow: Workflow, input: Any = None) -> RunResult:
    """One run to its end."""
    with CodeWorld({"one": workflow}) as world:
        return world.live(lambda life: life.engine.run("one", input, timeout_s=PATIENCE_S))


def talk(workflow: Workflow, scenario: Callable[[Life, str], Awaitable[Any]], input: Any = None) -> Any:
    """A run, and what happens to it."""

    async def all(life: Life) -> Any:
        started = await life.engine.start("one", input)
        return await scenario(life, started.run_id)

    samples.ran.clear()
    with CodeWorld({"one": workflow}, additional_events=[samples.Answer]) as world:
        return world.live(all)


@pytest.mark.parametrize(
    ("workflow", "input", "output"),
    [
        (samples.Plain(), {"x": [1, None]}, [1, None]),
        (samples.Plain(), None, None),
        (samples.Hello(), {"name": "ada"}, {"text": "hello ada"}),
        (samples.Chain(), {"number": 2}, [2, 1, 0]),
        (samples.Spread(), {}, [[0, 1, 2, 3], {f"part {n}": 1 for n in range(4)}]),
        (samples.Typed(), {}, [2, ["first", "second"]]),
        (samples.Flaky(timeout=None), {}, 2),
        (samples.Injected(), {}, ["a", "b"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Workflow) else "",
)
def test_runs_give_the_original_result(workflow: Workflow, input: Any, output: Any) -> None:
    result = run(workflow, input)

    assert result.error is None
    assert result.output == output


def test_steps_may_be_called_as_what_else_is_on_record() -> None:
    async def scenario(life: Life, run_id: str) -> Any:
        for text, about in (("yes", "this"), ("no", "all")):
            await post(life.engine, run_id, "one", {"type": "Answer", "value": {"text": text, "about": about}})
            await asyncio.sleep(3.0)
        return (await life.engine.result(run_id, timeout_s=PATIENCE_S)).output

    assert talk(samples.Reserved(timeout=None), scenario) == ["yes", "no"]


def test_a_run_of_one_step_takes_two_writes() -> None:
    with CodeWorld({"one": samples.Plain()}) as world:
        world.live(lambda life: life.engine.run("one", {"x": 1}, timeout_s=PATIENCE_S))

        assert world.writes == 2, "its creation with the scheduling of the step, and what came of that"


def test_a_step_that_raises_fails_the_run_with_its_text() -> None:
    result = run(samples.Plain(), {"fail": "boom"})

    assert result.status is Status.FAILED
    assert result.error is not None
    assert (result.error.detail, result.error.title) == ("boom", "ValueError")


def test_a_run_that_takes_too_long_fails_with_the_original_sentence() -> None:
    result = run(samples.Slow(timeout=5), {})

    assert result.error is not None
    assert result.error.detail == "Operation timed out after 5.0 seconds. Currently active steps: only"
    assert result.error.status == 408


def test_a_retry_waits_for_its_delay() -> None:
    async def scenario(life: Life, run_id: str) -> tuple[Any, float]:
        result = await life.engine.result(run_id, timeout_s=PATIENCE_S)
        run = await life.engine.state(run_id)
        assert run.ended_at is not None
        return result.output, run.ended_at - run.created_at

    output, took = talk(samples.Flaky(timeout=None), scenario)

    assert output == 2
    assert 40.0 <= took < 45.0


@pytest.mark.parametrize("waits", [0.0, 1000.0], ids=["at once", "after it was let go of"])
def test_a_posted_event_is_taken(waits: float) -> None:
    async def scenario(life: Life, run_id: str) -> Any:
        await asyncio.sleep(waits)
        if waits:
            assert (await life.engine.get(run_id)).status is Status.WAITING
            assert run_id not in life.engine.drivers.active
        await post(life.engine, run_id, "one", {"type": "Answer", "value": {"text": "yes"}})
        return (await life.engine.result(run_id, timeout_s=PATIENCE_S)).output

    assert talk(samples.Human(timeout=None), scenario) == "got yes"
    assert samples.ran == ["ask", "end yes"]


def test_a_wait_inside_a_step_takes_only_what_it_asked_for() -> None:
    async def scenario(life: Life, run_id: str) -> Any:
        await asyncio.sleep(1000.0)
        for about in ("tea", "coffee"):
            await post(life.engine, run_id, "one", {"type": "Answer", "value": {"text": about, "about": about}})
            await asyncio.sleep(1000.0 if about == "tea" else 0.0)
        return (await life.engine.result(run_id, timeout_s=PATIENCE_S)).output

    output = talk(samples.Waits(timeout=None), scenario, {"about": "coffee", "patience": None})

    assert output == "got coffee"
    assert samples.ran == ["talk", "talk"]


@pytest.mark.parametrize("patience", [3.0, 3000.0], ids=["in memory", "let go of"])
def test_a_wait_inside_a_step_gives_up(patience: float) -> None:
    async def scenario(life: Life, run_id: str) -> tuple[Problem | None, float]:
        result = await life.engine.result(run_id, timeout_s=PATIENCE_S)
        run = await life.engine.state(run_id)
        assert run.ended_at is not None
        return result.error, run.ended_at - run.created_at

    error, took = talk(samples.Waits(timeout=None), scenario, {"about": "tea", "patience": patience})

    assert error is not None
    assert "Timed out waiting for Answer" in error.detail
    assert patience <= took < patience + 5


def test_waiting_counts_against_the_time_out_though_the_run_was_let_go_of() -> None:
    async def scenario(life: Life, run_id: str) -> tuple[Problem | None, float]:
        result = await life.engine.result(run_id, timeout_s=PATIENCE_S)
        run = await life.engine.state(run_id)
        assert run.ended_at is not None
        return result.error, run.ended_at - run.created_at

    error, took = talk(samples.Human(timeout=500), scenario)

    assert error is not None
    assert error.detail == "Operation timed out after 500.0 seconds. No steps active"
    assert 500 <= took < 505


def test_cancelling_ends_the_run_at_once() -> None:
    async def scenario(life: Life, run_id: str) -> Status:
        await asyncio.sleep(1.0)
        await life.engine.cancel(run_id)
        return (await life.engine.result(run_id, timeout_s=PATIENCE_S)).status

    assert talk(samples.Slow(), scenario) is Status.CANCELLED


def test_a_paused_run_goes_on_when_it_is_resumed() -> None:
    async def scenario(life: Life, run_id: str) -> Any:
        await asyncio.sleep(1.5)
        await life.engine.pause(run_id)
        await asyncio.sleep(100.0)
        assert len(samples.ran) == 3
        await life.engine.resume(run_id)
        return (await life.engine.result(run_id, timeout_s=PATIENCE_S)).output

    assert talk(samples.Chain(timeout=None), scenario, {"number": 2}) == [2, 1, 0]


def test_a_retry_of_a_failed_run_does_the_failed_step_again() -> None:
    async def scenario(life: Life, run_id: str) -> tuple[Any, list[str]]:
        failed = await life.engine.result(run_id, timeout_s=PATIENCE_S)
        assert failed.status is Status.FAILED
        await life.engine.retry(run_id)
        again = await life.engine.result(run_id, timeout_s=PATIENCE_S)
        return again.status, list(samples.ran)

    status, ran = talk(samples.Plain(), scenario, {"fail": "boom"})

    assert status is Status.FAILED
    assert ran == ["only", "only"]


def test_stopping_lets_the_step_in_flight_finish() -> None:
    async def scenario(life: Life, run_id: str) -> tuple[Status, list[str]]:
        await asyncio.sleep(0.5)
        await life.engine.stop(run_id)
        status = (await life.engine.result(run_id, timeout_s=PATIENCE_S)).status
        history = await life.engine.history(run_id)
        return status, [event.key for event in history if isinstance(event, StepCompleted)]

    status, completed = talk(samples.Chain(timeout=None), scenario, {"number": 2})

    assert status is Status.CANCELLED
    assert completed == ["begin/1", "go_on/2"]


def test_a_server_that_closes_lets_the_step_in_flight_finish_and_the_next_goes_on() -> None:
    async def first(life: Life) -> str:
        run_id = (await life.engine.start("one", {"number": 2})).run_id
        await asyncio.sleep(0.5)
        return run_id

    samples.ran.clear()
    with CodeWorld({"one": samples.Chain(timeout=None)}) as world:
        run_id = world.live(first)
        result = world.live(lambda life: life.engine.result(run_id, timeout_s=PATIENCE_S))
        world.check()

    assert result.output == [2, 1, 0]
    assert samples.ran == ["begin", "go_on 2", "go_on 1", "go_on 0"]


def test_a_run_goes_on_after_a_roll_back() -> None:
    async def scenario(life: Life, run_id: str) -> Any:
        await life.engine.result(run_id, timeout_s=PATIENCE_S)
        history = await life.engine.history(run_id)
        second = next(n for n, event in enumerate(history, 1) if getattr(event, "key", "") == "go_on/3")
        failed = [event for event in history if isinstance(event, RunFailed)]
        assert failed
        await life.engine.roll_back(run_id, second - 1)
        await life.engine.resume(run_id)
        return (await life.engine.result(run_id, timeout_s=PATIENCE_S)).status

    status = talk(samples.Chain(timeout=2.5), scenario, {"number": 3})

    assert status is Status.FAILED
    assert samples.ran.count("go_on 3") == 1
    assert samples.ran.count("go_on 2") == 2


def test_a_run_that_waits_for_a_person_leaves_nothing_in_memory() -> None:
    async def scenario(life: Life, run_id: str) -> list[Any]:
        await asyncio.sleep(100.0)
        assert run_id not in life.engine.drivers.active
        gc.collect()
        return [thing for thing in gc.get_objects() if isinstance(thing, HostedRun | HostedAdapter | RunDriver)]

    assert talk(samples.Human(timeout=10_000), scenario) == []


def test_a_run_that_has_ended_leaves_nothing_in_memory() -> None:
    async def scenario(life: Life, run_id: str) -> list[Any]:
        await life.engine.result(run_id, timeout_s=PATIENCE_S)
        await asyncio.sleep(100.0)
        gc.collect()
        return [thing for thing in gc.get_objects() if isinstance(thing, HostedRun | HostedAdapter | RunDriver)]

    assert talk(samples.Spread(), scenario) == []

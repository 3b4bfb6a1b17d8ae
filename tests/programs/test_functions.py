"""Registered Python functions: arguments in, results out, failures as problems."""

import asyncio
import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest

from stepwell.core.errors import ERROR_BASE, Problem, StepFailure, problem
from stepwell.core.program import StepContext
from stepwell.core.retry import RetryPolicy
from stepwell.core.status import Status
from stepwell.programs.functions import Function, FunctionExistsError, Functions


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Step:
    run_id, key, attempt, idempotency_key = "r", "/k", 1, "r/k/1"
    traceparent = ""
    status = Status.RUNNING

    def heartbeat(self) -> None: ...

    def think(self, text: str) -> None: ...

    def progress(self, fraction: float) -> None: ...

    def publish(self, item: Any) -> None: ...

    async def saved(self) -> None: ...

    def late(self, value: Any = None, error: BaseException | None = None) -> None: ...


async def call(function: Any, **arguments: Any) -> Any:
    step: StepContext = Step()
    return await Function(function, name="f").work(arguments or None)(step)


async def failure_of(function: Any, **arguments: Any) -> Problem:
    with pytest.raises(StepFailure) as caught:
        await call(function, **arguments)
    return caught.value.problem


async def test_async_function_is_awaited() -> None:
    async def add(a: int, b: int = 1) -> int:
        return a + b

    assert await call(add, a=1) == 2


async def test_sync_function_runs_in_a_thread() -> None:
    def where() -> str:
        return threading.current_thread().name

    assert await call(where) != threading.main_thread().name


async def test_arguments_and_results_are_converted() -> None:
    async def move(point: Point, by: list[int], at: datetime) -> Point:
        assert at.tzinfo == UTC
        return Point(point.x + by[0], point.y + by[1])

    assert await call(move, point={"x": 1}, by=[2, 3], at="2024-01-01T00:00:00Z") == {"x": 3, "y": 3}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00Z"),
        ({"a": Point(1)}, {"a": {"x": 1, "y": 0}}),
        (b"\x00", "AA=="),
        ({3}, [3]),
        (float("nan"), None),
        ("text", "text"),
        (1.5, 1.5),
        (10**30, 10**30),
        (None, None),
    ],
)
async def test_result_becomes_json(result: Any, expected: Any) -> None:
    async def give() -> Any:
        return result

    assert await call(give) == expected


async def test_context_comes_first_by_annotation_or_name() -> None:
    async def annotated(step: StepContext, a: int) -> str:
        return f"{step.key}{a}"

    async def named(ctx: Any, a: int) -> str:
        return f"{ctx.key}{a}"

    assert await call(annotated, a=1) == await call(named, a=1) == "/k1"


async def test_any_name_is_taken_by_a_keyword_parameter() -> None:
    async def every(**rest: Any) -> dict[str, Any]:
        return rest

    assert await call(every, a=1, b=[2]) == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"a": "x"}, "parameter 'a': expected `int`, got `str`"),
        ({"p": {"y": 1}, "a": 1}, "parameter 'p': object missing required field `x`"),
        ({"b": 1, "a": 1}, "parameter 'b': expected only 'a', 'p', found 'b'"),
        ({"p": None}, "parameter 'a': expected a value, found none"),
    ],
)
async def test_bad_argument_names_its_parameter(arguments: dict[str, Any], words: str) -> None:
    async def function(a: int, p: Point | None = None) -> None: ...

    found = await failure_of(function, **arguments)
    assert (found.type, found.status, found.retryable) == (ERROR_BASE + "validation", 400, False)
    assert words in found.detail


async def test_exception_becomes_a_runtime_problem_with_its_last_lines() -> None:
    def broken() -> None:
        raise KeyError("gone")

    found = await failure_of(broken)
    assert (found.type, found.status) == (ERROR_BASE + "runtime", 500)
    assert (found.title, found.detail) == ("KeyError", "'gone'")
    assert found.data["traceback"][-1] == "KeyError: 'gone'"
    assert any("raise KeyError" in line for line in found.data["traceback"])


async def test_step_failure_passes_its_own_problem() -> None:
    own = problem("authorization", "no", status=403, retryable=False)

    async def refuse() -> None:
        raise StepFailure(own)

    assert await failure_of(refuse) is own


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(1), KeyboardInterrupt()])
async def test_what_a_thread_may_not_raise_fails_the_step(error: BaseException) -> None:
    def leave() -> None:
        raise error

    found = await failure_of(leave)
    assert (found.type, found.title) == (ERROR_BASE + "runtime", "RuntimeError")
    assert type(error).__name__ in found.detail


async def test_cancellation_is_not_swallowed() -> None:
    async def sleep() -> None:
        await asyncio.sleep(10)

    task = asyncio.ensure_future(call(sleep))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("result", [object(), {(1, 2): 3}, "\ud800"])
async def test_result_that_is_no_json_is_a_problem(result: Any) -> None:
    async def give() -> Any:
        return result

    found = await failure_of(give)
    assert "expected a result that can be written as JSON" in found.detail


async def test_partial_and_callable_object_work() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    class Adder:
        async def __call__(self, a: int) -> int:
            return a + 1

    assert await call(partial(add, b=5), a=1) == 6
    assert await call(Adder(), a=1) == 2


def test_decorator_leaves_the_function_as_it_is() -> None:
    functions = Functions()

    @functions.function
    def plain(a: int) -> int:
        return a

    @functions.function(name="other", retry=RetryPolicy(max_attempts=2), timeout_s=1.0, heartbeat_timeout_s=2.0)
    def named(a: int) -> int:
        return a

    assert plain(1) == named(1) == 1
    assert sorted(functions.names()) == ["other", "plain"]
    found = functions.find("other")
    assert found is not None
    assert (found.retry.max_attempts, found.timeout_s, found.heartbeat_timeout_s) == (2, 1.0, 2.0)


def test_name_means_one_function() -> None:
    functions = Functions()
    functions.function(name="a")(lambda: None)
    with pytest.raises(FunctionExistsError, match="expected a new name, found 'a'"):
        functions.function(name="a")(lambda: None)


def test_positional_parameters_are_refused_when_registered() -> None:
    def star(*rest: int) -> None: ...

    with pytest.raises(TypeError, match="parameters that can be named"):
        Function(star, name="f")

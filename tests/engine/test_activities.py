"""Activities: their time limits, their failures, what they put on the stream, and what becomes of late results."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from stepwell.core.errors import ProgramError, Suspended
from stepwell.core.program import Program, RunContext, StepContext, Work
from stepwell.core.retry import RetryPolicy
from stepwell.core.status import Status

from .harness import Lab, Life, World
from .scenes import names, play, until


def one(work: Work, **limits: Any) -> Callable[[Lab], Program]:
    """A program of this one activity."""

    def make(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            return await ctx.step("/do", work, **limits)

        return program

    return make


def run_one(work: Work, **limits: Any) -> Any:
    return play({"one": one(work, **limits)}, lambda life: life.engine.run("one"), quiet=True)


def test_late_result_of_a_thread_is_refused() -> None:
    """A synchronous function cannot be stopped: its run ends without it, and its result changes nothing."""
    begun, release, returned = threading.Event(), threading.Event(), threading.Event()

    def blocking() -> str:
        begun.set()
        release.wait(30)
        returned.set()
        return "late"

    async def work(_: StepContext) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, blocking)

    async def scenario(life: Life) -> list[str]:
        run_id = (await life.engine.start("one")).run_id
        assert await asyncio.get_running_loop().run_in_executor(None, begun.wait, 30)
        await life.engine.cancel(run_id)
        assert (await life.engine.result(run_id)).status is Status.CANCELLED
        release.set()
        assert await asyncio.get_running_loop().run_in_executor(None, returned.wait, 30)
        return names(await life.engine.history(run_id))

    history = play({"one": one(work)}, scenario, quiet=True)
    assert history[-1] == "RunCancelled"
    assert "StepCompleted" not in history


def test_result_of_an_activity_that_swallows_its_cancellation_is_refused() -> None:
    async def work(_: StepContext) -> Any:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return "too late"

    async def scenario(life: Life) -> list[str]:
        run_id = (await life.engine.start("one")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await life.engine.cancel(run_id)
        await asyncio.sleep(1)
        return names(await life.engine.history(run_id))

    assert play({"one": one(work)}, scenario, quiet=True)[-1] == "RunCancelled"


def test_attempt_that_takes_too_long_fails_and_is_tried_again() -> None:
    async def work(step: StepContext) -> Any:
        await asyncio.sleep(10 if step.attempt == 1 else 1)
        return step.attempt

    result = run_one(work, timeout_s=5, retry=RetryPolicy(max_attempts=2))
    assert result.output == 2


def test_time_out_names_itself() -> None:
    result = run_one(lambda _: asyncio.sleep(10), timeout_s=5)
    assert (result.error.title, result.error.status) == ("Step time-out", 408)
    assert result.error.detail == "the attempt took longer than 5 s"


def test_heartbeats_keep_an_attempt_alive_until_they_stop() -> None:
    async def lively(step: StepContext) -> Any:
        for _ in range(10):
            await asyncio.sleep(2)
            step.heartbeat()
        return "alive"

    assert run_one(lively, heartbeat_timeout_s=3).output == "alive"
    silent = run_one(lambda _: asyncio.sleep(10), heartbeat_timeout_s=3)
    assert (silent.error.title, silent.error.detail) == ("Heartbeat time-out", "no heartbeat for 3 s")


def test_idempotency_key_is_the_same_on_every_attempt_and_new_after_a_retry_of_the_run() -> None:
    keys = []

    async def work(step: StepContext) -> Any:
        keys.append(step.idempotency_key.removeprefix(step.run_id))
        if len(keys) < 4:
            raise ValueError("not yet")

    async def scenario(life: Life) -> None:
        failed = await life.engine.run("one")
        await life.engine.retry(failed.run_id)
        assert (await life.engine.result(failed.run_id)).status is Status.COMPLETED

    play({"one": one(work, retry=RetryPolicy(max_attempts=3))}, scenario, quiet=True)
    assert keys == ["//do/1", "//do/1", "//do/1", "//do/2"]


FAULTS: list[tuple[BaseException, str, str]] = [
    (ValueError("no such bird"), "ValueError", "no such bird"),
    (ValueError(), "ValueError", "ValueError"),
    (asyncio.CancelledError(), "CancelledError", "CancelledError"),
    (TimeoutError("theirs"), "TimeoutError", "theirs"),
]


@pytest.mark.parametrize(("fault", "title", "detail"), FAULTS)
def test_whatever_an_activity_raises_is_a_record(fault: BaseException, title: str, detail: str) -> None:
    async def work(_: StepContext) -> Any:
        raise fault

    result = run_one(work)
    assert (result.status, result.error.title, result.error.detail) == (Status.FAILED, title, detail)


@pytest.mark.parametrize("value", [object(), {1, 2, object()}, float("nan")], ids=["object", "set", "nan"])
def test_result_that_is_no_json_fails_the_step_or_is_null(value: Any) -> None:
    async def work(_: StepContext) -> Any:
        return value

    result = run_one(work)
    if isinstance(value, float):
        assert result.output is None
    else:
        assert "expected a JSON value" in result.error.detail


def test_items_of_an_activity_carry_its_key_and_attempt() -> None:
    async def work(step: StepContext) -> Any:
        step.think("hm")
        step.progress(0.5)
        step.publish({"a": 1})
        if step.attempt == 1:
            raise ValueError

    async def scenario(life: Life) -> list[Any]:
        result = await life.engine.run("one")
        return [(i.n, i.type, i.data, i.key, i.attempt) for i in await life.engine.stream(result.run_id)]

    items = play({"one": one(work, retry=RetryPolicy(max_attempts=2))}, scenario, quiet=True)
    said = [("thinking", "hm"), ("progress", 0.5), ("item", {"a": 1})]
    assert items == [(n + 1, *said[n % 3], "/do", n // 3 + 1) for n in range(6)]


def test_program_cannot_swallow_its_own_suspension() -> None:
    """`except Exception` around a verb must not keep a run alive that was let go."""

    def stubborn(lab: Lab) -> Program:
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            while True:
                try:
                    await ctx.step("/do", lab.does(1, takes_s=1.0))
                    return await ctx.wait("/wait", "never")
                except Exception:  # noqa: BLE001, S110
                    pass

        return program

    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("stubborn")).run_id
        await asyncio.sleep(0.5)
        life.store.full = True
        await asyncio.sleep(5)
        life.store.full = False
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await life.engine.cancel(run_id)
        assert (await life.engine.result(run_id)).status is Status.CANCELLED

    assert not issubclass(Suspended, Exception)
    with World({"stubborn": stubborn}) as world:
        world.live(scenario)
        world.check(crashes=10)


def test_program_that_sleeps_until_no_time_at_all_fails() -> None:
    def endless(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            await ctx.sleep_until("/sleep", float("inf"))

        return program

    async def scenario(life: Life) -> Any:
        result = await life.engine.run("endless", timeout_s=60)
        assert names(await life.engine.history(result.run_id))
        return result

    assert play({"endless": endless}, scenario, quiet=True).status is Status.FAILED


@pytest.mark.parametrize("fault", [ValueError("boom"), asyncio.CancelledError()], ids=["error", "cancelled"])
def test_branch_that_raises_by_itself_fails_the_run(fault: BaseException) -> None:
    def make(lab: Lab) -> Program:
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            async def bad(_: RunContext) -> Any:
                raise fault

            async def good(ctx: RunContext) -> Any:
                return await ctx.step("/good", lab.does(1, takes_s=10.0))

            return await ctx.race("/race", {"good": good, "bad": bad})

        return program

    result = play({"w": make}, lambda life: life.engine.run("w", timeout_s=60), quiet=True)
    assert result.status is Status.FAILED


def test_race_that_gives_no_json_fails_and_its_failure_is_on_record() -> None:
    def make(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            async def bad(_: RunContext) -> Any:
                return object()

            return await ctx.race("/race", {"bad": bad})

        return program

    async def scenario(life: Life) -> list[str]:
        result = await life.engine.run("w", timeout_s=60)
        assert "expected a JSON value" in str(result.error)
        return names(await life.engine.history(result.run_id))

    assert "RaceDecided" in play({"w": make}, scenario, quiet=True)


def test_branch_alone_fails_on_record_after_an_activity_that_shrugged_its_own_cancel_off() -> None:
    """As some libraries do that cut a call off by cancelling the task: it counts as cancelled from then on."""

    async def cut_off(_: StepContext) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1)

    seen: list[tuple[float, tuple[str, ...]]] = []

    def make(lab: Lab) -> Program:
        failing = lab.does(fails=-1, takes_s=3)

        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            await ctx.step("/call", cut_off)
            try:
                await ctx.race("/all", {"a": lambda inner: inner.step("/do", failing)}, until="all")
            except ProgramError as fault:
                seen.append((ctx.now, fault.forget))
            await ctx.sleep("/sleep", 60)

        return program

    async def scenario(life: Life) -> list[str]:
        result = await life.engine.run("w", timeout_s=600)
        return names(await life.engine.history(result.run_id))

    history = play({"w": make}, scenario, quiet=True)
    assert history.index("RaceDecided") < history.index("TimerSet")
    assert seen[0] == seen[1], "the same on the pass after the sleep"

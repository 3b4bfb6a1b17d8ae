"""Late results: an attempt that nobody waits for any more ends all the same, on record, and changes nothing."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from stepwell.core import history as h
from stepwell.core.program import Program, RunContext, StepContext, Work
from stepwell.core.retry import RetryPolicy
from stepwell.core.status import Status
from stepwell.programs.functions import Function

from .harness import Lab, Life
from .scenes import names, play, until

TWICE = RetryPolicy(max_attempts=2, initial_s=0.01)


def _one(work: Work, **options: Any) -> Callable[[Lab], Program]:
    def make(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            return await ctx.step("/do", work, **options)

        return program

    return make


async def _late(life: Life, run_id: str) -> h.LateResultDiscarded:
    """The late result of a run, once it is on disk."""
    await until(life.engine, run_id, lambda state: any(step.late for step in state.steps.values()))
    (late,) = [event for event in await life.engine.history(run_id) if isinstance(event, h.LateResultDiscarded)]
    return late


def test_thread_of_a_cancelled_run_ends_on_record() -> None:
    began, let_go = threading.Event(), threading.Event()

    def pay() -> str:
        began.set()
        let_go.wait(30)
        return "paid"

    async def scenario(life: Life) -> h.LateResultDiscarded:
        run_id = (await life.engine.start("w")).run_id
        while not began.is_set():  # noqa: ASYNC110  # time is virtual
            await asyncio.sleep(0.01)
        await life.engine.cancel(run_id)
        let_go.set()
        late = await _late(life, run_id)
        assert (await life.engine.get(run_id)).status is Status.CANCELLED
        return late

    late = play({"w": _one(Function(pay, name="pay").work())}, scenario, quiet=True)
    assert (late.key, late.attempt, bytes(late.output), late.error) == ("/do", 1, b'"paid"', None)


def test_thread_that_fails_too_late_says_why() -> None:
    let_go = threading.Event()

    def refuse() -> None:
        let_go.wait(30)
        raise ValueError("no money")

    async def scenario(life: Life) -> h.LateResultDiscarded:
        run_id = (await life.engine.start("w")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await asyncio.sleep(0.1)
        await life.engine.cancel(run_id)
        let_go.set()
        return await _late(life, run_id)

    late = play({"w": _one(Function(refuse, name="refuse").work())}, scenario, quiet=True)
    assert late.error is not None
    assert late.error.detail == "no money"


def test_activity_that_shrugs_a_cancel_off_is_late() -> None:
    async def stubborn(_: StepContext) -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return "done anyway"
        return "done"

    async def scenario(life: Life) -> h.LateResultDiscarded:
        run_id = (await life.engine.start("w")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await asyncio.sleep(0.1)
        await life.engine.cancel(run_id)
        return await _late(life, run_id)

    late = play({"w": _one(stubborn)}, scenario, quiet=True)
    assert bytes(late.output) == b'"done anyway"'


@pytest.mark.parametrize("ends", ["returns", "fails"])
def test_branch_that_shrugs_a_cancel_off_ends_with_its_activity(ends: str) -> None:
    async def stubborn(_: StepContext) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
        await asyncio.sleep(5)
        if ends == "fails":
            raise ValueError("no money")

    def branched(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            return await ctx.race("/all", {"a": lambda inner: inner.step("/do", stubborn)}, until="all")

        return program

    async def scenario(life: Life) -> None:
        before = asyncio.all_tasks()
        run_id = (await life.engine.start("w")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await asyncio.sleep(0.1)
        await life.engine.cancel(run_id)
        await _late(life, run_id)
        await asyncio.sleep(1)
        assert asyncio.all_tasks() <= before, "a task that waits for nothing keeps a server from stopping"

    play({"w": branched}, scenario, quiet=True)


def test_program_that_fails_once_nobody_waits_for_it_ends() -> None:
    def failing_late(lab: Lab) -> Program:
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            try:
                return await ctx.step("/do", lab.does(takes_s=600))
            except asyncio.CancelledError:
                await asyncio.sleep(5)
                raise ValueError("no money") from None

        return program

    async def scenario(life: Life) -> None:
        before = asyncio.all_tasks()
        run_id = (await life.engine.start("w")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await life.engine.cancel(run_id)
        await asyncio.sleep(10)
        assert asyncio.all_tasks() <= before, "a task that waits for nothing keeps a server from stopping"

    play({"w": failing_late}, scenario, quiet=True)


def test_attempt_that_timed_out_ends_beside_the_next_one() -> None:
    let_go = threading.Event()
    attempts: list[int] = []

    def slow(ctx: StepContext) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            let_go.wait(30)
        return f"attempt {ctx.attempt}"

    async def scenario(life: Life) -> tuple[Any, h.LateResultDiscarded]:
        result = await life.engine.run("w", timeout_s=60)
        let_go.set()
        late = await _late(life, result.run_id)
        assert names(await life.engine.history(result.run_id))[-2:] == ["RunCompleted", "LateResultDiscarded"]
        return result.output, late

    work = Function(slow, name="slow").work()
    output, late = play({"w": _one(work, retry=TWICE, timeout_s=0.5)}, scenario, quiet=True)
    assert (output, late.attempt, bytes(late.output)) == ("attempt 2", 1, b'"attempt 1"')


def test_watching_ends_although_a_late_result_follows_the_end() -> None:
    let_go = threading.Event()

    async def scenario(life: Life) -> list[list[str]]:
        run_id = (await life.engine.start("w")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await asyncio.sleep(0.1)
        await life.engine.cancel(run_id)
        let_go.set()
        await _late(life, run_id)
        last = len(await life.engine.history(run_id))
        async with asyncio.timeout(60):
            return [
                [type(seen.event).__name__ async for seen in life.engine.watch(run_id, after_seq=after)]
                for after in (last - 2, last - 1, last)
            ]

    seen = play({"w": _one(Function(lambda: let_go.wait(30), name="f").work())}, scenario, quiet=True)
    assert seen == [["RunCancelled", "LateResultDiscarded"], ["LateResultDiscarded"], []]

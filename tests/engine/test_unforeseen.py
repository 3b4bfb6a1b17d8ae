"""What nobody foresaw: values that cannot be written, failures that are no `Exception`, faults of a duty. One run
suffers at most; the engine and all other runs go on.
"""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import InvalidInputError, StepFailure, StorageError, problem
from stepwell.core.program import Program, RunContext, StepContext
from stepwell.core.state import State
from stepwell.core.status import Status
from stepwell.dispatch.local import FileLock
from stepwell.engine import Engine
from stepwell.engine.duties.loop import DutyLoop

from .harness import Lab, Life
from .scenes import names, play, simple, until, waiting

Body = Callable[[RunContext], Any]


def program_of(body: Body) -> Callable[[Lab], Program]:
    def make(lab: Lab) -> Program:  # noqa: ARG001
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            return await body(ctx)

        return program

    return make


@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"order": 7}},
        {"labels": {"a": "\ud800"}},
        {"start_key": "\ud800"},
        {"start_key": 7},
        {"start_at": "tomorrow"},
        {"start_at": math.nan},
        {"owner": 3},
        {"run_id": "not-a-uuid"},
    ],
)
def test_start_that_cannot_be_written_is_refused_and_others_go_on(options: dict[str, Any]) -> None:
    async def scenario(life: Life) -> None:
        with pytest.raises(InvalidInputError):
            await life.engine.start("simple", 1, **options)
        assert (await life.engine.run("simple", 2)).output == 2

    play({"simple": simple}, scenario)


Doing = Callable[[Engine, str, Any], Awaitable[Any]]
GIVEN: dict[str, Doing] = {
    "input": lambda engine, _, value: engine.start("simple", value),
    "signal": lambda engine, run_id, value: engine.signal(run_id, "go", value),
    "decision": lambda engine, run_id, value: engine.decide_approval(run_id, "a", approved=True, data=value),
    "fork": lambda engine, run_id, value: engine.fork(run_id, input=value),
    "schedule": lambda engine, _, value: engine.schedule("simple", value, every_s=5),
    "event": lambda engine, _, value: engine.send_event({"id": "1", "source": "s", "type": "t", "data": value}),
}


@dataclass
class Measured:
    value: float


@pytest.mark.parametrize("way", GIVEN)
@pytest.mark.parametrize(
    ("value", "place"),
    [
        (math.nan, ""),
        ({"ok": None, "deep/er": [1, {"~": math.inf}]}, "/deep~1er/1/~0"),
        ((None, -math.inf), "/1"),
        ([Measured(math.nan)], "/0/value"),
    ],
)
def test_number_that_is_none_is_refused_and_its_place_named(way: str, value: Any, place: str) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("waiting", {"fine": None})).run_id
        with pytest.raises(InvalidInputError, match="a finite number") as refused:
            await GIVEN[way](life.engine, run_id, value)
        assert f"{place}, found NaN or infinity" in str(refused.value) or not place
        assert len(await life.engine.list_runs()) == 1

    play({"simple": simple, "waiting": waiting}, scenario)


def test_step_that_returns_a_number_that_is_none_fails() -> None:
    async def program(ctx: RunContext) -> Any:
        async def work(_: StepContext) -> Any:
            return {"mean": [1.0, math.nan]}

        return await ctx.step("/s", work)

    async def scenario(life: Life) -> Any:
        return (await life.engine.run("odd")).error

    error = play({"odd": program_of(program)}, scenario)
    assert error.type.endswith("/validation")
    assert "at /mean/1" in error.detail


def test_null_and_empty_numbers_are_values_like_any_other() -> None:
    value = {"null": None, "text": "null", "list": [None, 0.0, -0.0, 1e308], "tuple": (None,)}

    async def scenario(life: Life) -> Any:
        return (await life.engine.run("simple", value)).output

    assert play({"simple": simple}, scenario) == {**value, "tuple": [None]}


async def surrogate(_: StepContext) -> Any:
    raise ValueError("x\ud800")


async def own_surrogate(_: StepContext) -> Any:
    raise StepFailure(problem("runtime", "y\ud800", data={"z": "\ud800"}))


async def leaves(_: StepContext) -> Any:
    raise SystemExit(3)


async def cancels_itself(_: StepContext) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("work", [surrogate, own_surrogate, leaves, cancels_itself])
def test_activity_with_an_odd_failure_fails_its_run_once(work: Callable[[StepContext], Any]) -> None:
    calls: list[int] = []

    async def counted(context: StepContext) -> Any:
        calls.append(context.attempt)
        return await work(context)

    async def scenario(life: Life) -> None:
        result = await life.engine.run("odd")
        assert result.status is Status.FAILED
        assert (await life.engine.run("simple", 2)).output == 2

    play({"odd": program_of(lambda ctx: ctx.step("/do", counted)), "simple": simple}, scenario)
    assert calls == [1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda ctx: ctx.approve("a", ApprovalRequest(approvers="ann")), "approval"),  # type: ignore[arg-type]
        (lambda ctx: ctx.approve("a", ApprovalRequest(on_timeout="bogus")), "approval"),  # type: ignore[arg-type]
        (lambda ctx: ctx.approve("a", ApprovalRequest(required=0)), "required"),
        (lambda ctx: ctx.emit("e", {"a": 1}), "emit: id"),
        (lambda ctx: ctx.sleep_until("", ctx.now + 1), "key"),
        (lambda ctx: ctx.record("", 1), "key"),
    ],
)
def test_verb_that_cannot_be_right_fails_the_run_with_the_reason(body: Body, words: str) -> None:
    async def scenario(life: Life) -> None:
        result = await life.engine.run("wrong")
        assert result.status is Status.FAILED
        assert words in str(result.error)

    play({"wrong": program_of(body)}, scenario)


def test_fork_sends_no_event_anew_and_has_its_own_stream() -> None:
    event = {"id": "1", "source": "/test", "type": "told"}

    async def body(ctx: RunContext) -> Any:
        await ctx.emit("/emit", event)
        await ctx.publish("/publish", 1)
        return await ctx.wait("/wait", "go")

    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("told")).run_id
        await until(life.engine, run_id, waits)
        at_seq = len(await life.engine.history(run_id))
        forked = (await life.engine.fork(run_id, at_seq=at_seq)).run_id
        await until(life.engine, forked, waits)
        happened = names(await life.engine.history(forked))
        assert (happened.count("EventEmitted"), happened.count("ItemPublished")) == (0, 1)
        assert [item.data for item in await life.engine.stream(forked)] == [1]
        for id in (run_id, forked):
            await life.engine.signal(id, "go")
            await life.engine.result(id)

    play({"told": program_of(body)}, scenario)


def waits(state: State) -> bool:
    return state.status is Status.WAITING


async def test_duty_that_fails_runs_again() -> None:
    done = asyncio.Event()
    runs: list[float] = []

    class Failing:
        name = "failing"

        async def run_once(self, now: float) -> float:
            runs.append(now)
            if len(runs) == 1:
                raise OverflowError("a number that nobody expected")
            done.set()
            return 60.0

    class Clock:
        def now(self) -> float:
            return 0.0

    loop = DutyLoop(Failing(), Clock())
    loop.start()
    loop.nudge()
    await asyncio.wait_for(done.wait(), 30)
    await loop.stop()


def test_lock_is_on_the_file_whatever_links_lead_to_it(tmp_path: Path) -> None:
    database = tmp_path / "runs.db"
    database.touch()
    (tmp_path / "other.db").symlink_to(database)
    lock = FileLock(str(database)).acquire()
    with pytest.raises(StorageError, match="is driven by another process"):
        FileLock(str(tmp_path / "other.db")).acquire()
    lock.release()


def test_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    database = str(tmp_path / "runs.db")
    lock = FileLock(database).acquire()
    ready, begun = os.pipe()
    release, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.write(begun, b"1")
        os.read(release, 1)  # until the parent has had its turn
        os._exit(0)
    try:
        os.read(ready, 1)
        lock.release()
        FileLock(database).acquire().release()
    finally:
        os.close(end)
        os.waitpid(child, 0)
        for end_of_pipe in (ready, begun, release):
            os.close(end_of_pipe)

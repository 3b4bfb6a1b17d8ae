"""Plans with every type of step, stopped at every write to the store and gone on with in another life.

Nothing differs: the run ends as it would have, what was on record stays, and no recorded step is done again (the
invariants see to that). The same for a pause, a cancel and a retry that come at any moment.
"""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from msgspec import Raw

from engine.harness import CrashAt
from stepwell.core import commands as c
from stepwell.core.errors import RefusedError
from stepwell.core.history import Actor, AnyEvent
from stepwell.core.program import StepContext
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.engine.views import RunView
from stepwell.programs.agents.port import AgentRequest, AgentTurn, ToolCall

from .plan_world import (
    RUN_ID,
    Calls,
    Endpoint,
    Model,
    PlanWorld,
    ended,
    function,
    http,
    json_response,
    quiet,
    save,
    start,
    step,
    template,
    variables,
    work,
)

QUICK = {"max_attempts": 3, "initial_ms": 300, "jitter": 0.2}


class Shape:
    """A plan, and how the world around it behaves."""

    def __init__(
        self,
        *steps: dict[str, Any],
        fails: Mapping[str, int] | None = None,
        ends: Status = Status.COMPLETED,
        **rest: Any,
    ) -> None:
        self.document = template(*steps, variables=variables(n="integer", xs="array"), **rest)
        self.fails = dict(fails or {})
        self.ends = ends


SHAPES: dict[str, Shape] = {
    "list": Shape(work("a", takes=1), work("b", value="{{ steps.a.output }}{{ input.n }}"), function("c")),
    "diamond": Shape(
        work("a", depends_on=[]),
        work("slow", takes=5),
        work("b", depends_on=["a"], takes=2),
        function("d", value=["{{ steps.slow.output }}", "{{ steps.b.output }}"], depends_on=["b", "slow"]),
        max_parallel=2,
    ),
    "retries": Shape(work("a", retry=QUICK), function("b", value="{{ steps.a.output }}"), fails={"a": 2}),
    "gives up": Shape(work("a", retry=QUICK, depends_on=[]), work("b", takes=9), fails={"a": -1}, ends=Status.FAILED),
    "waits for others": Shape(
        work("a", on_error="wait", depends_on=[]), work("b", takes=3), fails={"a": -1}, ends=Status.FAILED
    ),
    "goes on": Shape(
        work("a", on_error="continue"),
        work("b", on_error="goto:d"),
        work("c"),
        function("d", value=["{{ steps.a.error.code }}", "{{ steps.c.status }}"]),
        fails={"a": -1, "b": -1},
    ),
    "condition": Shape(
        step("c", "condition", {"if": ".input.n > 5", "then": ["x"], "else": ["y", "z"]}),
        work("x"),
        step("y", "wait", {"seconds": 1}),
        work("z", when='.steps.y.status == "skipped"'),
        output={"x": "{{ steps.x.output }}", "z": "{{ steps.z.status }}"},
    ),
    "waits": Shape(
        step("w", "wait", {"seconds": 1.5}), step("v", "wait", {"seconds": 1}, depends_on=["w"]), work("a")
    ),
    "in line": Shape(
        step("w", "wait", {"seconds": 1}, depends_on=[]), step("v", "wait", {"seconds": 1}), max_parallel=1
    ),
    "foreach": Shape(
        step(
            "each",
            "foreach",
            {
                "items": "{{ input.xs }}",
                "max_parallel": 2,
                "steps": [work("w", value="{{ item }}", takes=1), function("v", value="{{ steps.w.output }}!")],
            },
        ),
        function("all", value="{{ steps.each.output }}"),
    ),
    "failing item": Shape(
        step(
            "each",
            "foreach",
            {"items": ["good", "bad"], "steps": [work("w", name="{{ item }}", takes=1), work("v", takes=1)]},
            on_error="continue",
        ),
        function("z", value="{{ steps.each.error.code }}"),
        fails={"bad": -1},
    ),
    "child": Shape(step("s", "subworkflow", {"template_id": "kid", "input": {"n": "{{ input.n }}"}}), work("a")),
    "child tried again": Shape(
        step("s", "subworkflow", {"template_id": "frail"}, retry=QUICK), work("a"), fails={"kid": 1}
    ),
    "request": Shape(http("h", body={"n": "{{ input.n }}"}), function("b", value="{{ steps.h.output.body }}")),
    "approval": Shape(
        step("ask", "approval", {"prompt": "{{ input.n }}?"}), function("b", value="{{ steps.ask.output }}")
    ),
    "approval beside": Shape(
        step("ask", "approval", {}, depends_on=[]), work("b", takes=2), work("c", depends_on=["ask", "b"])
    ),
    "nobody decides": Shape(
        step("late", "approval", {"timeout_seconds": 1, "on_timeout": "goto:z"}), work("y"), function("z", value=1)
    ),
    "callback": Shape(
        step("cb", "callback", {"url": "https://vendor.example/x", "payload": [1], "timeout_seconds": 600}),
        function("b", value="{{ steps.cb.output }}"),
    ),
    "callback tried again": Shape(
        step("never", "callback", {"timeout_seconds": 2}, retry={**QUICK, "max_attempts": 2}, on_error="continue"),
        function("b", value="{{ steps.never.error.code }}"),
    ),
    "agent": Shape(
        step("ag", "agent", {"prompt": "{{ input.n }}?", "tools": ["echo", "work"]}),
        function("b", value="{{ steps.ag.output }}"),
    ),
    "too long": Shape(
        step(
            "each", "foreach", {"items": [1], "steps": [work("w", takes=90)]}, timeout_seconds=3, on_error="continue"
        ),
        function("b", value="{{ steps.each.error.code }}"),
    ),
}
ANSWERS = {"ask"}
"""Approvals that somebody decides."""


def world_of(shape: Shape) -> PlanWorld:
    calls = Calls()
    calls.fails = dict(shape.fails)

    def speak(request: AgentRequest, ctx: StepContext) -> AgentTurn:
        calls.began(ctx)
        if len(request.messages) > 1:
            return AgentTurn(text=request.messages[-1].content)
        wanted = (
            ToolCall(id="1", name="echo", arguments={"value": 4}),
            ToolCall(id="2", name="work", arguments={"name": "t"}),
        )
        return AgentTurn(tool_calls=wanted)

    return PlanWorld(calls=calls, endpoint=Endpoint(lambda _: json_response({"ok": True})), model=Model(speak))


async def play_shape(engine: Engine, shape: Shape) -> dict[str, Any]:
    """Run it, with somebody who decides and answers; what can be seen of it in the end."""
    await save(engine, template(work("kid", value="{{ input.n }}"), variables=variables(n="integer")), "kid")
    await save(engine, template(work("kid")), "frail")
    await start(engine, shape.document, {"n": 3, "xs": ["p", "q", "r"]})
    helping = asyncio.ensure_future(help_along(engine))
    try:
        await ended(engine)
        await quiet(engine)
    finally:
        helping.cancel()
    return shown(await engine.view(RUN_ID))


async def help_along(engine: Engine) -> None:
    while True:
        await asyncio.sleep(0.7)
        state = await engine.state(RUN_ID)
        for key in list(state.waits):
            found = state.steps[key]
            try:
                if found.approval is not None and key in ANSWERS:
                    await engine.decide_approval(RUN_ID, found.approval.id, approved=True, actor=Actor(type="local"))
                elif found.signal and not key.startswith("never"):
                    answer = Raw(b'{"status":"completed","output":{"n":1}}')
                    await engine.tell(RUN_ID, c.AnswerCallback(signal=found.signal, data=answer))
            except RefusedError:
                pass  # it was paused, cancelled or decided meanwhile


def shown(view: RunView) -> dict[str, Any]:
    return {
        "status": view.row.status,
        "output": view.output,
        "error": view.error and view.error.detail,
        "steps": {step.key: (step.status, step.output, step.error and step.error.detail) for step in view.steps},
    }


class Expected:
    def __init__(self) -> None:
        self.known: dict[str, tuple[dict[str, Any], int]] = {}

    def of(self, name: str) -> tuple[dict[str, Any], int]:
        """What is seen of a shape that nothing happens to, and after how many writes."""
        if name not in self.known:
            with world_of(SHAPES[name]) as world:
                found = world.play(lambda engine: play_shape(engine, SHAPES[name]))
                world.check()
                self.known[name] = found, world.writes
        return self.known[name]


EXPECTED = Expected()


@pytest.mark.parametrize("name", SHAPES)
def test_shape_ends_as_it_should(name: str) -> None:
    found, writes = EXPECTED.of(name)
    assert found["status"] is SHAPES[name].ends, found
    assert writes > 1


@pytest.mark.parametrize("name", SHAPES)
def test_a_crash_at_any_write_changes_nothing(name: str) -> None:
    expected, writes = EXPECTED.of(name)
    for number in range(1, writes + 1):
        for after in (False, True):
            where = f"{name}, crash {'after' if after else 'before'} write {number}"
            with world_of(SHAPES[name]) as world:
                histories: list[list[AnyEvent]] = []

                async def scenario(engine: Engine) -> dict[str, Any]:
                    histories.append(world.history(RUN_ID))  # noqa: B023  # called before the loop goes on
                    return await play_shape(engine, SHAPES[name])

                found = world.play(scenario, crash=CrashAt(number, after))
                assert found == expected, where
                before = histories[-1]
                assert world.history(RUN_ID)[: len(before)] == before, where
                world.check(crashes=len(histories) - 1)


@pytest.mark.parametrize("name", SHAPES)
def test_a_pause_at_any_write_changes_nothing_in_the_end(name: str) -> None:
    expected, writes = EXPECTED.of(name)
    for number in range(2, writes + 1, 2):

        async def scenario(engine: Engine) -> dict[str, Any]:
            disturbing = asyncio.ensure_future(_pause(engine, after_s=number * 0.3))  # noqa: B023
            found = await play_shape(engine, SHAPES[name])
            await disturbing
            return found

        with world_of(SHAPES[name]) as world:
            crash = CrashAt(Random(f"{name}{number}").randint(1, writes), after=True) if number % 4 else None
            found = world.play(scenario, crash=crash)
            assert found["status"] is expected["status"], (name, number)
            world.check(crashes=1)


async def _pause(engine: Engine, after_s: float) -> None:
    await asyncio.sleep(after_s)
    try:
        await engine.pause(RUN_ID)
        await asyncio.sleep(2)
        await engine.resume(RUN_ID)
    except RefusedError:
        pass  # it had ended
    while not (state := await engine.state(RUN_ID)).terminal:
        await asyncio.sleep(1)
        if state.phase is Status.PAUSED:  # paused in the life before
            await engine.resume(RUN_ID)


@pytest.mark.parametrize("name", SHAPES)
def test_a_cancelled_run_ends_as_it_would_have_when_it_is_retried(name: str) -> None:
    """Whenever it is cancelled: what completed is kept, the rest is done."""
    expected, writes = EXPECTED.of(name)
    for number in range(1, writes + 1, 2):

        async def scenario(engine: Engine) -> dict[str, Any]:
            disturbing = asyncio.ensure_future(_cancel_and_retry(engine, after_s=number * 0.4))  # noqa: B023
            await play_shape(engine, SHAPES[name])
            await disturbing
            helping = asyncio.ensure_future(help_along(engine))
            await ended(engine)
            await quiet(engine)
            helping.cancel()
            return shown(await engine.view(RUN_ID))

        with world_of(SHAPES[name]) as world:
            found = world.play(scenario)
            assert (found["status"], found["output"]) == (expected["status"], expected["output"]), (name, number)
            world.check()


async def _cancel_and_retry(engine: Engine, after_s: float) -> None:
    await asyncio.sleep(after_s)
    try:
        await engine.cancel(RUN_ID)
        await engine.retry(RUN_ID)
    except RefusedError:
        pass  # it had ended


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.ends is Status.FAILED])
def test_a_failed_run_that_is_retried_keeps_what_completed(name: str) -> None:
    async def scenario(engine: Engine) -> dict[str, Any]:
        await play_shape(engine, SHAPES[name])
        done = [word for word in world.calls.log if word == "end b"]
        world.calls.fails.clear()
        await engine.retry(RUN_ID)
        await ended(engine)
        assert [word for word in world.calls.log if word == "end b"][:1] == (done or ["end b"])
        return shown(await engine.view(RUN_ID))

    with world_of(SHAPES[name]) as world:
        found = world.play(scenario)
        assert found["status"] is Status.COMPLETED
        assert world.calls.log.count("end b") == 1

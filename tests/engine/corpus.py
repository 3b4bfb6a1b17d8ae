# ruff: noqa: ARG001  # every program takes an input, most shapes need none
"""A corpus of small workflow shapes, written against the verbs, and what is sent to each from outside.

Keys follow the design's rule: the place in the program, with a counter on every frame that can repeat. What a program
returns must not depend on a crash, so times are far enough apart for an activity to be repeated once or twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import Problem, ProgramError
from stepwell.core.history import Actor
from stepwell.core.program import Branch, Program, RaceResult, RunContext
from stepwell.core.retry import RetryPolicy
from stepwell.core.state import StepKind

from .harness import Lab, Life

LONG_S = 60.0
TWICE = RetryPolicy(max_attempts=3, initial_s=0.3, jitter=0.2)


@dataclass(frozen=True)
class Send:
    """What comes from outside, `at` seconds after the start. Its actor's id tells whether a command has arrived; an
    event has no actor and is accepted before it arrives: `event_id` tells it.
    """

    name: str
    at: float
    act: Callable[[Life, str, Actor], Awaitable[Any]]
    event_id: str = ""

    def arrived(self, events: Sequence[h.AnyEvent]) -> bool:
        """Whether a history has it."""
        if self.event_id:
            return any(isinstance(event, h.SignalReceived) and event.id == self.event_id for event in events)
        return any(event.actor.id == self.name for event in events)


@dataclass(frozen=True)
class Case:
    """A workflow (a `program`, or the first of the `flows`), and what is sent to its run. `others`, and the rest of
    `flows`, are workflows that it starts. `output` is what must come out, where the case says it; of flows, `beside`
    is the name and output of each other run.
    """

    name: str
    program: Callable[[Lab], Program] | None = None
    sends: tuple[Send, ...] = ()
    others: Mapping[str, Callable[[Lab], Program]] = field(default_factory=dict)
    flows: Mapping[str, str] = field(default_factory=dict)
    fails: bool = False
    output: Any = ...
    beside: tuple[tuple[str, Any], ...] = ()

    @property
    def programs(self) -> Mapping[str, Callable[[Lab], Program]]:
        return {self.name: self.program, **self.others} if self.program is not None else self.others


CASES: dict[str, Case] = {}


def case(
    *sends: Send, others: Mapping[str, Callable[[Lab], Program]] | None = None, fails: bool = False
) -> Callable[[Callable[[Lab], Program]], Callable[[Lab], Program]]:
    def add(program: Callable[[Lab], Program]) -> Callable[[Lab], Program]:
        name = program.__name__
        CASES[name] = Case(name, program, sends, others or {}, fails=fails)
        return program

    return add


def signal(name: str, at: float, data: Any = None) -> Send:
    async def act(life: Life, run_id: str, actor: Actor) -> None:
        await life.engine.signal(run_id, name, data, id=actor.id, actor=actor)

    return Send(f"signal {name} {at:g}", at, act)


def decision(key: str, at: float, *, approved: bool = True) -> Send:
    async def act(life: Life, run_id: str, actor: Actor) -> None:
        engine = life.engine
        while not (state := await engine.state(run_id)).terminal:
            step = state.find(key)
            if step is not None and step.approval is not None:
                await engine.decide_approval(run_id, step.approval.id, approved=approved, comment="ok", actor=actor)
                return
            await asyncio.sleep(0.2)

    return Send(f"decide {key}", at, act)


async def _sleep(ctx: RunContext, key: str, for_s: float) -> None:
    await ctx.sleep_until(key, ctx.now + for_s)


def _race(result: Any) -> RaceResult:
    assert isinstance(result, RaceResult)
    return result


# --- steps, loops, forks --------------------------------------------------------------------------------------------


@case()
def one_step(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        return await ctx.step("/do/0", lab.does({"a": 1}))

    return program


@case()
def three_steps(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        return [await ctx.step(f"/do/{i}", lab.does(i, takes_s=0.1 * i)) for i in range(3)]

    return program


@case()
def nested_loops(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        out = []
        for i in range(2):
            out.append([await ctx.step(f"/loop@{i}/loop@{j}/a", lab.does(10 * i + j)) for j in range(2)])
            await _sleep(ctx, f"/loop@{i}/pause", 0.05)
        return out

    return program


@case()
def fork_all(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        def branch(name: str, takes_s: float) -> Branch:
            async def run(ctx: RunContext) -> Any:
                first = await ctx.step(f"/fork/{name}/0", lab.does(name, takes_s=takes_s))
                return first + await ctx.step(f"/fork/{name}/1", lab.does(name, takes_s=takes_s))

            return run

        both = await ctx.race(
            "/fork", {"a": branch("a", 0.1), "b": branch("b", 0.15), "c": branch("c", 0)}, until="all"
        )
        return [both, await ctx.step("/after", lab.does("z"))]

    return program


@case()
def fork_in_loop(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(i: int, name: str, ctx: RunContext) -> Any:
            return await ctx.step(f"/loop@{i}/{name}", lab.does([i, name], takes_s=0.1))

        out = []
        for i in range(2):
            branches = {name: partial(leaf, i, name) for name in "ab"}
            out.append(await ctx.race(f"/loop@{i}/fork", branches, until="all"))
        return out

    return program


@case()
def compete(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(name: str, takes_s: float, ctx: RunContext) -> Any:
            await ctx.step(f"/race/{name}/0", lab.does(takes_s=takes_s))
            return await ctx.step(f"/race/{name}/1", lab.does(name, takes_s=takes_s))

        branches = {"slow": partial(leaf, "slow", LONG_S), "fast": partial(leaf, "fast", 0.1)}
        won = _race(await ctx.race("/race", branches))
        return [won.winner, won.value, await ctx.step("/after", lab.does("z", takes_s=0.1))]

    return program


@case()
def compete_in_loop(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(key: str, takes_s: float, ctx: RunContext) -> Any:
            return await ctx.step(key, lab.does(key, takes_s=takes_s))

        out = []
        for i in range(3):
            times = {"a": 0.1 if i % 2 else LONG_S, "b": LONG_S if i % 2 else 0.1}
            branches = {name: partial(leaf, f"/loop@{i}/{name}", takes_s) for name, takes_s in times.items()}
            won = _race(await ctx.race(f"/loop@{i}", branches))
            out.append([won.winner, await ctx.step(f"/loop@{i}/then", lab.does(i))])
        return out

    return program


@case()
def race_within_race(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(key: str, takes_s: float, ctx: RunContext) -> Any:
            return await ctx.step(key, lab.does(key, takes_s=takes_s))

        async def inner(name: str, takes_s: float, ctx: RunContext) -> Any:
            branches = {n: partial(leaf, f"/{name}/{n}", takes_s * m) for n, m in (("x", 1), ("y", 5))}
            won = _race(await ctx.race(f"/{name}", branches))
            return [won.winner, await ctx.step(f"/{name}/then", lab.does(1, takes_s=takes_s))]

        won = _race(await ctx.race("/outer", {"p": partial(inner, "p", 0.2), "q": partial(inner, "q", LONG_S)}))
        return [won.winner, won.value]

    return program


# --- failures and retries -------------------------------------------------------------------------------------------


@case()
def retried_step(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        flaky = await ctx.step("/flaky", lab.does("ok", fails=2, takes_s=0.05), retry=TWICE)
        return [flaky, await ctx.step("/next", lab.does(1))]

    return program


@case()
def caught_failure(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        try:
            await ctx.step("/try/0", lab.does(fails=-1), retry=RetryPolicy(max_attempts=2, initial_s=0.2))
        except ProgramError as fault:
            return ["caught", fault.problem.type, await ctx.step("/catch", lab.does("fallback"))]
        return "not reached"

    return program


@case()
def retry_loop(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        for i in range(3):
            try:
                first = await ctx.step(f"/try~{i}/0", lab.does(i))
                await ctx.step(f"/try~{i}/1", lab.does(fails=-1 if i < 2 else 0))
            except ProgramError:
                due = await ctx.record(f"/try~{i}/again", ctx.now + 0.3)
                await ctx.sleep_until(f"/try~{i}/wait", due)
            else:
                return [i, first]
        return "not reached"

    return program


@case()
def failing_branch(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def good(ctx: RunContext) -> Any:
            await ctx.step("/fork/good/0", lab.does(1))
            return await ctx.step("/fork/good/1", lab.does(2, takes_s=LONG_S))

        async def bad(ctx: RunContext) -> Any:
            await _sleep(ctx, "/fork/bad/wait", 0.2)
            return await ctx.step("/fork/bad/0", lab.does(fails=-1))

        try:
            await ctx.race("/fork", {"good": good, "bad": bad}, until="all")
        except ProgramError as fault:
            return [fault.problem.type, await ctx.step("/catch", lab.does("caught", takes_s=0.1))]
        return "not reached"

    return program


@case()
def one_branch(lab: Lab) -> Program:
    """Nobody runs beside it, so it has no task of its own."""

    async def program(ctx: RunContext, input: Any) -> Any:
        async def only(name: str, fails: int, ctx: RunContext) -> Any:
            await _sleep(ctx, f"/{name}/only/wait", 0.2)
            return await ctx.step(f"/{name}/only/0", lab.does(name, fails=fails))

        good = await ctx.race("/good", {"only": partial(only, "good", 0)}, until="all")
        try:
            await ctx.race("/bad", {"only": partial(only, "bad", -1)}, until="all")
        except ProgramError as fault:
            return [good, fault.problem.type, await ctx.step("/catch", lab.does("caught"))]
        return "not reached"

    return program


@case(fails=True)
def failing_run(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        await ctx.step("/0", lab.does(1))
        return await ctx.step("/1", lab.does(fails=-1), retry=RetryPolicy(max_attempts=2, initial_s=0.1))

    return program


# --- timers and time-outs -------------------------------------------------------------------------------------------


@case()
def sleeps(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        await _sleep(ctx, "/0", 0.1)
        await _sleep(ctx, "/1", 2.0)  # long enough to be parked
        return await ctx.step("/2", lab.does("rested"))

    return program


def _time_out(lab: Lab, body_s: float, limit_s: float) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def body(ctx: RunContext) -> Any:
            await ctx.step("/body/0", lab.does(0, takes_s=0.01))
            return await ctx.step("/body/1", lab.does("done", takes_s=body_s))

        async def limit(ctx: RunContext) -> Any:
            await ctx.sleep_until("/limit", ctx.now + limit_s)
            raise ProgramError(Problem(type="timeout", status=408))

        try:
            won = _race(await ctx.race("/guard", {"body": body, "limit": limit}))
        except ProgramError as fault:
            return [fault.problem.type, await ctx.step("/late", lab.does("too late"))]
        return [won.value, await ctx.step("/in-time", lab.does("in time"))]

    return program


@case()
def time_out_strikes(lab: Lab) -> Program:
    return _time_out(lab, LONG_S, 0.5)


@case()
def time_out_is_not_reached(lab: Lab) -> Program:
    return _time_out(lab, 0.2, LONG_S)


# --- signals --------------------------------------------------------------------------------------------------------


@case(signal("go", 1.0, {"n": 1}))
def late_signal(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        got = await ctx.wait("/wait", "go")
        return [got.data if got else None, await ctx.step("/then", lab.does(1))]

    return program


@case(signal("go", 0.0, 1), signal("go", 0.01, 2))
def early_signals(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        await ctx.step("/first", lab.does(0, takes_s=0.5))
        out = []
        for i in range(2):
            got = await ctx.wait(f"/wait@{i}", "go")
            out.append(got.data if got else None)
            await ctx.step(f"/then@{i}", lab.does(i))
        return out

    return program


@case()
def deadline_passes(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        got = await ctx.wait("/wait", "never", deadline=ctx.now + 0.6)
        return [got is None, await ctx.step("/then", lab.does(1))]

    return program


@case(signal("go", 1.5, "second"))
def losing_wait_takes_no_signal(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def waiting(ctx: RunContext) -> Any:
            return bool(await ctx.wait("/race/wait", "go"))

        async def working(ctx: RunContext) -> Any:
            await _sleep(ctx, "/race/sleep", 0.3)
            return await ctx.step("/race/step", lab.does("worked", takes_s=0.2))

        won = _race(await ctx.race("/race", {"waiting": waiting, "working": working}))
        got = await ctx.wait("/wait", "go", deadline=ctx.now + 30.0)
        return [won.winner, got.data if got else None]

    return program


@case(signal("a", 0.7, 1), signal("b", 1.1, 2))
def waits_in_branches(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(name: str, ctx: RunContext) -> Any:
            got = await ctx.wait(f"/fork/{name}", name)
            return [await ctx.step(f"/fork/{name}/then", lab.does(name)), got.data if got else None]

        return await ctx.race("/fork", {name: partial(leaf, name) for name in "ab"}, until="all")

    return program


@case(signal("stop", 0.9))
def one_of_several_events(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(name: str, ctx: RunContext) -> Any:
            await ctx.wait(f"/any/{name}", name)
            return await ctx.step(f"/any/{name}/then", lab.does(name))

        out = []
        for i in range(3):
            got = await ctx.wait(f"/tick@{i}", "tick", deadline=ctx.now + 0.2)
            out.append(got is None)
        won = _race(await ctx.race("/any", {name: partial(leaf, name) for name in ("go", "stop")}))
        return [out, won.winner]

    return program


# --- approvals ------------------------------------------------------------------------------------------------------


@case(decision("/approve", 1.0))
def approval(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        outcome = await ctx.approve("/approve", ApprovalRequest(title="Ship it?"))
        return [outcome.decision, outcome.comment, await ctx.step("/then", lab.does(1))]

    return program


@case()
def approval_expires(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        outcome = await ctx.approve("/approve", ApprovalRequest(timeout_s=0.6, on_timeout="reject"))
        return [outcome.decision, outcome.expired, await ctx.step("/then", lab.does(1))]

    return program


@case()
def approval_escalates(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        request = ApprovalRequest(timeout_s=0.6, on_timeout="escalate", escalate_to=("boss",))
        outcome = await ctx.approve("/approve", request)
        return [outcome.decision, outcome.expired]

    return program


@case(decision("/race/a", 0.8, approved=False))
def approval_against_timer(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def ask(ctx: RunContext) -> Any:
            return (await ctx.approve("/race/a", ApprovalRequest())).decision

        async def ask_another(ctx: RunContext) -> Any:
            return (await ctx.approve("/race/b", ApprovalRequest(timeout_s=LONG_S))).decision

        async def limit(ctx: RunContext) -> Any:
            await _sleep(ctx, "/race/limit", LONG_S)

        won = _race(await ctx.race("/race", {"ask": ask, "another": ask_another, "limit": limit}))
        return [won.winner, won.value, await ctx.step("/then", lab.does(1))]

    return program


# --- children -------------------------------------------------------------------------------------------------------


def small_child(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        await _sleep(ctx, "/sleep", 0.3)
        return await ctx.step("/step", lab.does({"from": input}, takes_s=0.1))

    return program


def failing_child(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        return await ctx.step("/step", lab.does(fails=-1))

    return program


def waiting_child(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        await ctx.step("/step", lab.does(1))
        await ctx.wait("/wait", "never")

    return program


def parent_of_small(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        return await ctx.child("/child", "small_child", input)

    return program


@case(others={"small_child": small_child})
def awaited_child(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        return [await ctx.child("/child", "small_child", 7), await ctx.step("/then", lab.does(1))]

    return program


@case(others={"small_child": small_child})
def detached_child(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        made = await ctx.child("/child", "small_child", 7, wait=False)
        return [list(made), await ctx.step("/then", lab.does(1))]

    return program


@case(others={"failing_child": failing_child})
def failing_child_caught(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        try:
            await ctx.child("/child", "failing_child")
        except ProgramError as fault:
            return [fault.problem.type, await ctx.step("/catch", lab.does(1))]
        return "not reached"

    return program


@case(others={"waiting_child": waiting_child})
def child_cancelled_with_its_branch(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def one(ctx: RunContext) -> Any:
            return await ctx.child("/race/child", "waiting_child")

        async def other(ctx: RunContext) -> Any:
            await _sleep(ctx, "/race/sleep", 1.0)
            return "slept"

        won = _race(await ctx.race("/race", {"one": one, "other": other}))
        return [won.winner, await ctx.step("/then", lab.does(1))]

    return program


@case(others={"small_child": small_child, "parent_of_small": parent_of_small})
def grandchildren(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def leaf(name: str, ctx: RunContext) -> Any:
            return await ctx.child(f"/fork/{name}", "parent_of_small", name)

        return await ctx.race("/fork", {name: partial(leaf, name) for name in "ab"}, until="all")

    return program


# --- records, stream, and all at once -------------------------------------------------------------------------------


@case()
def publishes(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        await ctx.publish("/0", {"n": 0})
        await ctx.step("/1", lab.does(1, then=lambda step: step.think("hm")))
        await ctx.publish("/2", {"n": 2})
        await ctx.publish("/3", {"n": 3})
        return await ctx.record("/4", "done")

    return program


@case()
def records(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        seen = []
        for i in range(3):
            seen.append(await ctx.record(f"/loop@{i}", i * i))
            await ctx.step(f"/loop@{i}/step", lab.does(i))
        return seen

    return program


@case(signal("go", 1.2, "late"), decision("/loop@1/fork/b/approve", 2.2))
def everything_nested(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:
        async def left(i: int, ctx: RunContext) -> Any:
            async def quick(ctx: RunContext) -> Any:
                return await ctx.step(f"/loop@{i}/fork/a/race/q", lab.does("q", fails=1), retry=TWICE)

            async def slow(ctx: RunContext) -> Any:
                await _sleep(ctx, f"/loop@{i}/fork/a/race/s", LONG_S)

            return _race(await ctx.race(f"/loop@{i}/fork/a/race", {"quick": quick, "slow": slow})).winner

        async def right(i: int, ctx: RunContext) -> Any:
            try:
                await ctx.step(f"/loop@{i}/fork/b/try", lab.does(fails=-1))
            except ProgramError:
                await ctx.publish(f"/loop@{i}/fork/b/note", i)
            if i == 0:
                got = await ctx.wait(f"/loop@{i}/fork/b/wait", "go")
                return got.data if got else None
            return (await ctx.approve(f"/loop@{i}/fork/b/approve", ApprovalRequest())).decision

        out = []
        for i in range(2):
            branches = {"a": partial(left, i), "b": partial(right, i)}
            out.append(await ctx.race(f"/loop@{i}/fork", branches, until="all"))
        return out

    return program


def open_approvals(state: Any) -> list[str]:
    """Ids of the approvals that a run waits for."""
    return [
        step.approval.id
        for step in state.steps.values()
        if step.kind is StepKind.APPROVAL and not step.closed and not step.forgotten
    ]

"""Program shapes made from a seed: nested combinations of all verbs, for the simulation.

A shape is a tree of small records; `program` interprets it. Keys are the place in the tree, with a counter on every
frame that repeats. Nothing in a shape reads a clock or a random number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from stepwell.core.approvals import ApprovalRequest, OnTimeout
from stepwell.core.errors import Problem, ProgramError
from stepwell.core.program import Program, RaceResult, RunContext, StepContext
from stepwell.core.retry import RetryPolicy

from .harness import Lab

SHAPES = 48
SIGNALS = ("red", "green", "blue")
"""What runs wait for: as signals, and as events of these types."""
BEGIN, LEFT, RIGHT = "begin", "left", "right"
"""Types of events that start runs: each of the first, one of each of the others together."""
CHILDREN = ("leaf-0", "leaf-1", "leaf-2")
BEGUN, JOINED = "begun", "joined"
"""The workflows that these events start."""


@dataclass(frozen=True)
class Node:
    """A verb or a frame; what the fields mean depends on `kind`."""

    kind: str
    number: float = 0.0
    word: str = ""
    parts: tuple["Node", ...] = ()


LEAVES = (
    ("step", 8),
    ("flaky", 3),
    ("failing", 1),
    ("sleep", 4),
    ("wait", 3),
    ("deadline", 2),
    ("approve", 2),
    ("child", 2),
    ("detached", 1),
    ("record", 2),
    ("publish", 2),
    ("talking", 1),
    ("emit", 2),
)
ON_TIMEOUT: tuple[OnTimeout, ...] = ("fail", "reject", "approve", "escalate")
WORDS = {"emit": (*SIGNALS, BEGIN, LEFT, RIGHT)}
FRAMES = (("seq", 4), ("loop", 3), ("all", 4), ("first", 4), ("timeout", 3), ("try", 3), ("again", 2))


def _choose(rng: Random, choices: Sequence[tuple[str, int]]) -> str:
    return rng.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def tree(rng: Random, depth: int, *, children: bool = True) -> Node:
    """A random tree of at most `depth` nested frames."""
    if depth == 0 or rng.random() < 0.15:
        kind = _choose(rng, LEAVES)
        if kind in ("child", "detached"):
            return Node(kind, word=rng.choice(CHILDREN)) if children else Node("step")
        words = WORDS.get(kind, SIGNALS) if children else SIGNALS
        word = rng.choice(ON_TIMEOUT if kind == "approve" else words)
        return Node(kind, number=rng.choice((0.0, 0.0, 0.05, 0.2, 0.7)), word=word)
    kind = _choose(rng, FRAMES)
    parts = {"loop": 1, "timeout": 1, "try": 2, "again": 1}.get(kind) or rng.randint(2, 3)
    body = tuple(tree(rng, depth - 1, children=children) for _ in range(parts))
    return Node(kind, number=rng.choice((0.1, 0.5, 2.0)), parts=body)


def shape(seed: int) -> Callable[[Lab], Program]:
    """The shape of that number: a sequence, so that something always follows what was decided."""
    rng = Random(f"shape {seed}")
    root = Node("seq", parts=tuple(tree(rng, rng.randint(1, 3)) for _ in range(rng.randint(1, 3))))
    return partial(program, root)


def leaf(seed: int) -> Callable[[Lab], Program]:
    """A small shape without children, to be a child."""
    rng = Random(f"leaf {seed}")
    return partial(program, Node("seq", parts=tuple(tree(rng, 1, children=False) for _ in range(2))))


def program(root: Node, lab: Lab) -> Program:
    async def run(ctx: RunContext, input: Any) -> Any:
        return [input, await _run(lab, root, "", ctx)]

    return run


async def _run(lab: Lab, node: Node, key: str, ctx: RunContext) -> Any:
    key = f"{key}/{node.kind}"
    if node.parts:
        return await _frame(lab, node, key, ctx)
    match node.kind:
        case "step":
            return await ctx.step(key, lab.does(key, takes_s=node.number))
        case "flaky":
            work = lab.does(key, fails=1, takes_s=node.number)
            return await ctx.step(key, work, retry=RetryPolicy(max_attempts=4, initial_s=0.1))
        case "failing":
            return await ctx.step(key, lab.does(fails=-1), retry=RetryPolicy(max_attempts=2, initial_s=0.1))
        case "talking":
            return await ctx.step(key, lab.does(key, takes_s=node.number, then=_talk))
        case "sleep":
            return await ctx.sleep_until(key, ctx.now + node.number)
        case "wait":
            got = await ctx.wait(key, node.word)
            return got.data if got is not None else None
        case "deadline":
            got = await ctx.wait(key, node.word, deadline=ctx.now + node.number)
            return got.data if got is not None else None
        case "approve":
            return await _approve(node, key, ctx)
        case "child":
            return await ctx.child(key, node.word, key)
        case "detached":
            return await ctx.child(key, node.word, key, wait=False)
        case "record":
            return await ctx.record(key, {"key": key})
        case "publish":
            return await ctx.publish(key, {"key": key})
        case "emit":
            return await ctx.emit(key, {"id": str(ctx.uuid(key)), "source": ctx.run.id, "type": node.word})
    raise AssertionError(node)


def _talk(step: StepContext) -> None:
    step.think("well")
    step.progress(0.5)


async def _approve(node: Node, key: str, ctx: RunContext) -> Any:
    on_timeout: OnTimeout = node.word  # type: ignore[assignment]  # chosen from the four
    request = ApprovalRequest(
        required=2 if node.number == 0.05 else 1,
        timeout_s=1.0 + node.number if node.number else None,
        on_timeout=on_timeout,
        escalate_to=("boss",),
    )
    return (await ctx.approve(key, request)).decision


async def _frame(lab: Lab, node: Node, key: str, ctx: RunContext) -> Any:
    match node.kind:
        case "seq":
            return [await _run(lab, part, f"{key}/{i}", ctx) for i, part in enumerate(node.parts)]
        case "loop":
            return [await _run(lab, node.parts[0], f"{key}@{i}", ctx) for i in range(2)]
        case "all":
            branches = {str(i): partial(_run, lab, part, f"{key}/{i}") for i, part in enumerate(node.parts)}
            return await ctx.race(key, branches, until="all")
        case "first":
            branches = {str(i): partial(_run, lab, part, f"{key}/{i}") for i, part in enumerate(node.parts)}
            return await _first(ctx, key, branches)
        case "timeout":
            branches = {"body": partial(_run, lab, node.parts[0], f"{key}/body"), "limit": partial(_limit, node, key)}
            return await _first(ctx, key, branches)
        case "try":
            try:
                return await _run(lab, node.parts[0], f"{key}/try", ctx)
            except ProgramError as fault:
                return [fault.problem.type, await _run(lab, node.parts[1], f"{key}/catch", ctx)]
        case "again":
            return await _again(lab, node, key, ctx)
    raise AssertionError(node)


async def _first(ctx: RunContext, key: str, branches: Any) -> Any:
    won = await ctx.race(key, branches)
    assert isinstance(won, RaceResult)
    return [won.winner, won.value]


async def _limit(node: Node, key: str, ctx: RunContext) -> Any:
    await ctx.sleep_until(f"{key}/limit", ctx.now + node.number)
    raise ProgramError(Problem(type="timeout", status=408))


async def _again(lab: Lab, node: Node, key: str, ctx: RunContext) -> Any:
    """A retry of the program's own: what failed is tried again under new keys."""
    for i in range(2):
        try:
            return await _run(lab, node.parts[0], f"{key}~{i}", ctx)
        except ProgramError as fault:
            if i == 1:
                raise
            due = await ctx.record(f"{key}~{i}/due", ctx.now + 0.1)
            await ctx.sleep_until(f"{key}~{i}/wait", due)
            del fault
    raise AssertionError

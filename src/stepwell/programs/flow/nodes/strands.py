"""Work on strands of its own: what a branch of a race returns, and a time-out as a race against a timer.

A recorded race runs none of its branches again, so all that a branch changed and later tasks read is in its value.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from stepwell.core.program import Branch, RaceResult, RunContext
from stepwell.programs.flow.nodes.scope import END, Ended, Jump, Scope, failure

StrandWork = Callable[[Scope], Awaitable[Any]]


def branch(scope: Scope, work: StrandWork) -> Branch:
    """`work` as a branch of a race: on a strand of its own, sealed."""

    async def run(ctx: RunContext) -> dict[str, Any]:
        return await _sealed(scope.on(ctx), work)

    return run


async def _sealed(scope: Scope, work: StrandWork) -> dict[str, Any]:
    before, kept = scope.strand.context, scope.strand.kept
    try:
        outcome = await work(scope)
    except Ended as ended:
        outcome = Jump(ended.output, END)
    sealed: dict[str, Any] = {}
    if type(outcome) is Jump:
        sealed["target"] = outcome.target
        outcome = outcome.output
    sealed["output"] = outcome
    if scope.strand.context is not before:
        sealed["context"] = scope.strand.context
    if scope.strand.kept is not kept:
        sealed["kept"] = scope.strand.kept
    return sealed


def unsealed(sealed: dict[str, Any]) -> Any:
    """The output of a sealed branch, or a `Jump`; raises `Ended` when the branch ended the run."""
    output = sealed["output"]
    if "target" not in sealed:
        return output
    if sealed["target"] == END:
        raise Ended(output)
    return Jump(output, sealed["target"])


def join(scope: Scope, sealed: list[dict[str, Any]]) -> None:
    """Take over what branches left behind: `$context`, and the events that they did not use."""
    strand = scope.strand
    if len(sealed) == 1:
        strand.context = sealed[0].get("context", strand.context)
    else:
        strand.context = merged_context(strand.context, sealed)
    for kept in (outcome["kept"] for outcome in sealed if "kept" in outcome):
        strand.kept = {**strand.kept, **kept}


def merged_context(context: Any, sealed: list[dict[str, Any]]) -> Any:
    """`context` with what each branch changed in its own copy, in branch order: property by property when both
    are objects, as a whole otherwise."""
    merged = context
    for copy in (outcome["context"] for outcome in sealed if "context" in outcome):
        merged = _merge(context, merged, copy)
    return merged


def _merge(before: Any, merged: Any, copy: Any) -> Any:
    if not (isinstance(copy, dict) and isinstance(merged, dict)):
        return copy
    old = before if isinstance(before, dict) else {}
    changed = {name: value for name, value in copy.items() if name not in old or old[name] != value}
    kept = {name: value for name, value in merged.items() if name in copy or name not in old}
    return {**kept, **changed}


async def within(scope: Scope, key: str, seconds: float, work: StrandWork, at: str) -> Any:
    """The outcome of `work`, unless `seconds` pass first: then an error of the standard's type `timeout`."""
    ctx = scope.strand.ctx
    race, timer = f"{key}/timeout", f"{key}/timeout/after"

    async def wait(ctx: RunContext) -> None:
        await ctx.sleep(timer, seconds)
        # Raised in the branch: so a retry of the run also forgets what the body had open, and it begins anew.
        text = f"expected an end within {seconds:g} s, found none"
        raise failure("timeout", text, at, status=408, retryable=True, forget=(timer,))

    branches = {"body": branch(scope, work), "timer": wait}
    result = cast(RaceResult, await ctx.race(race, branches, until="first"))
    join(scope, [result.value])
    return unsealed(result.value)

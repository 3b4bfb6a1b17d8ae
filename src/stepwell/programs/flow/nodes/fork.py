"""`fork`: branches at once. All of them, or with `compete` the first to end, also when it ends by failing.

Each branch writes its own copy of `$context`; the copies merge at the join, in branch order (`compete`: only the
winner's). A branch that ends the run lets the others finish first.
"""

from collections.abc import Mapping
from typing import Any, cast

from stepwell.core.program import RaceResult
from stepwell.programs.flow.nodes.scope import Jump, Scope
from stepwell.programs.flow.nodes.sequence import Sequence
from stepwell.programs.flow.nodes.strands import branch, join, unsealed


class ForkNode:
    """`branches` are lists of one task each, by the task's name."""

    def __init__(self, branches: Mapping[str, Sequence], *, compete: bool) -> None:
        self._branches = branches
        self._compete = compete

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if not self._branches:
            return value if self._compete else []
        inner = scope.inside(f"{key}/fork/branches")
        branches = {name: branch(inner, self._work(body, value)) for name, body in self._branches.items()}
        if self._compete:
            result = cast(RaceResult, await scope.strand.ctx.race(key, branches, until="first"))
            return self._join(scope, [result.value])[0]
        results = cast(list[dict[str, Any]], await scope.strand.ctx.race(key, branches, until="all"))
        return self._join(scope, results)

    @staticmethod
    def _work(body: Sequence, value: Any) -> Any:
        return lambda scope: body.run(scope, value)

    @staticmethod
    def _join(scope: Scope, sealed: list[dict[str, Any]]) -> list[Any]:
        join(scope, sealed)
        outputs = [unsealed(outcome) for outcome in sealed]
        return [output.output if type(output) is Jump else output for output in outputs]

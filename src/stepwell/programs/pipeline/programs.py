"""Pipelines as programs: the executions of a run in ranges, each range one step.

Keys are the numbers of the executions. The history records ranges; messages are on the stream. A range is at most a
thousand executions, or about a second of them where the pipeline has a rate: their clock stands at the range's start.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from stepwell.core.errors import ProgramError, problem
from stepwell.core.program import Compiled, RunContext, StepContext
from stepwell.programs.flow.reading import read
from stepwell.programs.pipeline.compiling import MAX_EXECUTIONS, compile_pipeline
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.ranges import RangeRun
from stepwell.programs.pipeline.reporting import Counts
from stepwell.programs.pipeline.strings import shown

RANGE: Final = 1_000
MAX_RANGES: Final = 20_000
"""Of a run: three events each stay well below what a history may hold."""
PREFIX: Final = "/executions/"
"""What the keys of ranges begin with."""


class PipelinePrograms:
    """`Programs` of the kind `pipeline`. A stored definition is the pipeline's document, JSON or YAML."""

    kind = "pipeline"

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def read(self, document: str) -> Pipeline:
        """The compiled pipeline. Raises `InvalidDefinitionError` with all its faults."""
        return compile_pipeline(read(document))

    def compile(self, document: str) -> Compiled:
        """The program of a definition's text. Raises `InvalidDefinitionError`."""
        return Compiled(program=_Run(self.read(document), self._outside).run)


class _Run:
    """One compiled pipeline, for all its runs."""

    def __init__(self, pipeline: Pipeline, outside: Outside) -> None:
        self._pipeline = pipeline
        self._outside = outside

    async def run(self, ctx: RunContext, input: Any) -> Any:
        total = self._executions(input)
        sums = Counts()
        for first, last in ranges(total, self._pipeline.rate):
            add_up(sums, await self._range(ctx, first, last))
        outcome = {"requested": total, **{name: getattr(sums, name) for name in ("submitted", "completed", "failed")}}
        if sums.failed:
            text = sums.error or "an execution failed"
            raise ProgramError(problem("pipeline", text, title="Executions failed", data=outcome, retryable=False))
        return outcome

    async def _range(self, ctx: RunContext, first: int, last: int) -> Counts:
        """A range, until all of it has ended: what a stop left over is run when the run is retried."""
        keys: list[str] = []
        started_at = ctx.now
        while True:
            keys.append(key_of(first, last, len(keys) + 1))
            work = self._work(first, last, started_at, tuple(keys))
            found = msgspec.convert(await ctx.step(keys[-1], work, name=self._pipeline.id), Counts)
            if found.completed + found.failed == last - first + 1:
                return found

    def _executions(self, input: Any) -> int:
        """How many: what the run was started with, else what the document says."""
        given = input.get("executions") if isinstance(input, dict) else None
        if given is None:
            return self._pipeline.executions
        if type(given) is int and 0 < given <= MAX_EXECUTIONS:
            return given
        text = f"executions must be a whole number from 1 to {MAX_EXECUTIONS} (got {shown(given)})"
        raise ProgramError(problem("validation", text, status=400, retryable=False))

    def _work(
        self, first: int, last: int, started_at: float, keys: tuple[str, ...]
    ) -> Callable[[StepContext], Awaitable[Any]]:
        async def work(step: StepContext) -> Any:
            seed = self._pipeline.seed or step.run_id
            run = RangeRun(self._pipeline, self._outside, step, seed=seed, started_at=started_at)
            if step.attempt > 1 or len(keys) > 1:
                await run.go_on_from(keys)
            return await run.run(first, last)

        return work


def key_of(first: int, last: int, attempt: int) -> str:
    """The key of a range; `~2` where what the first left over is run."""
    return f"{PREFIX}{first}-{last}" if attempt == 1 else f"{PREFIX}{first}-{last}~{attempt}"


def range_of(key: str) -> str:
    """What all keys of one range have in common."""
    return key.partition("~")[0]


def ranges(total: int, rate: float | None) -> Iterator[tuple[int, int]]:
    """The ranges of a run, the same each time: first and last execution."""
    size = RANGE if rate is None else max(1, min(RANGE, int(rate)))
    size = max(size, -(-total // MAX_RANGES))
    for first in range(1, total + 1, size):
        yield first, min(first + size - 1, total)


def add_up(sums: Counts, found: Counts) -> None:
    """Add the counts of one range; the first error stays."""
    sums.submitted += found.submitted
    sums.completed += found.completed
    sums.failed += found.failed
    sums.error = sums.error or found.error
    sums.trouble = found.trouble

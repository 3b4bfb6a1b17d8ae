"""Pipelines as programs: the executions of a run in ranges, each range one step.

Keys are the numbers of the executions. The history records ranges; messages are on the stream. The clock of all
executions of a range stands at its start, so a range is about a second of them at most, as far as that is known.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from stepwell.core.errors import ProgramError, problem
from stepwell.core.program import Compiled, RunContext, StepContext
from stepwell.programs.flow.reading import read
from stepwell.programs.pipeline.compiling import MAX_EXECUTIONS, compile_pipeline
from stepwell.programs.pipeline.encoding import JSON
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.outside import Outside
from stepwell.programs.pipeline.pacing import Pace
from stepwell.programs.pipeline.ranges import RangeRun
from stepwell.programs.pipeline.reporting import Counts
from stepwell.programs.pipeline.schemas import Packed, with_schemas
from stepwell.programs.pipeline.strings import shown

RANGE: Final = 1_000
SWIFT_RANGE: Final = 5_000
"""Of executions that only send, one message a stage."""
MAX_RANGES: Final = 20_000
"""Of a run: three events each stay well below what a history may hold."""
PREFIX: Final = "/executions/"
"""What the keys of ranges begin with."""


class PipelinePrograms:
    """`Programs` of the kind `pipeline`. A stored definition is the pipeline's document, JSON or YAML."""

    kind = "pipeline"

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def take(self, document: str, schemas: Mapping[str, Packed]) -> tuple[Pipeline, str]:
        """A document from outside with the schemas that it names: compiled, and as it is to be kept.

        Raises `InvalidDefinitionError` with all its faults.
        """
        source = read(document)
        complete = with_schemas(source, schemas)
        return compile_pipeline(complete), document if complete is source else JSON.encode(complete.value).decode()

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
        sums, pace = Counts(), Pace(self._pipeline.rate)
        for first, last in ranges(total, self._pipeline):
            add_up(sums, await self._range(ctx, first, last, messages=sums.messages, pace=pace))
        outcome = {
            "requested": total,
            **{name: getattr(sums, name) for name in ("submitted", "completed", "failed", "messages")},
        }
        if sums.failed:
            text = sums.error or "an execution failed"
            raise ProgramError(problem("pipeline", text, title="Executions failed", data=outcome, retryable=False))
        return outcome

    async def _range(self, ctx: RunContext, first: int, last: int, *, messages: int, pace: Pace) -> Counts:
        """A range, until all of it has ended: what a stop left over is run when the run is retried. `messages` were
        acknowledged before.
        """
        keys: list[str] = []
        started_at = ctx.now
        while True:
            keys.append(key_of(first, last, len(keys) + 1))
            work = self._work(first, last, started_at, tuple(keys), messages, pace)
            found = msgspec.convert(await ctx.step(keys[-1], work, name=self._pipeline.id), Counts)
            messages = found.messages
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
        self, first: int, last: int, started_at: float, keys: tuple[str, ...], messages: int, pace: Pace
    ) -> Callable[[StepContext], Awaitable[Any]]:
        async def work(step: StepContext) -> Any:
            run = RangeRun(
                self._pipeline,
                self._outside,
                step,
                seed=self._pipeline.seed or step.run_id,
                started_at=started_at,
                messages=messages,
                pace=pace,
            )
            if step.attempt > 1 or len(keys) > 1:
                await run.go_on_from(keys)
            return await run.run(first, last)

        return work


def requested(text: str, input: Any) -> int:
    """How many executions a run has: what it was started with, else what the text of its document says."""
    given = input.get("executions") if isinstance(input, dict) else None
    if type(given) is int:
        return given
    found = read(text).value.get("executions")
    return found if type(found) is int else 1


def key_of(first: int, last: int, attempt: int) -> str:
    """The key of a range; `~2` where what the first left over is run."""
    return f"{PREFIX}{first}-{last}" if attempt == 1 else f"{PREFIX}{first}-{last}~{attempt}"


def range_of(key: str) -> str:
    """What all keys of one range have in common."""
    return key.partition("~")[0]


def ranges(total: int, pipeline: Pipeline) -> Iterator[tuple[int, int]]:
    """The ranges of a run, the same each time: first and last execution."""
    size = SWIFT_RANGE if all(stage.plain for stage in pipeline.stages) else RANGE
    if pipeline.rate is not None:
        size = max(1, min(size, int(pipeline.rate)))
    size = max(size, -(-total // MAX_RANGES))
    for first in range(1, total + 1, size):
        yield first, min(first + size - 1, total)


def add_up(sums: Counts, found: Counts) -> None:
    """Add the counts of one range; the first error stays."""
    sums.submitted += found.submitted
    sums.completed += found.completed
    sums.failed += found.failed
    sums.messages = max(sums.messages, found.messages)
    sums.error = sums.error or found.error
    sums.trouble = found.trouble

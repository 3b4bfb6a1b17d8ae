"""Follows a run of a pipeline: a bar with its rate on a terminal, else a line now and then."""

import sys
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from stepwell.cli.output import say
from stepwell.core.state import State
from stepwell.engine import Engine, Seen
from stepwell.programs.pipeline.programs import PREFIX, PipelinePrograms, range_of, requested
from stepwell.programs.pipeline.reporting import Counts, is_item

EVERY_S: Final = 5.0


async def executions_of(engine: Engine, state: State) -> int | None:
    """How many executions a run of a pipeline has; None for a run of another kind."""
    definition = await engine.store.find_definition(digest=state.definition)
    if definition is None or definition.kind != PipelinePrograms.kind:
        return None
    return requested(definition.text, msgspec.json.decode(state.input))


class PipelineFollower:
    """How far the executions are, by what their ranges tell."""

    def __init__(self, total: int) -> None:
        self._ranges: dict[str, Counts] = {}
        self._total = total
        self._began = time.monotonic()

    async def follow(self, seen: AsyncIterator[Seen], *, live: bool) -> None:
        """Until the run ends. `live` draws on stderr, when that is a terminal."""
        if live and sys.stderr.isatty():
            await self._draw(seen)
            return
        said_at = self._began
        async for one in seen:
            self._take(one)
            if time.monotonic() - said_at >= EVERY_S:
                said_at = time.monotonic()
                say(self._words())
        say(self._words())

    async def _draw(self, seen: AsyncIterator[Seen]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("executions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=self._total)
            async for one in seen:
                self._take(one)
                progress.update(task, completed=self._ended(), description=self._rate_in_words())
        say(self._words())

    def _take(self, seen: Seen) -> None:
        item = seen.item
        if item is not None and item.key.startswith(PREFIX) and is_item(item.data):
            self._ranges[range_of(item.key)] = msgspec.convert(item.data["counts"], Counts)

    @property
    def _messages(self) -> int:
        return max((counts.messages for counts in self._ranges.values()), default=0)

    def _ended(self) -> int:
        return sum(counts.completed + counts.failed for counts in self._ranges.values())

    def _rate_in_words(self) -> str:
        took_s = max(time.monotonic() - self._began, 1e-9)
        trouble = next((counts.trouble for counts in self._ranges.values() if counts.trouble), None)
        return f"{self._messages / took_s:,.0f} messages/s{f', {trouble}' if trouble else ''}"

    def _words(self) -> str:
        failed = sum(counts.failed for counts in self._ranges.values())
        return (
            f"{self._ended()} executions ended, {failed} of them failed; "
            f"{self._messages} messages acknowledged, {self._rate_in_words()}"
        )

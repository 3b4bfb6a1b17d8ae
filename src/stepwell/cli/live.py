"""Follows a run: a live picture of its steps on a terminal, else one line for each thing somebody has to do."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from stepwell.cli.output import say
from stepwell.cli.steps import hints, steps_table
from stepwell.core.run import apply
from stepwell.core.state import State
from stepwell.engine import Seen

REFRESH_PER_S = 8


class Follower:
    """The run as far as it was seen. `options` are those that a command for this run needs, like --db."""

    def __init__(self, *, options: str = "") -> None:
        self.state = State()
        self._options = options
        self._said: set[str] = set()

    async def follow(self, seen: AsyncIterator[Seen], *, live: bool) -> None:
        """Until the run ends. `live` draws on stderr, when that is a terminal."""
        if live and sys.stderr.isatty():
            await self._draw(seen)
            return
        async for one in seen:
            self._take(one)
            for hint in hints(self.state, options=self._options):
                if hint not in self._said:
                    self._said.add(hint)
                    say(hint)

    async def _draw(self, seen: AsyncIterator[Seen]) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        with Live(
            get_renderable=lambda: self._picture(console.height), console=console, refresh_per_second=REFRESH_PER_S
        ):
            async for one in seen:
                self._take(one)

    def _take(self, seen: Seen) -> None:
        if seen.event is not None:
            apply(self.state, seen.event)
            self.state.touched.clear()

    def _picture(self, height: int) -> Any:
        from rich.console import Group
        from rich.text import Text

        state = self.state
        head = Text.assemble(
            (state.workflow, "bold"), f" {state.version}  {state.run_id}  ", (str(state.status), "bold")
        )
        todo = [Text(hint, "yellow") for hint in hints(state, options=self._options)]
        return Group(head, steps_table(state, last=max(3, height - 4 - len(todo))), *todo)

"""A list of tasks, one after the other, as `then` leads. Keys: `^2` is the second visit of a task in its list."""

import asyncio
from collections.abc import Sequence as Items
from typing import Any

from stepwell.core.errors import ProgramError
from stepwell.programs.flow.nodes.failures import failure, placed
from stepwell.programs.flow.nodes.scope import END, Ended, Exited, Jump, Node, Scope

MAX_VISITS = 10_000
"""How often a run may come to the same task by `then` before it is stopped."""


ROUNDS_AT_ONCE = 200
"""Rounds of loops after which a run lets others go on, should it have waited for nothing."""


class Entry:
    """A task in its list. `follow` is the position after it, `END` for the end of the run."""

    __slots__ = ("at", "follow", "node", "suffix")

    def __init__(self, node: Node, suffix: str, at: str, follow: int) -> None:
        self.node = node
        self.suffix = suffix
        self.at = at
        self.follow = follow


class Sequence:
    """Runs the tasks of one list; each gets the output of the one before."""

    def __init__(self, entries: Items[Entry], *, loops: bool, max_visits: int = MAX_VISITS) -> None:
        self.entries = tuple(entries)
        self.loops = loops
        self.max_visits = max_visits

    async def run(self, scope: Scope, value: Any) -> Any:
        """The output of the last task. Raises `Ended` when a task's `then` is `end`."""
        if self.loops:
            return await self._run_loops(scope, value)
        entries, prefix, position = self.entries, scope.prefix, 0
        while position < len(entries):
            entry = entries[position]
            try:
                value = await entry.node.perform(scope, prefix + entry.suffix, value)
            except ProgramError as error:
                raise placed(error, entry.at) from None
            if type(value) is Jump:
                position, value = value.target, value.output
            else:
                position = entry.follow
            if position < 0:
                raise Ended(value) if position == END else Exited(value)
        return value

    async def _run_loops(self, scope: Scope, value: Any) -> Any:
        """As `run`, for a list in which a `then` goes back: visits are counted and are part of the keys."""
        visits = [0] * len(self.entries)
        position = 0
        while position < len(self.entries):
            entry = self.entries[position]
            visits[position] += 1
            key = self._key(scope, entry, visits[position])
            await let_others_go_on(scope)
            try:
                value = await entry.node.perform(scope, key, value)
            except ProgramError as error:
                raise placed(error, entry.at) from None
            if type(value) is Jump:
                position, value = value.target, value.output
            else:
                position = entry.follow
            if position < 0:
                raise Ended(value) if position == END else Exited(value)
        return value

    def _key(self, scope: Scope, entry: Entry, visit: int) -> str:
        if visit > self.max_visits:
            raise failure(
                "runtime",
                f"the loop came to the task {entry.at} more often than max_visits ({self.max_visits}) allows",
                entry.at,
                title="Too many visits",
            )
        return f"{scope.prefix}{entry.suffix}^{visit}" if visit > 1 else scope.prefix + entry.suffix


async def let_others_go_on(scope: Scope) -> None:
    """Called for each round of a loop."""
    facts = scope.strand.facts
    facts.rounds += 1
    if facts.rounds % ROUNDS_AT_ONCE == 0:
        await asyncio.sleep(0)

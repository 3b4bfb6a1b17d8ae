"""What hides the secrets of a run from who looks at it."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from stepwell.core.errors import RunNotFoundError
from stepwell.core.program import Compiled, Hiding
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.engine.attempts import decode
from stepwell.store.port import RunStore

KEPT: Final = 8
"""Runs whose fold is kept."""


def hiding_of(compiled: Compiled | None, input: msgspec.Raw) -> Hiding | None:
    """For a run of what is compiled that has this input on record; None where nothing of it is secret."""
    if compiled is None or compiled.hiding is None:
        return None
    found: Hiding = compiled.hiding(decode(input))
    return found


class Hidings:
    """Finds what hides the secrets of runs; a history that is read in pages is folded once, and not for each page."""

    def __init__(self, store: RunStore, compiled: Callable[[str], Awaitable[Compiled | None]]) -> None:
        self._store = store
        self._compiled = compiled
        self._folded: OrderedDict[str, State] = OrderedDict()

    async def of(self, run_id: str) -> Hiding | None:
        """Raises `RunNotFoundError`, `StorageError`."""
        state = await self._state(run_id)
        definition, input = state.definition, state.input  # now: another call may fold on while this one waits
        return hiding_of(await self._compiled(definition), input)

    async def _state(self, run_id: str) -> State:
        known = self._folded.pop(run_id, None) or State()  # nobody else goes on with it meanwhile
        state = fold(await self._store.events(run_id, known.seq, -1), known)
        if not state.seq:
            raise RunNotFoundError(run_id)
        self._folded[run_id] = state
        while len(self._folded) > KEPT:
            self._folded.popitem(last=False)
        return state

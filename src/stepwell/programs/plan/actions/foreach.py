"""`foreach`: a list of steps for each item. Keys: `<key>@3/<step>` is the step for the item at index 3.

The items are looked up once, from what is on record, so they are the same on every pass.
"""

from typing import Any, Protocol, cast

from stepwell.core.program import Branch, RunContext
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.plan.model import MAX_ITEMS, ForEach
from stepwell.programs.plan.scope import Names, Place


class Body(Protocol):
    """The compiled steps of one item."""

    async def run(self, ctx: RunContext, place: Place, prefix: str, names: Names) -> Any:
        """Runs them under a prefix of keys; their output."""


class ForEachAction:
    BY_ITSELF = FAILS_BY_ITSELF = KEEPS_TIME = False
    REPEATS = True

    def __init__(self, model: ForEach, body: Body) -> None:
        self._model = model
        self._body = body

    async def perform(self, place: Place) -> Any:
        items = place.filled(self._model.items, "items")
        if not isinstance(items, list) or len(items) > MAX_ITEMS:
            found = f"one of {len(items)}" if isinstance(items, list) else describe(items)
            text = f"expected a list of at most {MAX_ITEMS:,} items, found {found}"
            raise failure("expression", text, place.pointer("items"), status=400)
        branches = {str(index): self._branch(place, index, item) for index, item in enumerate(items)}
        limit = self._model.max_parallel
        return cast(list[Any], await place.ctx.race(f"{place.key}/items", branches, until="all", limit=limit))

    def _branch(self, place: Place, index: int, item: Any) -> Branch:
        async def run(ctx: RunContext) -> Any:
            names = {**place.names, "item": item, "index": index}
            return await self._body.run(ctx, place, f"{place.key}@{index}/", names)

        return run

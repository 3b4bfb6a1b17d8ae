"""`emit`: sends a CloudEvent to whoever listens, once. The output is the event."""

from typing import Any

from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.cloud_events import new_event
from stepwell.programs.flow.nodes.scope import Scope, evaluate


class EmitNode:
    """Everything in the event is the same on every pass: its id comes from the key, its time from the record."""

    def __init__(self, event: Expression, at: str) -> None:
        self._event = event
        self._at = f"{at}/emit/event/with"

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        ctx = scope.strand.ctx
        given = await evaluate(self._event, value, scope.variables(self._event, value), self._at)
        event = new_event(given, ctx, key, self._at)
        await ctx.emit(key, event)
        return event

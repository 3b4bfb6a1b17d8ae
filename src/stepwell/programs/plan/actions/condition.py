"""`condition`: decides which of two lists of steps runs. No step of the history: only its outcome is recorded."""

from typing import Any

from stepwell.programs.flow.expressions import Expression
from stepwell.programs.plan.scope import Place, holds


class ConditionAction:
    BY_ITSELF = FAILS_BY_ITSELF = KEEPS_TIME = False
    REPEATS = True

    def __init__(self, test: Expression) -> None:
        self._test = test

    async def perform(self, place: Place) -> Any:
        result = await holds(self._test, place.names, place.ctx.now, place.pointer("test"))
        return {"result": result, "branch": "then" if result else "else"}

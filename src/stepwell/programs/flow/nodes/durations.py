"""Lengths of time that a run comes to: constant nearly always, else an expression."""

from typing import Any

from stepwell.programs.flow.check import describe
from stepwell.programs.flow.model.durations import EXPECTED, Duration, seconds_of
from stepwell.programs.flow.nodes.scope import Scope, evaluate, failure


class Length:
    """A compiled duration."""

    __slots__ = ("_duration",)

    def __init__(self, duration: Duration) -> None:
        self._duration = duration

    async def seconds(self, scope: Scope, value: Any) -> float:
        """Raises `ProgramError` when the expression gives no duration."""
        expression, at = self._duration.expression, self._duration.at
        if expression is None:
            return self._duration.seconds
        found = await evaluate(expression, value, scope.variables(expression, value), at)
        seconds = seconds_of(found)
        if seconds is None:
            raise failure("expression", f"expected {EXPECTED}, found {describe(found)}", at, status=400)
        return seconds

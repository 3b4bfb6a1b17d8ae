"""`wait`: time passes, on disk."""

from datetime import datetime

from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.plan.model import Wait
from stepwell.programs.plan.scope import Place


class WaitAction:
    BY_ITSELF = REPEATS = True
    FAILS_BY_ITSELF = KEEPS_TIME = False

    def __init__(self, wait: Wait) -> None:
        self._wait = wait

    async def perform(self, place: Place) -> None:
        key, name, ctx = place.key, place.step.name, place.ctx
        seconds = place.seconds(self._wait.seconds, "seconds")
        if seconds is not None:
            await ctx.sleep(key, seconds, name=name, input={"seconds": seconds})
        else:
            at = self._until(place)
            await ctx.sleep_until(key, at, name=name, input={"until": place.filled(self._wait.until, "until")})

    def _until(self, place: Place) -> float:
        found = place.filled(self._wait.until, "until")
        try:
            at = datetime.fromisoformat(found)
            if at.tzinfo is None:
                raise ValueError
            return at.timestamp()
        except (TypeError, ValueError, OverflowError):
            text = f"expected a time with its offset like 2026-04-07T12:00:00Z, found {describe(found)}"
            raise failure("expression", text, place.pointer("until"), status=400) from None

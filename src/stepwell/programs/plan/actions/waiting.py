"""`wait`: time passes, on disk."""

from datetime import datetime
from typing import Any

from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.plan.model import Wait
from stepwell.programs.plan.scope import Place


class WaitAction:
    BY_ITSELF = REPEATS = True
    FAILS_BY_ITSELF = KEEPS_TIME = False

    def __init__(self, wait: Wait, *, began: bool) -> None:
        """`began`: the step may have stood in line before, so when it began goes on record."""
        self._wait = wait
        self._began = began

    async def perform(self, place: Place) -> None:
        if self._began:
            await place.ctx.record(f"{place.key}/began", None)
        shown = {name: value for name in ("seconds", "until") if (value := getattr(self._wait, name)) is not None}
        await place.ctx.sleep_until(
            place.key, self._until(place), name=place.step.name, input=place.veil.value(_filled(place, shown))
        )

    def _until(self, place: Place) -> float:
        seconds = place.seconds(self._wait.seconds, "seconds")
        if seconds is not None:
            return place.ctx.now + seconds
        found = place.filled(self._wait.until, "until")
        try:
            at = datetime.fromisoformat(found)
            if at.tzinfo is None:
                raise ValueError
            return at.timestamp()
        except (TypeError, ValueError, OverflowError):
            text = f"expected a time with its offset like 2026-04-07T12:00:00Z, found {describe(found)}"
            raise failure("expression", text, place.pointer("until"), status=400) from None


def _filled(place: Place, shown: dict[str, Any]) -> dict[str, Any]:
    return {name: place.filled(value, name) for name, value in shown.items()}

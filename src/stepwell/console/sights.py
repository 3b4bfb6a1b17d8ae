"""What a view of many runs shows, put together once for all pages that are open on it, and what has changed since.

Pages that show the same are most of what open pages cost: the rows of a view, and the text that tells a browser of
the change from one beat to the next, are made once for all of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from stepwell.console.pulse import Pulse

Row = dict[str, Any]

_WHOLE: Final = 0.5
"""Of the rows: when more than this share is new, the whole is sent instead of a change."""


class Sight:
    """The rows of a view (each with its `id`), in their order, and what stands around them."""

    def __init__(self, rows: Sequence[Row], around: Mapping[str, Any]) -> None:
        self.rows = {row["id"]: row for row in rows}
        self.around = around
        self._changes: WeakKeyDictionary[Sight, str | None] = WeakKeyDictionary()
        self._whole = ""

    def shows_as(self, other: "Sight") -> bool:
        """Whether both look the same."""
        return self.around == other.around and list(self.rows) == list(other.rows) and self.rows == other.rows

    @property
    def whole(self) -> str:
        """All of it, as JSON."""
        if not self._whole:
            self._whole = _json({"rows": list(self.rows.values()), **self.around})
        return self._whole

    def since(self, before: "Sight") -> str | None:
        """What a page that shows `before` has to be told, as JSON; None: better the whole."""
        if before not in self._changes:
            self._changes[before] = self._since(before)
        return self._changes[before]

    def _since(self, before: "Sight") -> str | None:
        changed = [row for id, row in self.rows.items() if before.rows.get(id) != row]
        if len(changed) > _WHOLE * len(self.rows):
            return None
        around = {name: value for name, value in self.around.items() if before.around.get(name) != value}
        news = {"rows": changed, "gone": [id for id in before.rows if id not in self.rows], "around": around}
        if self._order_after(before) != list(self.rows):
            news["order"] = list(self.rows)
        return _json(news)

    def _order_after(self, before: "Sight") -> list[str]:
        """The order that a page comes to by itself: what is new stands first."""
        return [id for id in self.rows if id not in before.rows] + [id for id in before.rows if id in self.rows]


class Sights:
    """The sights of a server: one for each view that is open."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._latest: WeakValueDictionary[Any, Sight] = WeakValueDictionary()

    async def of(self, view: Any, make: Callable[[], Awaitable[Sight]]) -> Sight:
        """What a view shows at this beat: the very same as before when nothing of it has changed."""

        async def look() -> Sight:
            sight, latest = await make(), self._latest.get(view)
            if latest is not None and latest.shows_as(sight):
                return latest
            self._latest[view] = sight
            return sight

        return await self._pulse.shared(("sight", view), look)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

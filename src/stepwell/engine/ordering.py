"""Which branches of a race may begin, and when: those they wait for have ended, and there is room. Pure."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

NO_ORDER: Final[Mapping[str, Sequence[str]]] = {}


class Order:
    """Hands out names as they may begin, in the order in which they were given.

    `after` maps a name to those that must have ended before it begins; at most `limit` are under way at once. Raises
    `ValueError` for an order in which not all could ever begin.
    """

    def __init__(
        self, names: Iterable[str], after: Mapping[str, Sequence[str]] = NO_ORDER, limit: int | None = None
    ) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._limit = limit
        self._under_way = 0
        self._ready: list[int] = []
        self._names = list(self._places)
        self._graph = _graph(self._places, after) if any(after.values()) else None
        if limit is not None and limit < 1:
            raise ValueError(f"expected a limit of 1 or more, found {limit}")
        self._add(self._names if self._graph is None else self._graph.get_ready())

    def begin(self) -> list[str]:
        """Those that begin now."""
        room = len(self._ready) if self._limit is None else self._limit - self._under_way
        taken = [self._names[heapq.heappop(self._ready)] for _ in range(min(room, len(self._ready)))]
        self._under_way += len(taken)
        return taken

    def ended(self, name: str) -> None:
        """One that had begun is through."""
        self._under_way -= 1
        if self._graph is not None:
            self._graph.done(name)
            self._add(self._graph.get_ready())

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            heapq.heappush(self._ready, self._places[name])


def _graph(places: Mapping[str, int], after: Mapping[str, Sequence[str]]) -> TopologicalSorter[str]:
    named = [*after, *(name for before in after.values() for name in before)]
    if unknown := [name for name in named if name not in places]:
        raise ValueError(f"expected names of branches in `after`, found {unknown[0]!r}")
    graph = TopologicalSorter({name: after.get(name, ()) for name in places})
    try:
        graph.prepare()
    except CycleError as fault:
        raise ValueError(f"the branches wait for each other in a circle: {' -> '.join(fault.args[1])}") from None
    return graph

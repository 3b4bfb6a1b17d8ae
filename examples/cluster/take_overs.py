"""Who drives which run, and how it is told that others have taken runs over: when, from whom, and which."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SHOWN = 3


class TakeOver(NamedTuple):
    """A node has taken a run over; `at_s` counts from the start of the demo."""

    at_s: float
    by: str
    run_id: str


class Lost(NamedTuple):
    """A node that is lost, how, and since when."""

    at_s: float
    number: int
    node: str
    how: str


class Drivers:
    """The node that drives each run: the one that began it, until another has taken it over."""

    def __init__(self) -> None:
        self._nodes: dict[str, str] = {}

    def begin(self, run_id: str, node: str) -> None:
        self._nodes[run_id] = node

    def runs_of(self, node: str) -> list[str]:
        return [run_id for run_id, driver in self._nodes.items() if driver == node]

    def move(self, take_over: TakeOver) -> str:
        """The node that drove the run before."""
        before = self._nodes[take_over.run_id]
        self._nodes[take_over.run_id] = take_over.by
        return before


def told(take_overs: Iterable[TakeOver], lost: Lost | None, drivers: Drivers) -> Iterator[tuple[float, str]]:
    """A line for each node that took runs over, with the instant of the first of them, and the drivers since.

    A machine that is busy with other things may keep a node silent for so long that it is taken for dead: that is
    told too, and is no fault.
    """
    groups = defaultdict[tuple[str, str], list[TakeOver]](list)
    for one in take_overs:
        groups[one.by, drivers.move(one)].append(one)
    for (by, before), group in groups.items():
        why = "silent for too long on this machine"
        if lost is not None and before == lost.node:
            why = f"{lost.how} at {lost.at_s:.1f} s"
        yield group[0].at_s, f"{by} took over {_counted(group)} of {before} ({why}): {_named(group)}"


def _counted(group: list[TakeOver]) -> str:
    return "1 run" if len(group) == 1 else f"{len(group)} runs"


def _named(group: list[TakeOver]) -> str:
    """By the ends of their ids: the beginnings are the time, and much the same."""
    names = [one.run_id[-8:] for one in group]
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")

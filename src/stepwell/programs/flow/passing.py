"""Which tasks a run has passed that left nothing in its history (`set`, `switch`, `do`, ...). Pure.

Nothing is guessed: a task counts as passed when every way from the start to a place where the run certainly was leads
through it (in the words of graphs: it dominates that place), or every way from such a place to the end of a run that
has ended. Ways that the history rules out are none: through a task that would have left a step and did not, and out
of one that never completed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from stepwell.programs.flow.graph import END, START, Graph, without_counters

_GONE_BACK: Final = "pending"
"""The status of a step that a roll-back or a retry took back: it says nothing."""
_NOT_LEFT: Final = frozenset({"running", "retrying", "waiting", "failed"})
"""Of steps that the flow did not go on from. One that was cancelled may be of a `listen` that went on."""

_TRIED, _BRANCHES = "/try/", "/branches/"
"""In pointers of tasks that an error, or another branch, may end so that the run goes on."""

_OF_THE_FIRST_VISIT: Final = re.compile(r"[@~]|/(?!extensions/)")
"""Behind a pointer in a key that has no counter up to there; `^` counts later visits. An extension may take the place
of what it extends.
"""


def passed(graph: Graph, steps: Iterable[tuple[str, str]], *, ended: bool) -> frozenset[str]:
    """The ids of the nodes. `steps` are keys and statuses of the run's steps; `ended` whether it came to its end."""
    if any(without_counters(node.pointer) != node.pointer for node in graph.nodes):
        return frozenset()  # a name that looks like a counter: keys do not say for certain whose they are
    seen = _Seen(graph, {(key, status) for key, status in steps if status != _GONE_BACK})
    ways = _ways(graph, seen)
    dominators = _dominators(ways, START)
    if not seen.entered <= dominators.keys() or (ended and END not in dominators):
        return frozenset()  # it ran another version of the definition, say
    passing = _Passing(graph, dominators, seen)
    if ended:
        passing.end(_dominators(_reversed(ways), END))
    return passing.passed()


class _Seen:
    """What the steps say of the nodes: `own` are the statuses of the steps of each, `entered` those that have a step
    at or inside them, `begun` those that had one inside when the run came there for the first time."""

    def __init__(self, graph: Graph, steps: Iterable[tuple[str, str]]) -> None:
        self._ids = {node.pointer: node.id for node in graph.nodes}
        self.own: dict[str, set[str]] = {}
        self.entered: set[str] = set()
        self.begun: set[str] = set()
        for key, status in steps:
            self._note(key, status)

    def _note(self, key: str, status: str) -> None:
        pointer = without_counters(key)
        if pointer in self._ids:
            self.own.setdefault(self._ids[pointer], set()).add(status)
        while pointer:
            id = self._ids.get(pointer)
            if id is not None:
                self.entered.add(id)
                if key.startswith(pointer) and _OF_THE_FIRST_VISIT.match(key, len(pointer)):
                    self.begun.add(id)
            pointer = pointer.rpartition("/")[0]


def _ways(graph: Graph, seen: _Seen) -> dict[str, list[str]]:
    """Where each node leads to, without what the history rules out."""
    sure = [node.id for node in graph.nodes if node.recorded and not node.optional]
    absent = {id for id in sure if id not in seen.entered}
    closed = absent | {id for id in sure if id in seen.own and seen.own[id] <= _NOT_LEFT}
    ways: dict[str, list[str]] = {}
    for edge in (*graph.edges, *graph.past):
        if edge.source not in closed and edge.target not in absent:
            ways.setdefault(edge.source, []).append(edge.target)
    return ways


class _Passing:
    def __init__(self, graph: Graph, dominators: Mapping[str, str], seen: _Seen) -> None:
        self._graph = graph
        self._nodes = {node.id: node for node in graph.nodes}
        self._dominators = dominators
        self._seen = seen
        self._passed: set[str] = set()

    def passed(self) -> frozenset[str]:
        for id in self._seen.entered:
            self._pass(self._chain(self._dominators, id), at=self._pointer(id))
        return frozenset(id for id in self._passed if self._was_done(id))

    def end(self, behind: Mapping[str, str]) -> None:
        """The run came to its end. `behind` are dominators on the way back: of each node the next through which every
        way to the end leads. Errors are ways too, which only a `try` lets be gone on from, and are in no graph.
        """
        self._pass(self._chain(self._dominators, END), at="")
        around = self._seen.entered - self._seen.own.keys()
        self._passed |= {id for id in around if self._is_ended_by_itself(id)}
        if not any(_TRIED in node.pointer for node in self._graph.nodes):
            for id in self._seen.entered & behind.keys():
                self._passed |= {next for next in self._chain(behind, id) if self._is_ended_by_itself(next)}

    def _is_ended_by_itself(self, id: str) -> bool:
        """Whether nothing else ends a task so that the run goes on without it."""
        pointer = self._pointer(id)
        return bool(pointer) and _TRIED not in pointer and _BRANCHES not in pointer

    def _pass(self, chain: Iterable[str], *, at: str) -> None:
        """Mark what leads to `at`; not what is around it, which is still under way there."""
        for id in chain:
            if id in self._nodes and id not in self._passed and not at.startswith(f"{self._pointer(id)}/"):
                self._passed.add(id)
                if self._was_done(id):
                    self._join(id)

    def _join(self, node: str) -> None:
        """What was certainly passed inside a task that is behind the run."""
        for join in self._graph.joins:
            ends = [end for end in join.ends if end in self._dominators]
            if join.node == node and ends and (node in self._seen.begun or not join.loop):
                self._pass(self._common(ends), at=f"{self._pointer(node)}/")

    def _was_done(self, id: str) -> bool:
        """Whether it was not skipped, the first time."""
        return not self._nodes[id].optional or id in self._seen.begun

    def _pointer(self, id: str) -> str:
        return self._nodes[id].pointer if id in self._nodes else ""

    def _chain(self, dominators: Mapping[str, str], id: str) -> Iterator[str]:
        """All that dominate a node, the nearest first; the root not."""
        while dominators[id] != dominators[dominators[id]]:
            id = dominators[id]
            yield id

    def _common(self, ids: Sequence[str]) -> list[str]:
        """What lies on the way to whichever of them it was."""
        chains = [[id, *self._chain(self._dominators, id)] for id in ids]
        return [id for id in chains[0] if all(id in chain for chain in chains)]


def _reversed(ways: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source, targets in ways.items():
        for target in targets:
            found.setdefault(target, []).append(source)
    return found


def _dominators(ways: Mapping[str, Sequence[str]], root: str) -> dict[str, str]:
    """Of each node that can be reached its nearest dominator (Cooper, Harvey, Kennedy: A Simple, Fast Dominance
    Algorithm); the root is its own."""
    order = _reverse_postorder(ways, root)
    place = {id: number for number, id in enumerate(order)}
    sources: dict[str, list[str]] = {id: [] for id in order}
    for id in order:
        for target in ways.get(id, ()):
            sources[target].append(id)
    found, changed = {root: root}, True
    while changed:
        changed = False
        for id in order[1:]:
            nearest = ""
            for source in (source for source in sources[id] if source in found):
                nearest = _meet(source, nearest or source, found, place)
            changed |= found.get(id) != nearest
            found[id] = nearest
    return found


def _meet(one: str, other: str, found: Mapping[str, str], place: Mapping[str, int]) -> str:
    """The nearest dominator that two nodes have in common."""
    while one != other:
        if place[one] > place[other]:
            one = found[one]
        else:
            other = found[other]
    return one


def _reverse_postorder(ways: Mapping[str, Sequence[str]], root: str) -> list[str]:
    """All that can be reached from the root: each before what it leads to, as far as there are no loops."""
    seen, done = {root}, list[str]()
    stack = [(root, iter(ways.get(root, ())))]
    while stack:
        id, targets = stack[-1]
        target = next((target for target in targets if target not in seen), None)
        if target is None:
            done.append(id)
            stack.pop()
        else:
            seen.add(target)
            stack.append((target, iter(ways.get(target, ()))))
    return done[::-1]

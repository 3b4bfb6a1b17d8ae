"""What graphs show as passed was done, at every moment of every flow of the corpus; and in plain flows nothing that
was done is left out.
"""

import asyncio
from typing import Any

import pytest

from stepwell.core.history import AnyEvent, RunCompleted, RunCreated
from stepwell.engine.viewing import run_view
from stepwell.programs.flow.compiling import Compiler
from stepwell.programs.flow.graph import Graph, graph_of
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.nodes import plain
from stepwell.programs.flow.passing import passed
from stepwell.programs.flow.reading import read

from .corpus import Case
from .flow_corpus import FLOW_CASES
from .harness import InMemory
from .test_crash_corpus import Outcome, play, world_for

Done = dict[tuple[str, str], float]
"""When a task was done first, by workflow and pointer."""


class Watched:
    """A node, and a note of when it was done. What surrounds it (`if`) is outside of it."""

    def __init__(self, node: Any, at: str, done: Done) -> None:
        self._node, self._at, self._done = node, at, done

    async def perform(self, scope: Any, key: str, value: Any) -> Any:
        result = await self._node.perform(scope, key, value)
        note(self._done, scope, self._at)
        return result


def note(done: Done, scope: Any, at: str) -> None:
    done.setdefault((scope.strand.ctx.run.workflow, at), asyncio.get_running_loop().time())


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Done:
    found: Done = {}
    node_of, perform = Compiler._node, plain.SwitchNode.perform

    def watched(compiler: Compiler, task: Any) -> Any:
        return Watched(node_of(compiler, task), task.at, found)

    async def chosen(switch: plain.SwitchNode, scope: Any, key: str, value: Any) -> Any:
        result = await perform(switch, scope, key, value)
        case = (*switch._cases, switch._default)[0]
        assert case is not None
        note(found, scope, case.at.rpartition("/switch/")[0])
        return result

    monkeypatch.setattr(Compiler, "_node", watched)
    monkeypatch.setattr(plain.SwitchNode, "perform", chosen)
    return found


@pytest.mark.parametrize("name", FLOW_CASES)
def test_what_counts_as_passed_was_done(name: str, done: Done) -> None:
    case = FLOW_CASES[name]
    graphs = {workflow: graph_of(workflow_in(read(text))) for workflow, text in case.flows.items()}
    for history in histories(case):
        created = history[0]
        assert isinstance(created, RunCreated)
        graph = graphs[created.workflow]
        for seq in range(1, len(history) + 1):
            for pointer in pointers_passed(graph, history[:seq]):
                at = done.get((created.workflow, pointer))
                assert at is not None, f"{pointer} was never done, after {history[seq - 1]}"
                assert at <= history[seq - 1].at + 1e-6, f"{pointer} was not done yet, after {history[seq - 1]}"


def histories(case: Case) -> list[list[AnyEvent]]:
    with world_for(case, InMemory) as world:
        world.live(lambda life: play(case, life, Outcome(), case.sends, None))
        return world.histories()


def pointers_passed(graph: Graph, events: list[AnyEvent]) -> set[str]:
    view = run_view(events)
    ended = isinstance(events[-1], RunCompleted)
    found = passed(graph, [(step.key, step.status) for step in view.steps], ended=ended)
    return {node.pointer for node in graph.nodes if node.id in found}

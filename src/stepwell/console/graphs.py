"""The graph of a workflow as Mermaid text, and which of its nodes shows which status in a run."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.program import Compiled, StepOutline
from stepwell.engine.views import StepView
from stepwell.programs.flow.graph import graph_of, mermaid
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.passing import passed
from stepwell.programs.flow.reading import read
from stepwell.store.model import Definition

PASSED: Final = "passed"
"""Of a node that the run has come past, and that has no step of its own."""
_STRONGEST: Final = ("running", "retrying", "waiting", "failed", "cancelled", "completed", "skipped", "pending")
"""Of several steps at one node (a loop, say) the first of these is shown."""


class DrawnGraph(msgspec.Struct, frozen=True, kw_only=True):
    """`nodes` are the ids of the nodes in the text, by what leads a step to its node: a pointer or a step's key."""

    text: str
    nodes: Mapping[str, str]
    find: Any = None  # Callable[[str], str | None], where more than a look-up is needed
    passed: Any = None  # Callable[[keys and statuses, ended], Iterable[str]], where nodes may have no steps
    as_one: bool = False
    """Whether one step is the whole graph: then every node shows its status."""

    def node_of(self, key: str) -> str | None:
        """The node of a step of a run."""
        found = self.find(key) if self.find is not None else None
        return found or self.nodes.get(key)


def draw(definition: Definition | None, compiled: Compiled | None) -> DrawnGraph | None:
    """The graph of a definition; None where only running shows what it does (a Python function)."""
    if definition is None:
        return None
    if definition.kind == "flow":
        return _of_flow(definition.text)
    if compiled is not None and compiled.outline:
        return _of_outline(compiled.outline)
    if definition.kind == "pipeline":
        return _of_pipeline(definition.text)
    if compiled is not None and compiled.typed is not None:
        return _of_events(compiled.typed.graph)
    return None


def statuses(
    graph: DrawnGraph, steps: Sequence[StepView], *, ended: bool = False, failed_at: str = ""
) -> dict[str, str]:
    """Node to the status that it shows; `ended` says whether the run came to the end of its workflow, `failed_at`
    is the pointer that its error names."""
    if graph.as_one:
        whole = next(iter(steps), None)
        return {} if whole is None else dict.fromkeys(graph.nodes.values(), whole.status)
    found: dict[str, str] = {}
    for step in _all(steps):
        node = graph.node_of(step.key) or graph.nodes.get(step.name)
        if node is not None and _rank(step.status) < _rank(found.get(node, "")):
            found[node] = step.status
    if graph.passed is not None:
        known = [(step.key, step.status) for step in steps]
        found |= dict.fromkeys(graph.passed(known, ended=ended) - found.keys(), PASSED)
    failed = _around(graph, failed_at)
    if failed and found.get(failed, PASSED) == PASSED:
        found[failed] = "failed"
    return found


def _around(graph: DrawnGraph, pointer: str) -> str:
    """The node of the task that a pointer leads to, or into; a `raise` or a `set` fails without a step."""
    while pointer:
        if (node := graph.node_of(pointer)) is not None:
            return node
        pointer = pointer.rpartition("/")[0]
    return ""


def _rank(status: str) -> int:
    return _STRONGEST.index(status) if status in _STRONGEST else len(_STRONGEST)


def _all(steps: Iterable[StepView]) -> Iterable[StepView]:
    for step in steps:
        yield step
        yield from _all(step.parts)


def _of_flow(text: str) -> DrawnGraph | None:
    try:
        graph = graph_of(workflow_in(read(text)))
    except InvalidDefinitionError:  # of an older version, which took more than this one
        return None

    def find(key: str) -> str | None:
        node = graph.node_at(key)
        return node.id if node is not None else None

    nodes = {node.pointer: node.id for node in graph.nodes}
    return DrawnGraph(text=mermaid(graph), nodes=nodes, find=find, passed=partial(passed, graph))


def _of_outline(outline: Sequence[StepOutline]) -> DrawnGraph:
    """Steps, each below those it waits for; what is inside a `foreach` stands in a box."""
    lines, nodes = ["flowchart TD"], dict[str, str]()
    _box(outline, lines, nodes, prefix="")
    return DrawnGraph(text="\n".join(lines) + "\n", nodes=nodes, find=lambda key: nodes.get(_own(key)))


def _box(outline: Sequence[StepOutline], lines: list[str], nodes: dict[str, str], *, prefix: str) -> None:
    for step in outline:
        nodes[prefix + step.key] = id = f"n{len(nodes)}"
        lines.append(f"  {id}[{_quoted(f'{step.name}<br/>{step.type}')}]")
        if step.steps:
            lines.append(f"  subgraph g{id}[{_quoted(f'each of {step.name}')}]")
            _box(step.steps, lines, nodes, prefix=f"{prefix}{step.key}/")
            lines += ["  end", f"  {id} --> {nodes[f'{prefix}{step.key}/{step.steps[0].key}']}"]
    for step in outline:
        lines += [f"  {nodes[prefix + before]} --> {nodes[prefix + step.key]}" for before in step.depends_on]


def _own(key: str) -> str:
    """The key of an outline's step, of one of a run: `each@3/fetch` is `each/fetch`."""
    return "/".join(part.partition("@")[0] for part in key.split("/"))


def _of_pipeline(text: str) -> DrawnGraph | None:
    try:
        value = read(text).value
    except InvalidDefinitionError:
        return None
    stages = value.get("pipeline") if isinstance(value, dict) else None
    names = [str(stage.get("stage", "")) for stage in stages or () if isinstance(stage, dict)]
    lines = ["flowchart LR", *(f"  n{index}[{_quoted(name)}]" for index, name in enumerate(names))]
    lines += [f"  n{index} --> n{index + 1}" for index in range(len(names) - 1)]
    nodes = {name: f"n{index}" for index, name in enumerate(names)}
    return DrawnGraph(text="\n".join(lines) + "\n", nodes=nodes, as_one=True)


def _of_events(graph: Mapping[str, Any]) -> DrawnGraph:
    """Steps of a Python class, and the events that lead from one to another."""
    ids = {node["id"]: f"n{index}" for index, node in enumerate(graph["nodes"])}
    lines = ["flowchart TD"]
    for node in graph["nodes"]:
        opening, closing = ("[", "]") if node["node_type"] == "step" else ("([", "])")
        lines.append(f"  {ids[node['id']]}{opening}{_quoted(node['label'])}{closing}")
    lines += [f"  {ids[edge['source']]} --> {ids[edge['target']]}" for edge in graph["edges"]]
    steps = {node["label"]: ids[node["id"]] for node in graph["nodes"] if node["node_type"] == "step"}
    return DrawnGraph(text="\n".join(lines) + "\n", nodes=steps)


def _quoted(text: str) -> str:
    """As in a flow's graph: what Mermaid gives a meaning goes as an entity."""
    safe = "".join(f"#{ord(sign)};" if sign in '#"`&\\' or sign < " " else sign for sign in text)
    return '"' + safe.replace("<", "#lt;").replace("#lt;br/>", "<br/>") + '"'

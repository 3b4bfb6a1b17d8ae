"""The graphs of workflows without typed events: a node for every task, and the ways from the start to the stop. Pure.

The shape is that of the newest dialect: nodes `step` and `event`, edges with a label.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stepwell.core.program import Compiled
from stepwell.programs.flow import graph as flow_graph
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.reading import read
from stepwell.programs.pipeline.compiling import compile_pipeline
from stepwell.store.model import Definition

_START: Final = "StartEvent"
_STOP: Final = "StopEvent"
_ENDS: Final = {flow_graph.START: _START, flow_graph.END: _STOP}

Way = tuple[str, str, str]
"""Source, target, label."""


def graph_of(
    name: str, definition: Definition, compiled: Compiled, *, start: Mapping[str, Any], stop: Mapping[str, Any]
) -> dict[str, Any]:
    """The graph of a definition; `start` and `stop` are the JSON Schemas of its two events."""
    match definition.kind:
        case "flow":
            steps, ways = _of_flow(definition.text)
        case "pipeline":
            pipeline = compile_pipeline(read(definition.text))
            steps, ways = _in_a_row([stage.name for stage in pipeline.stages])
        case _:
            steps, ways = _in_a_row([step.name for step in compiled.outline] or [name])
    to_stop = [source for source, target, _ in ways if target == _STOP]
    return {
        "name": name,
        "description": None,
        "nodes": [_event(_START, start, []), *steps, _event(_STOP, stop, to_stop)],
        "edges": [{"source": source, "target": target, "label": label or None} for source, target, label in ways],
    }


def _of_flow(text: str) -> tuple[list[dict[str, Any]], list[Way]]:
    graph = flow_graph.graph_of(workflow_in(read(text)))
    steps = [_step(node.id, node.name, f"{node.kind} at {node.pointer}") for node in graph.nodes]
    return steps, [
        (_ENDS.get(edge.source, edge.source), _ENDS.get(edge.target, edge.target), edge.label) for edge in graph.edges
    ]


def _in_a_row(names: Sequence[str]) -> tuple[list[dict[str, Any]], list[Way]]:
    """Steps that follow each other."""
    steps = [_step(f"n{number}", name, None) for number, name in enumerate(names)]
    stops: Iterable[str] = [_START, *(step["id"] for step in steps), _STOP]
    in_order = list(stops)
    return steps, [(source, target, "") for source, target in itertools.pairwise(in_order)]


def _step(id: str, label: str, description: str | None) -> dict[str, Any]:
    return {"id": id, "label": label, "node_type": "step", "description": description}


def _event(name: str, schema: Mapping[str, Any], produced_by: list[str]) -> dict[str, Any]:
    return {
        "id": name,
        "label": name,
        "node_type": "event",
        "event_type": name,
        "event_types": [name],
        "event_schema": schema,
        "produced_by": produced_by,
    }

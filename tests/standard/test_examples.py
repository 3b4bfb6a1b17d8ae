"""The standard's 66 example documents: each is read, formatted, drawn, and run or refused as `examples.yaml` says."""

import re
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
import pytest

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.status import Status
from stepwell.programs.flow.canonical import canonical
from stepwell.programs.flow.graph import graph_of, mermaid
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.model.tasks import Task
from stepwell.programs.flow.model.walking import parts_in
from stepwell.programs.flow.reading import read

from .world import MISSING, SHARED, World

EXAMPLES = {path.stem: path for path in sorted((SHARED / "examples").glob("*.yaml"))}
MAX_REFUSED = 22

if not EXAMPLES:
    pytest.skip(MISSING, allow_module_level=True)


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    ends: Literal["completed", "failed", "waiting", "refused"] = "completed"
    at: str = ""
    input: Any = msgspec.field(default_factory=dict)
    events: list[dict[str, Any]] = []
    secrets: dict[str, Any] = {}
    beside: list[str] = []
    virtual: bool = False
    error: int = 0


EXPECTED = msgspec.convert(read((Path(__file__).parent / "examples.yaml").read_text()).value, dict[str, Expected])


def expected_of(name: str) -> Expected:
    return EXPECTED.get(name, Expected())


def test_all_examples_are_here_and_few_are_refused() -> None:
    assert len(EXAMPLES) == 66
    assert set(EXPECTED) <= set(EXAMPLES)
    assert sum(expected.ends == "refused" for expected in EXPECTED.values()) <= MAX_REFUSED


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_ends_as_expected(name: str, world: World) -> None:
    expected, text = expected_of(name), EXAMPLES[name].read_text()
    if expected.ends == "refused":
        with pytest.raises(InvalidDefinitionError) as refused:
            world.app({}).parts.flows.check(text)
        assert [(fault.pointer, "not supported" in fault.message) for fault in refused.value.faults] == [
            (expected.at, True)
        ]
        return
    run = world.run_virtually if expected.virtual else world.run
    ended = run(
        text,
        expected.input,
        beside=expected.beside,
        events=expected.events,
        secrets=expected.secrets,
        forever=expected.ends == "waiting",
    )
    assert ended.status is Status(expected.ends), ended.error
    if ended.error is not None:
        assert ended.error.status == expected.error, ended.error


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_keeps_its_meaning_and_comments_when_formatted(name: str) -> None:
    text = EXAMPLES[name].read_text()
    formatted = canonical(text)
    assert read(formatted).value == read(text).value
    assert canonical(formatted) == formatted
    assert formatted.count("#") == text.count("#")


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_has_a_node_for_every_task(name: str) -> None:
    workflow = workflow_in(read(EXAMPLES[name].read_text()))
    graph = graph_of(workflow)
    pointers = {part.at for part in parts_in(workflow) if isinstance(part, Task)}
    assert {node.pointer for node in graph.nodes} == pointers
    assert all(f"%% {node.id} {node.pointer}\n" in mermaid(graph) for node in graph.nodes)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_keeps_comments_wherever_they_stand(name: str) -> None:
    lines, random = EXAMPLES[name].read_text().rstrip().split("\n"), Random(name)
    if any(line.endswith("|") for line in lines):
        pytest.skip("in a block of text it would be text")
    for number, place in enumerate(random.sample(range(len(lines)), 4)):
        lines[place] += f"  # behind {number}" if random.random() < 0.5 else f"\n{' ' * number}# alone {number}"
    text = "\n".join(lines) + "\n"
    formatted = canonical(text)
    assert read(formatted).value == read(EXAMPLES[name].read_text()).value
    assert sorted(re.findall(r"# \w+ \d", formatted)) == sorted(re.findall(r"# \w+ \d", text))
    assert canonical(formatted) == formatted

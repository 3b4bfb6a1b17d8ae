# ruff: noqa: E501  a document of one line is easier to read whole
"""The canonical form, and the graph: the order of keys, quotes, comments; nodes, edges, groups."""

from pathlib import Path

import pytest

from stepwell.cli.fmt import fmt
from stepwell.cli.graph import graph as print_graph
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import StepwellError
from stepwell.programs.flow.canonical import canonical
from stepwell.programs.flow.comments import Comments
from stepwell.programs.flow.graph import END, Edge, graph_of, mermaid
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.reading import read
from stepwell.programs.flow.yaml_writing import YamlWriter

HEAD = """document:
  dsl: '1.0.3'
  namespace: test
  name: flow
  version: '1.0.0'
"""
MESSY = """# about the flow
do:   # the tasks
- first:
    then: end
    # what it sets
    set: {b: 1, a: "x: y"} # values
    if: .a
# the end
document: {version: '1.0.0', name: flow, namespace: test, dsl: "1.0.3"}
# last
"""
TIDY = """# the end
document:
  dsl: '1.0.3'
  namespace: test
  name: flow
  version: '1.0.0'
# about the flow
do:  # the tasks
  - first:
      if: .a
      # what it sets
      set:  # values
        b: 1
        a: 'x: y'
      then: end
# last
"""


def test_keys_are_put_in_order_and_comments_go_along() -> None:
    assert canonical(MESSY) == TIDY
    assert canonical(TIDY) == TIDY


def test_json_stays_json() -> None:
    text = canonical(
        '{"do": [{"a": {"then": "end", "set": {"x": 1}}}], "document": {"version": "1.0.0", "name": "f", "namespace": "n", "dsl": "1.0.0"}}'
    )
    assert list(read(text).value) == ["document", "do"]
    assert text.startswith('{\n  "document": {\n    "dsl"')
    assert text.index('"set"') < text.index('"then"')


@pytest.mark.parametrize("document", ["do: [", HEAD + "doo: []", HEAD + "do: [{a: {set: {}}}]"])
def test_wrong_document_is_refused(document: str) -> None:
    with pytest.raises(InvalidDefinitionError):
        canonical(document)


def test_what_is_not_supported_is_formatted_too() -> None:
    assert "container" in canonical(
        HEAD + "do: [{a: {run: {container: {image: x}}}}, {b: {call: 'log:1@c'}}, {c: {set: {x: '${ .a | foo }'}}}]"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain text", "plain text"),
        ("${ .a + [1] }", "${ .a + [1] }"),
        (".a[0]", ".a[0]"),
        ("on", "'on'"),
        ("No", "'No'"),
        ("", "''"),
        ("1.0", "'1.0'"),
        ("0x1f", "'0x1f'"),
        ("2024-01-01", "'2024-01-01'"),
        ("a: b", "'a: b'"),
        ("a #b", "'a #b'"),
        ("it's", "it's"),
        ("- 'x'", "'- ''x'''"),
        ("{a}", "'{a}'"),
        ("tab\t", '"tab\\t"'),
        ("\x7f", '"\\u007f"'),
        ("🙂", "'🙂'"),
        ("a\nb", "|-\n  a\n  b"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\n b\n\n", "|+\n  a\n   b\n"),
        (" a\nb", '" a\\nb"'),
        (True, "true"),
        (None, "null"),
        (10**20, "100000000000000000000"),
        (1e22, "1e+22"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_scalars_are_written_as_every_reader_takes_them(value: object, text: str) -> None:
    written = YamlWriter(lambda _at, found: list(found), Comments({}, {}, [])).text({"x": value})
    assert written == f"x: {text}\n"
    assert read(written).value == {"x": value}


def test_command_prints_checks_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(MESSY)
    fmt(file)
    assert capsys.readouterr().out == TIDY
    with pytest.raises(Exception, match="1"):
        fmt(file, check=True)
    assert file.read_text() == MESSY
    fmt(file, write=True)
    assert file.read_text() == TIDY
    fmt(file, check=True)
    file.write_text("do: [")
    with pytest.raises(Exception, match="2"):
        fmt(file, write=True)
    assert "flow.yaml:1: /" in capsys.readouterr().err


GRAPH = (
    HEAD
    + """do:
  - choose: {switch: [{go: {when: .a, then: loop}}, {stop: {then: end}}]}
  - skipped: {set: {x: 1}}
  - loop: {for: {in: .l}, do: [{inner: {wait: PT1S}}]}
  - both: {fork: {compete: true, branches: [{one: {set: {x: 1}}}, {two: {raise: {error: {type: 'http://x', status: 400}}}}]}}
  - tried: {try: [{risky: {call: f}}], catch: {do: [{mend: {set: {x: 1}}}]}, then: choose}
use: {functions: {f: {set: {"quo\\"te": 1}}}, extensions: [{log: {extend: all, before: [{note: {set: {x: 1}}}]}}]}
"""
)


def test_graph_has_every_task_and_every_way() -> None:
    graph = graph_of(workflow_in(read(GRAPH)))
    names = {node.id: node.name for node in graph.nodes}
    ways = {
        (names.get(edge.source, edge.source), edge.label, names.get(edge.target, edge.target)) for edge in graph.edges
    }
    assert ways == {
        ("start", "", "choose"),
        ("choose", "go", "loop"),
        ("choose", "stop", END),
        ("skipped", "", "loop"),
        ("loop", "each", "inner"),
        ("inner", "", "loop"),
        ("loop", "done", "both"),
        ("both", "first to end", "one"),
        ("both", "first to end", "two"),
        ("one", "", "tried"),
        ("tried", "", "risky"),
        ("tried", "on error", "mend"),
        ("risky", "", "choose"),
        ("mend", "", "choose"),
    }
    assert {node.pointer for node in graph.nodes} >= {"/use/functions/f", "/use/extensions/0/log/before/0/note"}
    assert all(isinstance(edge, Edge) for edge in graph.edges)


def test_graph_leads_past_a_raise_that_has_an_if_and_past_an_error_that_is_dropped() -> None:
    body = """do:
  - check: {if: .a, raise: {error: {type: 'http://x', status: 400}}}
  - dropped: {try: [{risky: {call: f}}], catch: {}}
  - handed: {try: [{tried: {call: f}}], catch: {retry: {}}}
"""
    graph = graph_of(workflow_in(read(HEAD + body)))
    names = {node.id: node.name for node in graph.nodes}
    ways = {
        (names.get(edge.source, edge.source), edge.label, names.get(edge.target, edge.target)) for edge in graph.edges
    }
    assert ("check", "else", "dropped") in ways
    assert ("dropped", "on error", "handed") in ways
    assert not any(source == "handed" and target == END for source, _, target in ways)
    assert "past" not in mermaid(graph)


def test_node_of_a_key_is_found() -> None:
    graph = graph_of(workflow_in(read(GRAPH)))
    node = graph.node_at("/do/2/loop^2@17/do/0/inner~3")
    assert node is not None
    assert node.name == "inner"


def test_mermaid_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text(GRAPH)
    print_graph(file)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "flowchart TD"
    assert '  n0{"choose<br/>switch"}' in lines
    assert "  %% n0 /do/0/choose" in lines
    assert sum(line.strip().startswith("subgraph") for line in lines) == sum(line.strip() == "end" for line in lines)
    file.write_text("do: []")
    with pytest.raises(StepwellError, match=r"flow\.yaml:1: /document"):
        print_graph(file)


def test_text_of_users_cannot_break_the_picture() -> None:
    text = mermaid(graph_of(workflow_in(read(HEAD + "do: [{'a\"] --> b; <script>`': {set: {x: 1}}}]"))))
    assert '"a#34;] --> b; #lt;script>#96;<br/>set"' in text

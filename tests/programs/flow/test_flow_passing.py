"""Which tasks without a step count as passed: told by the steps around them, never guessed."""

import pytest

from stepwell.programs.flow.graph import graph_of
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.passing import passed
from stepwell.programs.flow.reading import read

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"

ROW = """
do:
  - first: {set: {x: 1}}
  - ask: {call: approval}
  - last: {set: {x: 2}}
"""
CHOICE = """
do:
  - choose: {switch: [{a: {when: .a, then: left}}, {b: {then: right}}]}
  - left: {set: {x: 1}}
  - leftly: {call: approval, then: both}
  - right: {set: {x: 2}}
  - rightly: {OTHER, then: both}
  - both: {wait: PT1S}
"""
BRANCHES = """
do:
  - split:
      fork:
        compete: COMPETE
        branches:
          - one: {do: [{before: {set: {x: 1}}}, {rest: {wait: PT1S}}, {after: {set: {x: 1}}}]}
          - two: {do: [{quick: {set: {x: 1}}}]}
  - ask: {call: approval}
"""
LOOP = """
do:
  - each: {for: {in: .items}, do: [{before: {set: {x: 1}}}, {rest: {wait: PT1S}}, {after: {set: {x: 1}}}]}
  - ask: {call: approval}
"""
CATCHING = """
do:
  - attempt:
      try: [{before: {set: {x: 1}}}, {get: {call: approval}}, {after: {set: {x: 1}}}]
      catch: CATCH
  - ask: {call: approval}
"""
OPTIONAL = """
do:
  - maybe: {if: .x, set: {x: 1}}
  - group: {if: .x, do: [{inner: {set: {x: 1}}}, {rest: {wait: PT1S}}]}
  - refuse: {if: .y, raise: {error: {type: 'http://x', status: 400}}}
  - surely: {set: {x: 1}}
  - ask: {call: approval}
"""
BACK = """
do:
  - count: {set: {x: 1}}
  - rest: {wait: PT1S}
  - again: {switch: [{more: {when: .x, then: count}}]}
  - ask: {call: approval}
"""
ASK = {"/do/1/ask": "waiting"}
REST = "/do/0/split/fork/branches/0/one/do/1/rest"


@pytest.mark.parametrize(
    ("body", "steps", "expected"),
    [
        (ROW, {}, ""),
        (ROW, ASK, "first"),
        (ROW, {"/do/1/ask": "pending"}, ""),  # taken back by a roll-back
        (ROW, {"/do/1/ask": "completed"}, "first"),  # `last` may just be under way
        # a choice: what left nothing behind was not taken
        (CHOICE.replace("OTHER", "set: {x: 1}"), {"/do/2/leftly": "waiting"}, "choose left"),
        (CHOICE.replace("OTHER", "set: {x: 1}"), {"/do/5/both": "waiting"}, "choose right rightly"),
        (
            CHOICE.replace("OTHER", "emit: {event: {with: {type: t, source: s}}}"),
            {"/do/2/leftly": "failed"},
            "choose left",
        ),
        (
            CHOICE.replace("OTHER", "call: approval"),
            {"/do/4/rightly": "completed", "/do/5/both": "waiting"},
            "choose right rightly",
        ),
        (
            CHOICE.replace("OTHER", "set: {x: 1}"),
            {"/do/2/leftly": "completed", "/do/5/both": "waiting"},
            "choose left",
        ),
        # branches: all of them are behind the run when it is behind the fork; of a race only the winner is
        (BRANCHES.replace("COMPETE", "false"), {REST: "waiting"}, "before"),
        (
            BRANCHES.replace("COMPETE", "false"),
            {REST: "completed", **ASK},
            "split one before rest after two quick",
        ),
        (BRANCHES.replace("COMPETE", "true"), {REST: "cancelled", **ASK}, "split before"),
        # a loop that may have had no round
        (LOOP, ASK, "each"),
        (LOOP, {"/do/0/each@0/do/1/rest": "waiting"}, "before"),
        (LOOP, {"/do/0/each@0/do/1/rest": "completed", **ASK}, "each before rest after"),
        # errors
        (
            CATCHING.replace("CATCH", "{do: [{mend: {set: {x: 1}}}]}"),
            {"/do/0/attempt/try/1/get": "failed", **ASK},
            "attempt before mend",
        ),
        (CATCHING.replace("CATCH", "{}"), {"/do/0/attempt/try/1/get": "failed", **ASK}, "attempt before"),
        (
            CATCHING.replace("CATCH", "{retry: {}}"),
            {"/do/0/attempt/try/1/get": "failed", "/do/0/attempt~2/try/1/get": "completed", **ASK},
            "attempt before get after",
        ),
        # what may be skipped
        (OPTIONAL, {"/do/4/ask": "waiting"}, "surely"),
        (OPTIONAL, {"/do/1/group/do/1/rest": "completed", "/do/4/ask": "waiting"}, "group inner surely"),
        (OPTIONAL, {"/do/1/group^2/do/1/rest": "completed"}, "inner"),
        # going back
        (BACK, {"/do/1/rest": "completed", "/do/1/rest^2": "waiting"}, "count"),
        (BACK, {"/do/1/rest": "completed", "/do/3/ask": "waiting"}, "count rest again"),
        # keys that do not fit: of another version, or of a task whose name looks like a counter
        (ROW, {"/do/1/ask": "waiting", "/do/0/ask": "waiting"}, "first"),
        ("do: [{first: {set: {x: 1}}}, {'a@1': {wait: PT1S}}]", {"/do/1/a@1": "waiting"}, ""),
    ],
)
def test_passed_is_what_every_way_leads_through(body: str, steps: dict[str, str], expected: str) -> None:
    assert names_passed(body, steps) == set(expected.split())


def test_end_of_the_run_is_a_place_too() -> None:
    assert names_passed(ROW, {"/do/1/ask": "completed"}, ended=True) == {"first", "ask", "last"}
    assert names_passed(ROW, {"/do/1/ask": "failed"}, ended=True) == set()  # no way leads there: something is amiss


def test_what_surrounds_a_step_is_behind_a_run_that_has_ended() -> None:
    loop = "work: {for: {in: .items}, do: [{rest: {wait: PT1S}}]}"
    body = f"do: [{{choose: {{switch: [{{a: {{when: .a, then: exit}}}}, {{b: {{then: work}}}}]}}}}, {{{loop}}}]"
    steps = {"/do/1/work@0/do/0/rest": "completed"}
    assert names_passed(body, steps) == {"choose"}
    assert names_passed(body, steps, ended=True) == {"choose", "work"}
    caught = f"do: [{{attempt: {{try: [{{{loop}}}], catch: {{}}}}}}]"  # it may have failed, and the run gone on
    steps = {"/do/0/attempt/try/0/work@0/do/0/rest": "completed"}
    assert names_passed(caught, steps, ended=True) == {"attempt"}


def test_what_every_way_to_the_end_leads_through_is_passed_at_the_end() -> None:
    flow = CHOICE.replace("OTHER", "set: {x: 1}").replace("both: {wait: PT1S}", "both: {set: {x: 3}}")
    flow = flow.replace("right: {set: {x: 2}}", "right: {set: {x: 2}, then: end}")
    assert names_passed(flow, {"/do/2/leftly": "completed"}) == {"choose", "left"}
    assert names_passed(flow, {"/do/2/leftly": "completed"}, ended=True) == {"choose", "left", "both"}
    # with a `try` an error may have led elsewhere
    caught = f"{flow}  - tried: {{try: [{{x: {{set: {{x: 1}}}}}}], catch: {{}}}}"
    assert "both" not in names_passed(caught, {"/do/2/leftly": "completed"}, ended=True)
    race = BRANCHES.replace("COMPETE", "true")  # whose loser began, and was cut off
    assert "after" not in names_passed(race, {REST: "completed", **dict.fromkeys(ASK, "completed")}, ended=True)


def test_task_that_an_extension_may_replace_is_left_open() -> None:
    extension = "use: {extensions: [{e: {extend: set, before: [{b: {set: {x: 1}, then: exit}}]}}]}"
    assert names_passed(ROW + extension, ASK) == set()


def names_passed(body: str, steps: dict[str, str], *, ended: bool = False) -> set[str]:
    graph = graph_of(workflow_in(read(HEAD + body)))
    found = passed(graph, steps.items(), ended=ended)
    return {node.name for node in graph.nodes if node.id in found}

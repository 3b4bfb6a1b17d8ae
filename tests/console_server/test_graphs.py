"""Which status each node of a run's graph shows."""

import pytest

from stepwell.console.graphs import DrawnGraph, draw, statuses
from stepwell.engine.views import StepView, ViewStatus
from stepwell.store.model import Definition

TEXT = """document: {dsl: '1.0.3', namespace: shop, name: paid, version: '1.0.0'}
do:
  - order: {set: {number: 7}}
  - hear: {call: approval}
  - check: {if: .refused, raise: {error: {type: 'http://x', status: 402}}}
  - pay: {call: http, with: {method: get, endpoint: 'http://x/{number}'}}
"""


@pytest.fixture
def graph() -> DrawnGraph:
    found = draw(Definition(digest="d", kind="flow", name="paid", version="1.0.0", text=TEXT), None)
    assert found is not None
    return found


def step(key: str, status: ViewStatus) -> StepView:
    return StepView(key=key, name=key.rpartition("/")[2], type="task", index=0, status=status)


def test_what_leaves_no_step_is_passed_or_failed(graph: DrawnGraph) -> None:
    heard = step("/do/1/hear", "completed")
    assert statuses(graph, [heard]) == {"n0": "passed", "n1": "completed"}
    assert statuses(graph, [heard], failed_at="/do/2/check") == {"n0": "passed", "n1": "completed", "n2": "failed"}
    assert statuses(graph, [heard], failed_at="/do/3/pay/with") == {"n0": "passed", "n1": "completed", "n3": "failed"}
    assert statuses(graph, [], failed_at="/do/0/order") == {"n0": "failed"}


def test_place_of_an_error_changes_no_step_and_may_be_none_of_the_graph(graph: DrawnGraph) -> None:
    late = step("/do/1/hear", "cancelled")
    assert statuses(graph, [late], failed_at="/do/1/hear") == {"n0": "passed", "n1": "cancelled"}
    assert statuses(graph, [late], failed_at="/timeout") == {"n0": "passed", "n1": "cancelled"}
    assert statuses(graph, [late], failed_at="anything") == {"n0": "passed", "n1": "cancelled"}


def test_end_of_the_run_shows_what_came_before_it(graph: DrawnGraph) -> None:
    steps = [step("/do/1/hear", "completed"), step("/do/3/pay", "completed")]
    assert statuses(graph, steps, ended=True) == {"n0": "passed", "n1": "completed", "n3": "completed"}

"""The standard's 21 scenarios (its conformance kit), word for word.

Tasks that only handle data leave no trace, so for the sentences about order a scenario is run a second time with a
tracing extension beside it; what it comes to is asserted on the definition as it is.
"""

from typing import Any

import pytest
from pytest_bdd import given, parsers, scenarios, then, when

from stepwell.core.status import Status
from stepwell.programs.flow.nodes.attempts import error_value
from stepwell.programs.flow.reading import read

from .world import MISSING, SHARED, Ended, World

FEATURES = SHARED / "features"
TRACING = """
use:
  extensions:
    - tracing: {extend: all, before: [{trace: {call: trace, with: {task: '${ $task.name }'}}}]}
"""

if not FEATURES.exists():
    pytest.skip(MISSING, allow_module_level=True)

scenarios(str(FEATURES))


def test_there_are_21_scenarios() -> None:
    assert sum(path.read_text().count("Scenario:") for path in FEATURES.glob("*.feature")) == 21


class Case:
    """What the sentences of one scenario hand on."""

    def __init__(self) -> None:
        self.definition = ""
        self.input: Any = {}
        self.ended = Ended(status=Status.PENDING)


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.fixture
def order(case: Case, world: World) -> list[str]:
    """The names of the tasks, as they ran."""
    traced = world.run(case.definition + TRACING, case.input)
    assert traced.output == case.ended.output
    return list(traced.traced)


@given("a workflow with definition:")
def _definition(case: Case, docstring: str) -> None:
    case.definition = docstring


@given("given the workflow input is:")
def _input(case: Case, docstring: str) -> None:
    case.input = read(docstring).value


@when("the workflow is executed")
def _executed(case: Case, world: World) -> None:
    case.ended = world.run(case.definition, case.input)


@then("the workflow should complete")
def _completes(case: Case) -> None:
    assert case.ended.status is Status.COMPLETED, case.ended.error


@then("the workflow should complete with output:")
def _completes_with(case: Case, docstring: str) -> None:
    assert case.ended.status is Status.COMPLETED, case.ended.error
    assert case.ended.output == read(docstring).value


@then("the workflow should fault")
def _faults(case: Case) -> None:
    assert case.ended.status is Status.FAILED


@then("the workflow should fault with error:")
def _faults_with(case: Case, docstring: str) -> None:
    assert case.ended.error is not None
    assert read(docstring).value.items() <= error_value(case.ended.error).items()


@then(parsers.parse("the workflow output should have properties {names}"))
def _has_properties(case: Case, names: str) -> None:
    for name in names.split(", "):
        at(case.ended.output, name.strip("'"))


@then(parsers.parse("the workflow output should have a '{name}' property with value:"))
def _has_property(case: Case, name: str, docstring: str) -> None:
    assert at(case.ended.output, name) == read(docstring).value


@then(parsers.parse("the workflow output should have a '{name}' property containing {number:d} items"))
def _has_items(case: Case, name: str, number: int) -> None:
    assert len(at(case.ended.output, name)) == number


@then(parsers.parse("{task} should run first"))
def _runs_first(order: list[str], task: str) -> None:
    assert order[0] == task


@then(parsers.parse("{task} should run last"))
def _runs_last(order: list[str], task: str) -> None:
    assert order[-1] == task


@then(parsers.parse("{task} should run after {other}"))
def _runs_after(order: list[str], task: str, other: str) -> None:
    assert order.index(task) > order.index(other)


def at(value: Any, path: str) -> Any:
    for name in path.split("."):
        assert name in value, f"expected {path}, found {value}"
        value = value[name]
    return value

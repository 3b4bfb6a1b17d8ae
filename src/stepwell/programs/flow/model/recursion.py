"""Functions of `use.functions` may call each other, but none itself, also not through others."""

from collections.abc import Iterator
from typing import Any

from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.check import Check
from stepwell.programs.flow.model.tasks import CallFunction
from stepwell.programs.flow.model.workflow import Workflow


def check_recursion(workflow: Workflow, check: Check) -> None:
    """Fault every function that can come to itself."""
    functions = workflow.use.functions if workflow.use else {}
    called = {name: set(_calls_in(task)) & functions.keys() for name, task in functions.items()}
    for name, task in functions.items():
        if name in _reachable(called[name], called):
            check.fault(
                task.at, f"expected functions that do not call themselves, found a way from {name!r} back to itself"
            )


def _reachable(names: set[str], called: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    while names:
        found |= names
        names = {inner for name in names for inner in called[name]} - found
    return found


def _calls_in(value: Any) -> Iterator[str]:
    """The functions that a part calls, itself or in a task inside."""
    if isinstance(value, CallFunction):
        yield value.call
    if isinstance(value, Part):
        for name in value.__struct_fields__:
            yield from _calls_in(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _calls_in(item)

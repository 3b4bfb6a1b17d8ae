"""From text to a checked workflow: all faults of a definition at once."""

from typing import Any

import msgspec

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.binding import reader_of
from stepwell.programs.flow.check import Check, KnownFunctions
from stepwell.programs.flow.expressions import Expressions
from stepwell.programs.flow.model import Workflow
from stepwell.programs.flow.model.recursion import check_recursion
from stepwell.programs.flow.reading import read
from stepwell.programs.flow.source import Source


class Definition(msgspec.Struct, frozen=True):
    """A definition without faults: its typed model, and its JSON values as they were written."""

    workflow: Workflow
    source: Source
    expressions: Any = None  # the Expressions that it was checked with


def check_definition(
    text: str,
    *,
    functions: KnownFunctions | None = None,
    expressions: Expressions | None = None,
    processes: bool = False,
) -> Definition:
    """Read and check a definition. Raises `InvalidDefinitionError` with everything that is wrong.

    Without `functions` any function name may be called; without `expressions` only those that Python evaluates.
    `processes` says whether local processes may be run.
    """
    source = read(text)
    check = Check(source, functions=functions, expressions=expressions, processes=processes)
    workflow = reader_of(Workflow)(source.value, "", check)
    if isinstance(workflow, Workflow):
        check_recursion(workflow, check)
    if check.faults:
        raise InvalidDefinitionError(check.faults)
    assert isinstance(workflow, Workflow), "a workflow without faults is whole"
    return Definition(workflow, source, expressions)

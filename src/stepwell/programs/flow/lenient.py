"""Reading definitions for what needs no support: formatting, drawing. What is well formed is taken, whatever it asks
for; only what is wrong is a fault."""

from collections.abc import Collection, Sequence
from typing import Any

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.binding import reader_of
from stepwell.programs.flow.check import Check
from stepwell.programs.flow.expressions import Variables
from stepwell.programs.flow.model import Workflow
from stepwell.programs.flow.source import Source


class _AnyExpressions:
    """Takes every expression, evaluates none: what is read here is formatted or drawn, and never run."""

    def check(self, _text: str, _names: Collection[str]) -> str | None:
        return None

    async def evaluate(self, _text: str, _value: Any, _variables: Variables) -> Any:
        raise NotImplementedError

    async def evaluate_all(self, _texts: Sequence[str], _value: Any, _variables: Variables) -> list[Any]:
        raise NotImplementedError


class _LenientCheck(Check):
    def unsupported(self, at: str, what: str) -> None:
        """Well formed, so no fault here."""


def workflow_in(source: Source) -> Workflow:
    """The typed model of a definition. Raises `InvalidDefinitionError` with everything that is wrong."""
    check = _LenientCheck(source, expressions=_AnyExpressions(), processes=True)
    workflow = reader_of(Workflow)(source.value, "", check)
    if check.faults:
        raise InvalidDefinitionError(check.faults)
    assert isinstance(workflow, Workflow), "a workflow without faults is whole"
    return workflow

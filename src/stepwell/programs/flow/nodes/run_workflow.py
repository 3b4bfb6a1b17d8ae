"""`run: workflow`: a child run. Its output is the task's; its failure is the task's error."""

from typing import Any

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.scope import Scope, evaluate


class ChildCall(msgspec.Struct, frozen=True, kw_only=True):
    """`version` None is the newest. Without `wait` the child outlives its parent, and nobody learns how it ends."""

    workflow: str
    version: str | None
    input: Expression | None
    wait: bool
    silent: bool
    """Whether there is to be no output (`return: none`)."""


class RunWorkflowNode:
    def __init__(self, call: ChildCall, *, name: str, at: str) -> None:
        self._call = call
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        call, given = self._call, None
        if call.input is not None:
            place = f"{self._at}/run/workflow/input"
            given = await evaluate(call.input, value, scope.variables(call.input, value), place)
        try:
            output = await scope.strand.ctx.child(
                key, call.workflow, given, version=call.version, wait=call.wait, name=self._name
            )
        except ProgramError as error:
            raise self._as_ours(error) from None
        if not call.wait:
            return value
        return None if call.silent else output

    def _as_ours(self, error: ProgramError) -> ProgramError:
        """The child's error at our place: its own `instance` is a pointer into another definition."""
        found = error.problem
        where = {"workflow": self._call.workflow, "instance": found.instance}
        data = found.data if found.data is not None or not found.instance else where
        return ProgramError(msgspec.structs.replace(found, instance=self._at, data=data), error.forget)

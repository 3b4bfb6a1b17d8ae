"""What surrounds a task: `if`, `input`, `output`, `export`, `timeout`, `$task`. Only tasks that have any of it
get one of these around them. The order is the standard's ("Data Flow")."""

from collections.abc import Coroutine
from typing import Any

import msgspec

from stepwell.programs.flow.expressions import Expression, is_true
from stepwell.programs.flow.nodes.durations import Length
from stepwell.programs.flow.nodes.scope import Jump, Node, Scope, date_time, evaluate
from stepwell.programs.flow.nodes.strands import within
from stepwell.programs.flow.nodes.validation import DataCheck


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The properties around one task, compiled. `skip_to` is the position after a task that `if` left out."""

    at: str
    skip_to: int
    condition: Expression | None = None
    input_schema: DataCheck | None = None
    input_from: Expression | None = None
    output_as: Expression | None = None
    output_schema: DataCheck | None = None
    export_as: Expression | None = None
    export_schema: DataCheck | None = None
    timeout: Length | None = None
    descriptor: dict[str, Any] | None = None
    """When an expression of the task reads `$task`: its name, reference and definition."""
    authorizer: Any = None
    """When an expression of the task reads `$authorization`: what it comes from."""


class Shaped:
    """A node within its shape."""

    def __init__(self, node: Node, shape: Shape) -> None:
        self.node = node
        self.shape = shape
        self._within = shape.descriptor is not None or shape.condition is not None or shape.timeout is not None
        self._after = any(
            part is not None for part in (shape.descriptor, shape.output_as, shape.output_schema, shape.export_as)
        )

    def perform(self, scope: Scope, key: str, value: Any) -> Coroutine[Any, Any, Any]:
        # One coroutine, unless more is needed: this is on the path of every step with a shape.
        return (self._perform_within if self._within else self._perform)(scope, key, value)

    async def _perform_within(self, scope: Scope, key: str, value: Any) -> Any:
        shape = self.shape
        if shape.descriptor is not None:
            started_at = date_time(scope.strand.ctx.now)
            task = {**shape.descriptor, "input": value, "output": None, "startedAt": started_at}
            scope = scope.inside(scope.prefix, {"task": task})
        if shape.condition is not None:
            condition = shape.condition
            wanted = await evaluate(condition, value, scope.variables(condition, value), f"{shape.at}/if")
            if not is_true(wanted):
                return Jump(value, shape.skip_to)
        if shape.timeout is None:
            return await self._perform(scope, key, value)
        seconds = await shape.timeout.seconds(scope, value)
        return await within(scope, key, seconds, lambda inner: self._perform(inner, key, value), shape.at)

    async def _perform(self, scope: Scope, key: str, value: Any) -> Any:
        shape = self.shape
        if shape.input_schema is not None:
            await shape.input_schema.check(value, shape.at)
        if shape.input_from is not None:
            value = await evaluate(shape.input_from, value, scope.variables(shape.input_from, value), shape.at)
        if shape.authorizer is not None:
            scope = scope.inside(scope.prefix, {"authorization": await shape.authorizer.describe(scope, value)})
        outcome = await self.node.perform(scope, key, value)
        if not self._after:
            return outcome
        if type(outcome) is Jump:
            return Jump(await self._finish(scope, value, outcome.output), outcome.target)
        return await self._finish(scope, value, outcome)

    async def _finish(self, scope: Scope, value: Any, output: Any) -> Any:
        """Transform and check the output; write `$context`."""
        shape = self.shape
        if shape.descriptor is not None:
            scope = scope.inside(scope.prefix, {"task": {**scope.names["task"], "output": output}})
        if shape.output_as is not None:
            output = await evaluate(shape.output_as, output, scope.variables(shape.output_as, value), shape.at)
        if shape.output_schema is not None:
            await shape.output_schema.check(output, shape.at)
        if shape.export_as is not None:
            variables = scope.variables(shape.export_as, value, output)
            context = await evaluate(shape.export_as, output, variables, shape.at)
            if shape.export_schema is not None:
                await shape.export_schema.check(context, shape.at)
            scope.strand.context = context
        return output

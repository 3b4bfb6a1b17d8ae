"""`use.extensions`: tasks before and after the tasks of a kind.

What is before sees the input of the task, what is after its raw output (`$task.output`, and as data). Neither changes
the data on the way: only `then: exit` in a list before does, it takes the place of the task with what it has. Their
`$context` is the task's. Tasks of extensions are not extended themselves.
"""

from collections.abc import Sequence as Items
from typing import Any

import msgspec

from stepwell.programs.flow.expressions import Expression, is_true
from stepwell.programs.flow.nodes.scope import Exited, Jump, Node, Scope, evaluate
from stepwell.programs.flow.nodes.sequence import Sequence


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled extension. `key` is the same for all tasks, unique in each."""

    at: str
    key: str
    when: Expression | None
    before: Any = None  # Sequence | None, which msgspec has no type for
    after: Any = None


class ExtendedNode:
    """A node and the extensions for tasks of its kind: the first is outermost."""

    def __init__(self, node: Node, extensions: Items[Extension]) -> None:
        self._node = node
        self._extensions = tuple(extensions)

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        active = [extension for extension in self._extensions if await _applies(extension, scope, value)]
        try:
            for extension in active:
                await _run(extension.before, scope, f"{key}/{extension.key}/before", value)
            outcome = await self._node.perform(scope, key, value)
        except Exited as exited:
            return exited.output
        output = outcome.output if type(outcome) is Jump else outcome
        task = scope.names["task"]
        inner = scope.inside(scope.prefix, {"task": {**task, "output": output}}) if task is not None else scope
        for extension in reversed(active):
            try:
                await _run(extension.after, inner, f"{key}/{extension.key}/after", output)
            except Exited:
                continue
        return outcome


async def _applies(extension: Extension, scope: Scope, value: Any) -> bool:
    if extension.when is None:
        return True
    variables = scope.variables(extension.when, value)
    return is_true(await evaluate(extension.when, value, variables, f"{extension.at}/when"))


async def _run(body: Sequence | None, scope: Scope, prefix: str, value: Any) -> None:
    if body is not None:
        await body.run(scope.inside(prefix), value)

"""The tasks that are no steps: `set`, `switch`, `raise`, `do`, `for`. And `wait`, which is a timer."""

import json
from collections.abc import Sequence as Items
from typing import Any

import msgspec

from stepwell.core.errors import Problem, ProgramError
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression, ExpressionError, in_order, is_true
from stepwell.programs.flow.expressions import evaluate as evaluate_expression
from stepwell.programs.flow.nodes.durations import Length
from stepwell.programs.flow.nodes.scope import Jump, Scope, evaluate, failure
from stepwell.programs.flow.nodes.sequence import Sequence, let_others_go_on


class SetNode:
    def __init__(self, data: Expression, at: str) -> None:
        self._data = data
        self._at = at

    async def perform(self, scope: Scope, _key: str, value: Any) -> Any:
        return await evaluate(self._data, value, scope.variables(self._data, value), self._at)


class SwitchCase(msgspec.Struct, frozen=True):
    """`target` is a position in the list of the switch, or `END`."""

    when: Expression | None
    target: int
    at: str


class SwitchNode:
    """The first case that holds decides; without one the default, without that the task's own `then`.

    Conditions that are evaluated elsewhere go out together. When one of them fails they are tried one by one: an
    error behind the case that holds does not matter.
    """

    def __init__(self, cases: Items[SwitchCase]) -> None:
        self._cases = [case for case in cases if case.when is not None]
        self._default = next((case for case in cases if case.when is None), None)
        conditions = [case.when for case in cases if case.when is not None]
        self._at_once = in_order(conditions) if sum(one.remote for one in conditions) > 1 else None

    async def perform(self, scope: Scope, _key: str, value: Any) -> Any:
        case = await self._holding(scope, value)
        return value if case is None else Jump(value, case.target)

    async def _holding(self, scope: Scope, value: Any) -> SwitchCase | None:
        if self._at_once is not None:
            try:
                found = await evaluate_expression(self._at_once, value, scope.variables(self._at_once, value))
            except ExpressionError:
                pass
            else:
                holding = (case for case, held in zip(self._cases, found, strict=True) if is_true(held))
                return next(holding, self._default)
        for case in self._cases:
            assert case.when is not None
            if is_true(await evaluate(case.when, value, scope.variables(case.when, value), case.at)):
                return case
        return self._default


class RaiseNode:
    """`at` is the task; the error's own `instance` wins over it."""

    def __init__(self, status: int, parts: Expression, at: str) -> None:
        self._status = status
        self._parts = parts
        self._at = at

    async def perform(self, scope: Scope, _key: str, value: Any) -> Any:
        found = await evaluate(self._parts, value, scope.variables(self._parts, value), self._at)
        texts = {name: _text(part) for name, part in found.items()}
        raise ProgramError(
            Problem(
                type=texts["type"],
                status=self._status,
                title=texts.get("title", ""),
                detail=texts.get("detail", ""),
                instance=texts.get("instance") or self._at,
            )
        )


class DoNode:
    def __init__(self, body: Sequence) -> None:
        self._body = body

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        return await self._body.run(scope.inside(f"{key}/do"), value)


class ForNode:
    """Each round gets the output of the one before. Keys: `@3` is the round of the item at index 3."""

    def __init__(
        self, items: Expression, body: Sequence, *, each: str, index: str, condition: Expression | None, at: str
    ) -> None:
        self._items = items
        self._body = body
        self._each = each
        self._index = index
        self._while = condition
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        at = f"{self._at}/for/in"
        items = await evaluate(self._items, value, scope.variables(self._items, value), at)
        if not isinstance(items, list):
            raise failure("expression", f"expected a list to go through, found {describe(items)}", at, status=400)
        for index, item in enumerate(items):
            inner = scope.inside(f"{key}@{index}/do", {self._each: item, self._index: index})
            if self._while is not None and not await self._holds(self._while, inner, value):
                break
            value = await self._body.run(inner, value)
            await let_others_go_on(scope)
        return value

    async def _holds(self, condition: Expression, scope: Scope, value: Any) -> bool:
        return is_true(await evaluate(condition, value, scope.variables(condition, value), f"{self._at}/while"))


class WaitNode:
    def __init__(self, length: Length, name: str) -> None:
        self._length = length
        self._name = name

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        ctx = scope.strand.ctx
        await ctx.sleep_until(key, ctx.now + await self._length.seconds(scope, value), name=self._name)
        return value


def _text(value: Any) -> str:
    """The text of an error's member: what is no text is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

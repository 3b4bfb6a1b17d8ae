"""`call` of a registered Python function (a step) and of a task in `use.functions` (no step of its own)."""

from collections.abc import Coroutine
from typing import Any

from stepwell.core.errors import ProgramError
from stepwell.core.program import Work
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes.failures import placed
from stepwell.programs.flow.nodes.scope import END, Ended, Jump, Node, Scope, evaluate, failure
from stepwell.programs.function_port import RegisteredFunction

__all__ = [
    "ArgumentsNode",
    "FunctionNode",
    "MissingFunctionNode",
    "ReusableNode",
    "evaluate_arguments",
    "placed",
]


class FunctionNode:
    """One step per call; `work` is what a call does."""

    def __init__(self, function: RegisteredFunction, work: Work, *, name: str) -> None:
        self._function = function
        self._work = work
        self._name = name

    def perform(self, scope: Scope, key: str, _value: Any) -> Coroutine[Any, Any, Any]:
        # The verb itself, not a coroutine around it: this is on the path of every step.
        function = self._function
        return scope.strand.ctx.step(
            key,
            self._work,
            name=self._name,
            retry=function.retry,
            timeout_s=function.timeout_s,
            heartbeat_timeout_s=function.heartbeat_timeout_s,
        )


class ArgumentsNode:
    """As `FunctionNode`, for a call `with` arguments."""

    def __init__(self, function: RegisteredFunction, arguments: Expression, *, name: str, at: str) -> None:
        self._function = function
        self._arguments = arguments
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        work = self._function.work(await evaluate_arguments(self._arguments, scope, value, self._at))
        return await FunctionNode(self._function, work, name=self._name).perform(scope, key, value)


class ReusableNode:
    """A task of `use.functions`: its input is `with`, or without that the input of the call."""

    def __init__(self, body: Node, arguments: Expression | None, *, name: str, at: str, body_at: str) -> None:
        self._body = body
        self._body_at = body_at
        self._arguments = arguments
        self._suffix = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if self._arguments is not None:
            value = await evaluate_arguments(self._arguments, scope, value, self._at)
        inner = f"{key}/{self._suffix}"
        try:
            outcome = await self._body.perform(scope.inside(inner), inner, value)
        except ProgramError as error:
            raise placed(error, self._body_at) from None
        if type(outcome) is not Jump:
            return outcome
        if outcome.target == END:
            raise Ended(outcome.output)
        return outcome.output


class MissingFunctionNode:
    """A function that was not known when the definition was compiled without a registry."""

    def __init__(self, name: str, at: str) -> None:
        self._name = name
        self._at = at

    async def perform(self, _scope: Scope, _key: str, _value: Any) -> Any:
        raise failure("configuration", f"there is no function {self._name!r}", self._at, status=400)


async def evaluate_arguments(arguments: Expression | None, scope: Scope, value: Any, at: str) -> dict[str, Any]:
    """The object under `with`. Raises `ProgramError` when an expression gives something else."""
    if arguments is None:
        return {}
    found = await evaluate(arguments, value, scope.variables(arguments, value), f"{at}/with")
    if not isinstance(found, dict):
        raise failure(
            "expression", f"expected an object of arguments, found {describe(found)}", f"{at}/with", status=400
        )
    return found

"""A compiled runtime expression, and the seam through which everything that Python cannot evaluate goes out.

An expression is compiled once and called often. `run(value, variables)` returns its one result, or, when
`remote`, an awaitable of it. `names` are the variables it reads (without `$`): only these need be given.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import msgspec

Variables = Mapping[str, Any]
Run = Callable[[Any, Variables], Any]

NO_VARIABLES: Variables = {}


class Expressions(Protocol):
    """A full jq, outside of this process. What it returns is the expression's first output, or null."""

    def check(self, text: str, names: Collection[str]) -> str | None:
        """What is wrong with an expression that may read these variables; None when it is well formed."""

    async def evaluate(self, text: str, value: Any, variables: Variables) -> Any:
        """The result on `value`. Raises `ExpressionError`."""


class Expression(msgspec.Struct, frozen=True, kw_only=True):
    """An expression, or a structure with expressions in it, ready to run."""

    text: str
    run: Run
    names: frozenset[str] = frozenset()
    remote: bool = False
    constant: bool = False


def constant(value: Any, text: str = "") -> Expression:
    """An expression that is always the same value. The value is shared: nobody may change it."""
    return Expression(text=text, run=lambda _value, _variables: value, constant=True)


def remote(text: str, names: frozenset[str], expressions: Expressions) -> Expression:
    """An expression that is handed to `expressions` each time."""

    def run(value: Any, variables: Variables) -> Any:
        return expressions.evaluate(text, value, variables)

    return Expression(text=text, run=run, names=names, remote=True)


async def evaluate(expression: Expression, value: Any, variables: Variables = NO_VARIABLES) -> Any:
    """The result of an expression, wherever it is evaluated. Raises `ExpressionError`."""
    result = expression.run(value, variables)
    return await result if expression.remote else result

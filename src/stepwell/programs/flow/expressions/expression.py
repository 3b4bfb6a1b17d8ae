"""A compiled runtime expression, and the seam through which everything that Python cannot evaluate goes out.

An expression is compiled once and called often. `run(value, variables)` returns its one result, or, when
`remote`, an awaitable of it. `names` are the variables it reads (without `$`): only these need be given.
A structure with several remote expressions in it sends them out together.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from stepwell.programs.flow.expressions.values import ExpressionError

Variables = Mapping[str, Any]
Run = Callable[[Any, Variables], Any]

NO_VARIABLES: Variables = {}
NOW = "now()"
"""The name under which the recorded time of a branch (epoch seconds) is given to an expression that uses jq's `now`.
No `$name` can be written like this, so it clashes with no variable."""


class Expressions(Protocol):
    """A full jq, outside of this process. What it returns is the expression's first output, or null."""

    def check(self, text: str, names: Collection[str]) -> str | None:
        """What is wrong with an expression that may read these variables; None when it is well formed."""

    async def evaluate(self, text: str, value: Any, variables: Variables) -> Any:
        """The result on `value`. Raises `ExpressionError`."""

    async def evaluate_all(self, texts: Sequence[str], value: Any, variables: Variables) -> list[Any]:
        """The results of several expressions on the same value, in one message. Raises `ExpressionError`."""


class Expression(msgspec.Struct, frozen=True, kw_only=True):
    """An expression, or a structure with expressions in it, ready to run.

    `parts` are the expressions of a structure. When it is `remote`, `texts` are what goes out, in order, and
    `fill` makes the value out of the results; an expression by itself is its own only text and has no `fill`.
    """

    text: str
    run: Run
    names: frozenset[str] = frozenset()
    remote: bool = False
    constant: bool = False
    parts: tuple["Expression", ...] = ()
    texts: tuple[str, ...] = ()
    fill: Callable[[Any, Variables, Iterator[Any]], Any] | None = None
    expressions: Any = None  # an Expressions, which msgspec has no type for


def constant(value: Any, text: str = "") -> Expression:
    """An expression that is always the same value. The value is shared: nobody may change it."""
    return Expression(text=text, run=lambda _value, _variables: value, constant=True)


def remote(text: str, names: frozenset[str], expressions: Expressions) -> Expression:
    """An expression that is handed to `expressions` each time."""

    def run(value: Any, variables: Variables) -> Any:
        return expressions.evaluate(text, value, variables)

    return Expression(text=text, run=run, names=names, remote=True, texts=(text,), expressions=expressions)


def structure(parts: Sequence[Expression], build: Callable[[Iterator[Any]], Any]) -> Expression:
    """A structure with remote parts: all of these go out in one message, the others are evaluated here.

    `build` makes the value out of the values of the parts, which come in order.
    """
    parts = tuple(parts)
    texts = tuple(text for part in parts for text in part.texts)
    expressions = next(part.expressions for part in parts if part.remote)

    def fill(value: Any, variables: Variables, results: Iterator[Any]) -> Any:
        return build(_filled(part, value, variables, results) for part in parts)

    async def run(value: Any, variables: Variables) -> Any:
        results = await expressions.evaluate_all(texts, value, variables)
        return fill(value, variables, iter(results))

    return Expression(
        text="",
        run=run,
        names=names_of(parts),
        remote=True,
        parts=parts,
        texts=texts,
        fill=fill,
        expressions=expressions,
    )


def names_of(parts: Sequence[Expression]) -> frozenset[str]:
    return frozenset().union(*(part.names for part in parts))


def failing_text(expression: Expression, error: ExpressionError, value: Any, variables: Variables) -> str:
    """The text of the expression that failed: of a structure, that of its part."""
    for part in expression.parts:
        if not part.remote:
            try:
                part.run(value, variables)
            except ExpressionError as found:
                return failing_text(part, found, value, variables)
    return str(getattr(error, "text", "")) or expression.text


async def evaluate(expression: Expression, value: Any, variables: Variables = NO_VARIABLES) -> Any:
    """The result of an expression, wherever it is evaluated. Raises `ExpressionError`."""
    result = expression.run(value, variables)
    return await result if expression.remote else result


def _filled(part: Expression, value: Any, variables: Variables, results: Iterator[Any]) -> Any:
    if not part.remote:
        return part.run(value, variables)
    return next(results) if part.fill is None else part.fill(value, variables, results)

"""What Python evaluates by itself, jq evaluates to the same."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.programs.flow.expressions import ExpressionError, parse
from stepwell.programs.jq import JqWorkers

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = st.sampled_from(["a", "b", "c_1"])
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.25, 2**60, 1e300])
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "a", "b", "\u00e9", "A b"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
LITERALS = SCALARS.filter(lambda value: not isinstance(value, int | float) or value >= 0).map(
    lambda value: msgspec.json.encode(value).decode()
)

STEPS = (
    NAMES.map(".{}".format)
    | st.integers(-3, 3).map("[{}]".format)
    | NAMES.map('["{}"]'.format)
    | st.just("[$v]")
    | st.just("[.a]")
)
PATHS = st.tuples(st.sampled_from(["", ".a", "$v"]), st.lists(STEPS, max_size=3)).map(
    lambda parts: (parts[0] or ".") + "".join(parts[1]).removeprefix("" if parts[0] else ".")
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions out of smaller ones, with and without parentheses."""
    enclosed = inner.map("({})".format)
    pairs = st.tuples(inner, st.sampled_from(["and", "or", "//", "|"]), inner)
    compared = st.tuples(enclosed | PATHS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), enclosed | LITERALS)
    return st.one_of(enclosed, (pairs | compared).map(" ".join), inner.map("{} | not".format))


EXPRESSIONS = st.recursive(PATHS | LITERALS, compound, max_leaves=6)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jq() -> AsyncIterator[JqWorkers]:
    async with JqWorkers() as workers:
        yield workers


def in_python(text: str, value: Any, variables: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "value", parse(text).run(value, variables)
    except ExpressionError:
        return "error", None


async def in_jq(jq: JqWorkers, text: str, value: Any, variables: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "value", await jq.evaluate(text, value, variables)
    except ExpressionError:
        return "error", None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=EXPRESSIONS, value=VALUES, variable=VALUES)
async def test_python_and_jq_agree(jq: JqWorkers, text: str, value: Any, variable: Any) -> None:
    variables = {"v": variable}
    assert in_python(text, value, variables) == await in_jq(jq, text, value, variables)

"""What an expression gives: jq's results, our rules around them (first output, variables, now, big numbers)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from stepwell.programs.flow.expressions import ExpressionError
from stepwell.programs.jq import NOW, JqError, JqWorkers, Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jq() -> AsyncIterator[JqWorkers]:
    async with JqWorkers(Limits(result_bytes=100_000, input_bytes=1_000_000)) as workers:
        yield workers


PERSON = {"name": "Ada", "age": 36, "tags": ["x", "y"], "address": {"city": "London"}}

RESULTS: list[tuple[str, Any, Any]] = [
    (".", PERSON, PERSON),
    (".age + 1", PERSON, 37),
    (".tags | length", PERSON, 2),
    ("[.tags[] | ascii_upcase]", PERSON, ["X", "Y"]),
    ("{name, town: .address.city}", PERSON, {"name": "Ada", "town": "London"}),
    ('"\\(.name) is \\(.age)"', PERSON, "Ada is 36"),
    ('.tags | map(select(. != "x"))', PERSON, ["y"]),
    ('if .age > 30 then "old" else "young" end', PERSON, "old"),
    ("to_entries | map(.key)", PERSON, ["name", "age", "tags", "address"]),
    ("reduce range(5) as $i (0; . + $i)", None, 10),
    ("def twice: . * 2; .age | twice", PERSON, 72),
    ("[limit(3; repeat(1))]", None, [1, 1, 1]),
    ('[splits(", *")]', "a, b,c", ["a", "b", "c"]),
    ('test("^A")', "Ada", True),
    ("@base64 | @base64d", "Ada", "Ada"),
    ("@sh", "a'b", "'a'\\''b'"),
    ("fromdate", "2024-01-01T00:00:00Z", 1704067200),
    ("todate", 1704067200, "2024-01-01T00:00:00Z"),
    ('getpath(["address", "city"])', PERSON, "London"),
    ('try error("no") catch .', None, "no"),
    (".a.b.c = 1", {}, {"a": {"b": {"c": 1}}}),
    ("del(.tags, .address)", PERSON, {"name": "Ada", "age": 36}),
    ("[paths]", {"a": [1]}, [["a"], ["a", 0]]),
    ('"comment" # ) | env', None, "comment"),
    ("1 # a comment that goes on \\", None, 1),
    ('"\u00e9\u6f22\U0001f600"', None, "\u00e9\u6f22\U0001f600"),
    ("infinite", None, 1.7976931348623157e308),
    ("nan", None, None),
    ("1.5", None, 1.5),
    ("$__loc__.line", None, 1),
    ("0 | localtime | mktime", None, 0),
    ('0 | strflocaltime("%H")', None, "00"),
]


@pytest.mark.parametrize(("text", "value", "expected"), RESULTS, ids=[text for text, _, _ in RESULTS])
async def test_an_expression_gives_what_jq_gives(jq: JqWorkers, text: str, value: Any, expected: Any) -> None:
    result = await jq.evaluate(text, value)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize("text", ["1, 2, 3", "range(1; 1000000000)", '1, error("later")', "first(1, 2)"])
async def test_the_first_output_is_the_result(jq: JqWorkers, text: str) -> None:
    assert await jq.evaluate(text, None) == 1


@pytest.mark.parametrize("text", ["empty", ".[]", "select(. == 1)", "limit(0; 1)"])
async def test_no_output_is_null(jq: JqWorkers, text: str) -> None:
    assert await jq.evaluate(text, []) is None


async def test_variables_are_bound_by_name_and_by_value(jq: JqWorkers) -> None:
    variables = {"context": {"n": 2}, "input": [1, 2], "item": None}
    assert await jq.evaluate("[.x, $context.n, $input[1], $item]", {"x": 1}, variables) == [1, 2, 2, None]


async def test_an_own_definition_may_have_the_name_of_a_refused_function(jq: JqWorkers) -> None:
    assert await jq.evaluate("def env: 7; def input: env; input", None) == 7


async def test_now_is_the_time_that_the_caller_passes(jq: JqWorkers) -> None:
    assert await jq.evaluate("now", None, {NOW: 1704067200.5}) == 1704067200.5
    assert await jq.evaluate("now | todate", None, {"x": 1, NOW: 1704067200}) == "2024-01-01T00:00:00Z"


async def test_without_a_time_now_is_refused(jq: JqWorkers) -> None:
    with pytest.raises(ExpressionError, match="now is not available: no recorded time was passed"):
        await jq.evaluate("now", None)


@pytest.mark.parametrize("number", [2**53 + 1, 2**64, -(2**63) - 1, 10**40 + 7])
async def test_large_integers_keep_their_digits_when_nothing_is_calculated(jq: JqWorkers, number: int) -> None:
    text = "{n: .n, v: $v, l: [.n] | .[0]}"
    assert await jq.evaluate(text, {"n": number}, {"v": number}) == {"n": number, "v": number, "l": number}
    assert await jq.evaluate(str(number).lstrip("-"), None) == abs(number)


async def test_arithmetic_on_large_integers_rounds_as_in_jq(jq: JqWorkers) -> None:
    assert await jq.evaluate(". + 0", 2**53 + 1) == 2**53


async def test_numbers_beyond_a_double_become_the_largest_one(jq: JqWorkers) -> None:
    assert await jq.evaluate("[1e1000, -1e1000]", None) == [1.7976931348623157e308, -1.7976931348623157e308]


ERRORS = [
    (".x", [1], "Cannot index array with"),
    ('error("mine")', None, "^mine$"),
    ("error({code: 1})", None, '"code": 1'),
    ("error(null)", None, "null"),
    (".[", None, "ends too early"),
    ("$nobody", None, r"expected a variable that is known here \(none\), found \$nobody"),
    ("nosuch(1)", None, "expected a function that jq knows, found nosuch/1"),
    ("1 |\n 2 ]", None, "line 2, column 4"),
    ("[range(50000)]", None, "expected a result of at most 100000 bytes"),
    (".", "x" * 1_000_001, "expected at most 1000000 bytes to read"),
    (".", {1, 2, "x" + "y"}.__class__, "expected JSON values"),
    ("", None, "expected an expression"),
    ("1\0", None, "NUL"),
    (" " * 20_001, None, "at most 20000 characters"),
]


@pytest.mark.parametrize(("text", "value", "message"), ERRORS, ids=[text[:20] for text, _, _ in ERRORS])
async def test_an_expression_without_result_says_why(jq: JqWorkers, text: str, value: Any, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        await jq.evaluate(text, value)
    assert isinstance(caught.value, JqError)
    assert caught.value.text == text


async def test_a_variable_that_jq_cannot_name_is_refused(jq: JqWorkers) -> None:
    with pytest.raises(ExpressionError, match="expected variables with names of letters"):
        await jq.evaluate(".", None, {"a) | env | (.": 1})


async def test_an_error_has_no_more_text_than_anybody_reads(jq: JqWorkers) -> None:
    with pytest.raises(ExpressionError) as caught:
        await jq.evaluate('error("x" * 100000)', None)
    assert len(str(caught.value)) == 2_000


async def test_several_expressions_of_one_task_are_one_request(jq: JqWorkers) -> None:
    texts = [".a + 1", "empty", "1, 2 # \\", "$v | length", "def f: .a; f"]
    assert await jq.evaluate_all(texts, {"a": 1}, {"v": [1, 2]}) == [2, None, 1, 2, 1]
    assert await jq.evaluate_all([], None) == []


async def test_the_first_of_several_that_fails_is_named(jq: JqWorkers) -> None:
    with pytest.raises(JqError, match="mine") as caught:
        await jq.evaluate_all(["1", 'error("mine")', "env"], None)
    assert caught.value.text == 'error("mine")'


async def test_a_text_among_several_cannot_take_the_place_of_another(jq: JqWorkers) -> None:
    with pytest.raises(JqError):
        await jq.evaluate_all(["1),null),first((2", ". | ["], None)


async def test_a_result_that_is_nested_too_deeply_is_an_error(jq: JqWorkers) -> None:
    with pytest.raises(JqError, match="nested too deeply"):
        await jq.evaluate("reduce range(5000) as $i (1; [.])", None)

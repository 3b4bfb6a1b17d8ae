# ruff: noqa: E501  a document of one line is easier to read whole
"""Flows with a full jq: every place that takes an expression, few messages, recorded time, patterns of schemas."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import pytest
from memory_run import STARTED_AT, MemoryRun, ending_of

from stepwell.programs.flow import FlowPrograms
from stepwell.programs.flow.expressions import NOW, Variables
from stepwell.programs.flow.regexes import is_plain
from stepwell.programs.functions import Functions
from stepwell.programs.http import HttpRequest, HttpResponse
from stepwell.programs.jq import NOW as NOW_OF_JQ
from stepwell.programs.jq import JqWorkers

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"
functions = Functions()


@functions.function
async def echo(value: Any = None, other: Any = None) -> Any:
    return {"value": value, "other": other}


class Counted:
    """A jq that counts what goes out to it."""

    def __init__(self) -> None:
        self.workers = JqWorkers()
        self.messages = 0

    def check(self, text: str, names: Collection[str]) -> str | None:
        return self.workers.check(text, names)

    async def evaluate(self, text: str, value: Any, variables: Variables) -> Any:
        self.messages += 1
        return await self.workers.evaluate(text, value, variables)

    async def evaluate_all(self, texts: Sequence[str], value: Any, variables: Variables) -> list[Any]:
        self.messages += 1
        return await self.workers.evaluate_all(texts, value, variables)


class Echo:
    """Answers with the address, the headers and the body it was asked with."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        found = [request.url, request.headers.get("X", ""), (request.content or b"").decode()]
        return HttpResponse(
            status=200, headers={"content-type": "application/json"}, content=str(found).replace("'", '"').encode()
        )


@pytest.fixture
async def jq() -> AsyncIterator[Counted]:
    counted = Counted()
    yield counted
    await counted.workers.close()


async def run(jq: Counted, text: str, value: Any = None) -> Any:
    program = FlowPrograms(functions=functions, http=Echo(), expressions=jq).compile(HEAD + text).program
    jq.messages = 0
    ending = await ending_of(MemoryRun(), program, value)
    return ending.output if ending.failure is None else ending.failure


@pytest.mark.parametrize(
    ("text", "output", "messages"),
    [
        (
            "do: [{a: {set: {x: '${ .n + 1 }', y: {z: ['${ .n * 2 }', '${ .n }', c]}}}}]",
            {"x": 4, "y": {"z": [6, 3, "c"]}},
            1,
        ),
        ("do: [{a: {if: .n % 2 == 1, set: {x: 1}}}]", {"x": 1}, 1),
        (
            "do: [{a: {input: {from: '{m: (.n + 1)}'}, set: {x: '${ .m }', i: '${ $input.m - 1 }'}}}]",
            {"x": 4, "i": 3},
            2,
        ),
        (
            "do: [{a: {set: {x: [1, 2]}, output: {as: '.x | add'}, export: {as: '{sum: ($output + 1)}'}}}, {b: {set: {y: '${ $context.sum * 2 }'}}}]",
            {"y": 8},
            3,
        ),
        (
            "do: [{a: {switch: [{x: {when: .n > 5 and (.n | floor) > 1, then: end}}, {y: {when: .n - 3 == 0, then: b}}]}}, {c: {set: {z: 1}}}, {b: {set: {w: 1}}}]",
            {"w": 1},
            1,
        ),
        (
            "do: [{a: {for: {in: '[range(.n)]', each: i}, while: $i + 1 < 3, do: [{b: {set: {sum: '${ (.sum // 0) + $i }'}}}]}}]",
            {"sum": 1},
            6,
        ),
        (
            "do: [{a: {call: echo, with: {value: '${ .n + 1 }', other: '${ [.n] | length }'}}}]",
            {"value": 4, "other": 1},
            1,
        ),
        (
            "do: [{a: {call: http, with: {method: post, endpoint: '${ \"http://x/\\(.n)\" }', query: {q: '${ .n + 1 }'}, headers: {X: '${ .n + 2 | tostring }'}, body: '${ .n + 3 }'}}}]",
            ["http://x/3?q=4", "5", "6"],
            1,
        ),
        (
            "do: [{a: {try: [{r: {raise: {error: {type: 'http://x/y', status: 400, title: '${ \"t\\(.n)\" }', detail: '${ \"d\\(.n)\" }'}}}}], catch: {when: '$error.title | startswith(\"t\")', do: [{s: {set: {d: '${ $error.detail + \"!\" }'}}}]}}}]",
            {"d": "d3!"},
            3,
        ),
        (
            "do: [{a: {wait: '${ {seconds: (.n + 1)} }'}}, {b: {set: {x: '${ now - "
            + str(int(STARTED_AT))
            + " }'}}}]",
            {"x": 4},
            2,
        ),
        ("do: [{a: {set: {x: '${ . as $local | $local.n + 1 }'}}}]", {"x": 4}, 1),
        ("input: {from: '{n: (.n + 1)}'}\noutput: {as: '.x + 1'}\ndo: [{a: {set: {x: '${ .n + 1 }'}}}]", 6, 3),
        ("timeout: {after: '${ \"PT\\(.n)S\" }'}\ndo: [{a: {wait: PT1S}}]", {"n": 3}, 1),
    ],
)
async def test_every_place_takes_all_of_jq_in_few_messages(
    jq: Counted, text: str, output: Any, messages: int
) -> None:
    assert await run(jq, text, {"n": 3}) == output
    assert jq.messages == messages


async def test_time_is_that_of_the_branch() -> None:
    assert NOW == NOW_OF_JQ


async def test_error_names_the_expression_of_a_structure_that_failed(jq: Counted) -> None:
    failure = await run(jq, "do: [{a: {set: {x: '${ .n + 1 }', y: '${ .n + \"s\" + {} }'}}}]", {"n": 3})
    assert failure.detail.startswith('.n + "s" + {}: ')
    assert failure.instance == "/do/0/a"


async def test_condition_that_fails_behind_the_one_that_holds_does_not_matter(jq: Counted) -> None:
    text = 'do: [{a: {switch: [{x: {when: .n + 0 == 3, then: b}}, {y: {when: error("no"), then: end}}]}}, {b: {set: {w: 1}}}]'
    assert await run(jq, text, {"n": 3}) == {"w": 1}


async def test_unknown_variable_is_a_fault_when_the_definition_is_saved(jq: Counted) -> None:
    with pytest.raises(Exception, match=r"found \$itm"):
        await run(jq, "do: [{a: {set: {x: '${ $itm + 1 }'}}}]")


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        ("^[a-z]+$", True),
        (r"^\d{3}-\d{4}$", True),
        ("abc", True),
        ("a|b", True),
        (r"[*+?|]x*", True),
        (r"\*+", True),
        ("(a+)+$", False),
        ("(a|a)*$", False),
        ("a*a*$", False),
        (r"(a)\1", False),
        ("(?=a)a", False),
        ("a?a?", False),
    ],
)
def test_only_patterns_with_one_way_to_match_run_here(pattern: str, plain: bool) -> None:
    assert is_plain(pattern) == plain


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ("{pattern: '^([a-z]+[.])*[a-z]+$'}", "www.example.org", True),
        ("{pattern: '^([a-z]+[.])*[a-z]+$'}", "www..org", False),
        ("{patternProperties: {'^(a|b)+$': {type: integer}}, additionalProperties: false}", {"ab": 1}, True),
        ("{patternProperties: {'^(a|b)+$': {type: integer}}, additionalProperties: false}", {"ab": "x"}, False),
        ("{patternProperties: {'^(a|b)+$': {type: integer}}, additionalProperties: false}", {"c": 1}, False),
        ("{not: {pattern: '^(a|b)+$'}}", "c", True),
        ("{not: {pattern: '^(a|b)+$'}}", "ab", False),
        ("{items: {pattern: '^(x+)+$'}}", ["x", "xx", 5], True),
    ],
)
async def test_other_patterns_are_matched_by_jq(jq: Counted, schema: str, value: Any, fits: bool) -> None:
    found = await run(jq, f"input: {{schema: {{document: {schema}}}}}\ndo: [{{a: {{set: {{ok: true}}}}}}]", value)
    assert (found == {"ok": True}) == fits
    assert fits or found.type.endswith("/validation")


async def test_catastrophic_pattern_is_stopped_while_others_go_on(jq: Counted) -> None:
    text = "input: {schema: {document: {pattern: '^(([a-z])+.)+[A-Z]([a-z])+$'}}}\ndo: [{a: {set: {ok: true}}}]"
    started_at = time.monotonic()
    slow = asyncio.create_task(run(jq, text, "a" * 5000))
    turns = 0
    while not slow.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert (await slow).type.endswith("/validation")
    assert time.monotonic() - started_at < 10
    assert turns > 20


async def test_loop_of_pure_tasks_lets_others_go_on() -> None:
    text = "do: [{a: {for: {in: .items}, do: [{b: {set: {x: 1}}}]}}]"
    program = FlowPrograms().compile(HEAD + text).program
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert (await ending_of(MemoryRun(), program, {"items": list(range(20_000))})).output == {"x": 1}
    counting.cancel()
    assert turns >= 100

"""Expressions that mean harm: each is cut or refused while ordinary ones go on, and none learns anything."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stepwell.programs.jq import JqError, JqWorkers, Limits

SECRET = "the-secret-of-the-host"
LIMITS = Limits(time_s=0.3)

ENDLESS = [
    "def f: f; f",
    "def f: f | f; f",
    "[repeat(1)]|length",
    "repeat(.)|empty",
    "range(1e18)|empty",
    "[limit(1e12; repeat(1))] | 1",
    "last(range(infinite))",
    "until(false; .)",
    "[while(true; 1) | empty]",
    "recurse(.) | empty",
    "[recurse(.; true) | empty]",
    "first(range(1e15) | select(. < 0))",
    "reduce range(1e15) as $i (0; . + $i)",
    "foreach range(1e15) as $i (0; . + $i; empty)",
    "reduce repeat(1) as $x (0; 1)",
    "isempty(repeat(empty))",
    "label $out | repeat(1) | if . == 2 then break $out else empty end",
    "try repeat(error) catch repeat(empty)",
    "[[range(10)] | combinations(20)] | length",
    '("a" * 40 + "b") | test("^(a+)+$")',
    '("a" * 60) | test("(a|aa)+c")',
    '("x" * 200000) | [match("(x+x+)+y"; "g")] | length',
    '("ab" * 100000) | gsub("(?<x>a*)*b"; "") | length',
    "[range(300000)] | map(. as $x | [range($x)] | length) | add",
    "def a(f): f | a(f); a(.)",
    "def fib: if . < 2 then . else (. - 1 | fib) + (. - 2 | fib) end; 60 | fib",
]

EATING = [
    "[range(1e9)]",
    '"x" * 1e9',
    '"x" * 1e8 | . + . + . | explode',
    "[.] | until(false; . + .)",
    '"x" | until(false; . + .)',
    "def f: [f]; f",
    "def f: {a: f}; f",
    "def f: 1 + f; f",
    '[repeat("x" * 1000)]',
    "reduce range(1e9) as $i ({}; .[$i | tostring] = $i)",
    "reduce range(1e9) as $i ([]; .[$i] = [$i])",
    "[range(3e7)] | sort | group_by(.) | map(add)",
    '[range(1e7)] | map(tostring) | join(",") | length | [range(1e8)]',
    "[limit(1e8; repeat({a: 1}))]",
    "[range(5e6)] | [combinations(3)?, .] | tojson | tojson | tojson | @base64",
    '"QUFB" * 1e8 | @base64d | length',
    '"x" * 5e7 | @base64 | @base64 | @uri | @html | @json',
    '"a" * 1e8 | split("")',
    '"[" * 1e8 | fromjson',
    "[range(1e8)] | implode",
    "[] | .[1e7] = 1 | until(false; . + [.])",
    "reduce range(1e7) as $i (1; [.])",
    "[range(2000)] | [combinations(2)] | [., .] | transpose | flatten | unique | tostream",
    "[paths(..)] | until(false; [., .] | tojson | fromjson)",
    '["ab" * 1000 | splits("")] | . as $x | [range(1e9) | $x + [.]]',
]
"""More memory than there is, or so much of it that the time is over before."""

NOSY = [
    "$ENV",
    "$ENV.STEPWELL_TEST_SECRET",
    "env",
    "env.STEPWELL_TEST_SECRET",
    "env | keys",
    "[env, $ENV] | tojson",
    '"\\($ENV)"',
    '"\\(env.HOME)"',
    'import "secret" as $s; $s',
    'include "secret"; .',
    'import "secret" as s; s::leak',
    'import "secret" as $s {search: "FOLDER"}; $s',
    'include "secret" {search: "FOLDER"}; leak',
    '1); import "secret" as $s {search: "FOLDER"}; ($s',
    '"FOLDER/secret" | modulemeta',
    '"secret" | modulemeta',
    "input",
    "inputs",
    "[inputs]",
    "first(inputs)",
    "input_filename",
    "input_line_number",
    "get_search_list",
    "get_jq_origin",
    "get_prog_origin",
    "$__prog_args",
    "$__prog_name",
    "debug",
    'debug("x")',
    "stderr",
    "halt",
    "halt_error",
    "halt_error(1)",
    '"bye" | halt_error(0)',
    "now",
    "nosuch::function",
    'getenv("HOME")',
    'system("id")',
    '@text "\\(env)"',
]
"""What asks for more than its input. All refused."""

HARMLESS = [
    "$__loc__",
    "builtins | length",
    "ltrimstr(1)",
    "@sh",
    '[splits("a")]?',
    "tojson",
    "input?",
    "ascii?",
    'getpath(["a", "b"])?',
    "def env: 1; env",
    '"$ENV"',
    "[.[]?]",
    "error(null)",
    'ltrimstr("x")',
    "limit(-1; 1)",
    "infinite | floor | tostring",
    "[nan] | sort",
    '"\\u0000" | @uri',
    "1e999999999",
    'strptime("%Z")?',
    "1e18 | todate",
    "-1e300 | gmtime",
    "implode?",
    "[1114112] | implode",
    "[55296] | implode",
    "[-1] | implode",
    "@base32d?",
    '"====" | @base64d',
    "tojson | fromjson",
    "splits(1)?",
    'test("(?")?',
    '"x" | test("[")',
    '"x" | sub("(?<a>x)"; "\\(.a)" * 3)',
]
"""Odd, old crashes of jq among them; whether there is a result does not matter here."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with secrets: in the environment and in modules beside the server."""
    monkeypatch.setenv("STEPWELL_TEST_SECRET", SECRET)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.json").write_text(f'"{SECRET}"')
    (tmp_path / "secret.jq").write_text(f'def leak: "{SECRET}";')
    (tmp_path / ".jq").write_text(f'def ltrimstr(x): "{SECRET}"; def leak: "{SECRET}";')
    return tmp_path


async def outcome(jq: JqWorkers, text: str) -> Any:
    """The result of a text, or the error it ends in."""
    try:
        return await jq.evaluate(text, {"x": 1}, {"context": [1, 2]})
    except JqError as error:
        return error


async def ordinary(jq: JqWorkers, number: int, attack: "asyncio.Future[Any]") -> int:
    """Evaluate something useful until the attack is over. How often."""
    count = 0
    while count == 0 or not attack.done():
        found = await jq.evaluate('.n + $context.n | [., "x"]', {"n": number}, {"context": {"n": count}})
        assert found == [number + count, "x"]
        count += 1
    return count


@pytest.mark.slow
async def test_hostile_expressions_are_cut_while_others_go_on(folder: Path) -> None:
    attempts = [text.replace("FOLDER", str(folder)) for text in ENDLESS + EATING + NOSY + HARMLESS]
    assert len(attempts) >= 120
    async with JqWorkers(LIMITS) as jq:
        attack = asyncio.gather(*(outcome(jq, text) for text in attempts))
        others = asyncio.gather(*(ordinary(jq, number, attack) for number in range(50)))
        found = dict(zip(attempts, await asyncio.wait_for(attack, 120), strict=True))
        assert min(await others) > 5
    refused = [text for text, result in found.items() if isinstance(result, JqError)]
    assert [text for text in attempts[: -len(HARMLESS)] if text not in refused] == []
    assert all(str(found[text]) for text in refused)
    assert SECRET not in repr(found)


@pytest.mark.parametrize("text", NOSY)
async def test_what_asks_for_the_host_is_refused_when_it_is_checked(folder: Path, text: str) -> None:
    jq = JqWorkers(LIMITS)
    names = [] if text == "now" else ["context"]
    problem = jq.check(text.replace("FOLDER", str(folder)), names)
    await jq.close()
    assert problem if text != "now" else problem is None


async def test_an_endless_expression_is_named_with_its_limit() -> None:
    async with JqWorkers(LIMITS) as jq:
        with pytest.raises(JqError, match=r"^expected a result within 0\.3 s, found none$") as caught:
            await jq.evaluate("def f: f; f", None)
    assert caught.value.text == "def f: f; f"


async def test_a_large_one_is_named_with_the_memory_it_had() -> None:
    async with JqWorkers(Limits(memory_bytes=64 * 1024 * 1024)) as jq:
        with pytest.raises(JqError, match="expected to get along with 64 MB of memory, found that"):
            await jq.evaluate('"x" * 1e8', None)
        assert await jq.evaluate('"x" * 1e6 | length', None) == 1_000_000


async def test_what_large_expressions_leave_behind_harms_no_other() -> None:
    async with JqWorkers(Limits(memory_bytes=96 * 1024 * 1024, workers=1, time_s=30)) as jq:
        for number in range(8):
            assert await jq.evaluate(f"[range(600000)] | length + {number}", None) == 600_000 + number


async def test_a_flood_of_one_endless_expression_leaves_room_for_others() -> None:
    async with JqWorkers(Limits(time_s=30, slow_workers=1)) as jq:
        flood = [asyncio.create_task(outcome(jq, "def f: f; f")) for _ in range(200)]
        for number in range(100):
            assert await asyncio.wait_for(jq.evaluate(". + 1", number), 20) == number + 1
        assert not any(task.done() for task in flood)
        for task in flood:
            task.cancel()


async def test_a_slow_expression_has_its_whole_time() -> None:
    async with JqWorkers(Limits(time_s=20, slow_after_s=0.02)) as jq:
        assert await jq.evaluate("reduce range(400000) as $i (0; . + 1)", None) == 400_000

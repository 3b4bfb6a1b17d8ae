"""`{{ path }}`: parsing and looking up, as tables. And inputs: what is declared, and what is taken."""

from typing import Any

import msgspec
import pytest

from stepwell.core.errors import ProgramError
from stepwell.programs.plan.inputs import check_input, complete_input, input_schema
from stepwell.programs.plan.interpolation import MalformedPathError, fill, lookups, parse_path, written
from stepwell.programs.plan.model import ENV_INPUT, Plan, Variable

# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("input", ("input",)),
        (" steps.fetch.output ", ("steps", "fetch", "output")),
        ("a.rows[0].na-me", ("a", "rows", 0, "na-me")),
        ('input["a name"].x', ("input", "a name", "x")),
        ("input['a.b']", ("input", "a.b")),
        ("a.0.b", ("a", "0", "b")),
        ('a["q\\"t"]', ("a", 'q"t')),
    ],
)
def test_path(text: str, path: tuple[Any, ...]) -> None:
    assert parse_path(text) == path
    assert parse_path(written(path)) == path


@pytest.mark.parametrize(
    "text", ["", " ", ".a", "a b", "a..b", "a|b", "a[", "1 + 1", "a.", "[0]", 'a["x', "f(x)", "a.b c"]
)
def test_no_path(text: str) -> None:
    with pytest.raises(MalformedPathError):
        parse_path(text)


NAMES = {"input": {"xs": [1, {"y": "two"}], "none": None, "on": True}, "steps": {"f": {"output": 1.5}}}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("{{ input.xs }}", [1, {"y": "two"}]),
        (" {{input.on}} ", True),
        ("{{ input.none }}", None),
        ("{{ input.none.x[0] }}", None),
        ("{{ steps.f.output }}", 1.5),
        ("n={{ steps.f.output }}!", "n=1.5!"),
        ("{{ input.xs }}{{ input.none }}", '[1,{"y":"two"}]'),
        ("{{ input.on }} and {{ input.xs[1].y }}", "true and two"),
        ("\\{{ input.xs }} {{ input.on }}", "{{ input.xs }} true"),
        ({"a": ["{{ input.xs[0] }}", 7], "{{ input.on }}": None}, {"a": [1, 7], "{{ input.on }}": None}),
        ("no braces } {", "no braces } {"),
        (12345678901234567890123, 12345678901234567890123),
    ],
)
def test_fill(value: Any, filled: Any) -> None:
    assert fill(value, NAMES, "") == filled


@pytest.mark.parametrize(
    ("value", "place", "words"),
    [
        ("{{ input.z }}", "/at", "{{ input.z }}: expected 'z' in input, found only xs, none, on"),
        ({"u": ["{{ input.xs[5] }}"]}, "/at/u/0", "expected item 5 in input.xs, found 2 items"),
        ("{{ input.on.x }}", "/at", "expected an object or a list at input.on, found true"),
        ("{{ steps.ff.output }}", "/at", "expected 'ff' in steps, found only f; did you mean 'f'?"),
        ({"a/b": "{{ nope }}"}, "/at/a~1b", "expected 'nope', found only input, steps"),
    ],
)
def test_what_leads_nowhere_is_told_with_its_place(value: Any, place: str, words: str) -> None:
    with pytest.raises(ProgramError) as raised:
        fill(value, NAMES, "/at")
    assert raised.value.problem.instance == place
    assert words in raised.value.problem.detail
    assert not raised.value.problem.retryable


@pytest.mark.parametrize(
    "value",
    [
        "{{ input.long }}" * 20,
        ["{{ input.long }}"] * 20,
        {"a": [{"b": "{{ input }}"}] * 20},
        ["{{ input.many }}"] * 200,
    ],
)
def test_what_becomes_too_large_is_refused_before_it_is(value: Any) -> None:
    names = {"input": {"long": "x" * 1_000_000, "many": [0] * 100_000}}
    with pytest.raises(ProgramError) as raised:
        fill(value, names, "/at")
    assert raised.value.problem.instance.startswith("/at")
    assert "expected at most 16777216 characters in all, found more" in raised.value.problem.detail
    assert not raised.value.problem.retryable


def test_lookups_finds_all_of_them() -> None:
    found = lookups({"u": "a {{ input.z }} b {{ steps.x.output }} \\{{ no }}", "v": ["{{ run.id }}"]}, "/s")
    assert [(one.text, one.at) for one in found] == [
        *(("input.z", "/s/u"), ("steps.x.output", "/s/u"), ("run.id", "/s/v/0"))
    ]


# --- inputs ---------------------------------------------------------------------------------------------------------


def plan(*variables: Variable, additional: bool = False) -> Plan:
    return Plan(name="p", steps=(), variables=variables, additional_variables=additional)


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("string", ["", "x"], [1, True, [], {}]),
        ("integer", [0, 2.0, -(10**30)], [1.5, "1", True]),
        ("number", [0, 1.5], ["1", True]),
        ("boolean", [True, False], [0, "true"]),
        ("array", [[], [1]], [{}, "[]"]),
        ("object", [{}, {"a": 1}], [[], "x"]),
        ("date-time", ["2026-04-07T12:00:00Z", "2026-04-07T12:00:00+02:00"], ["2026-04-07T12:00:00", "today", 5]),
        ("uri", ["https://x.example/a?b", "urn:isbn:1", "mailto:a@b.c"], ["x.example", "a b:c", 5]),
        ("file", [{"objectId": "1"}, "https://x.example/a"], ["a.pdf", 5, []]),
        ("file[]", [[], [{"objectId": "1"}]], [{"objectId": "1"}, ["a.pdf"]]),
        ("secret", ["x"], [5]),
    ],
)
def test_values_are_of_their_variable_s_type(type: Any, good: list[Any], bad: list[Any]) -> None:
    declared = plan(Variable(name="x", type=type))
    for value in good:
        assert check_input(declared, {"x": value}) == {}
    for value in bad:
        assert list(check_input(declared, {"x": value})) == ["x"], value


def test_enum_and_pattern_bound_values() -> None:
    declared = plan(Variable(name="x", enum=("a", "b")), Variable(name="y", pattern="^[a-z]+$"))
    assert check_input(declared, {"x": "a", "y": "abc"}) == {}
    assert check_input(declared, {"x": "c", "y": "A1"}) == {
        "x": ["expected one of 'a', 'b', found 'c'"],
        "y": ["expected a text that matches '^[a-z]+$', found 'A1'"],
    }
    assert check_input(plan(Variable(name="n", type="integer", enum=(1,))), {"n": True}) != {}


def test_required_inputs_must_be_there_unless_they_have_a_default() -> None:
    declared = plan(Variable(name="x", required=True), Variable(name="y", required=True, default="d"))
    assert check_input(declared, None) == {"x": ["expected a value, found none"]}
    assert check_input(declared, {"x": None}) == {"x": ["expected a value, found none"]}
    assert complete_input(declared, {"x": "1"}) == {"x": "1", "y": "d"}


def test_an_input_that_may_be_missing_is_null() -> None:
    assert complete_input(plan(Variable(name="x")), {}) == {"x": None}
    assert complete_input(plan(Variable(name="x", default=5)), {"x": None}) == {"x": 5}


def test_undeclared_inputs_are_refused_unless_the_plan_takes_them() -> None:
    found = check_input(plan(Variable(name="source")), {"sources": 1})
    assert found == {"sources": ["is not a declared variable; did you mean 'source'?"]}
    assert check_input(plan(additional=True), {"anything": 1}) == {}
    assert check_input(plan(additional=True), {ENV_INPUT: {}}) != {}, "only a door hands values over"


def test_an_input_is_an_object() -> None:
    assert check_input(plan(), [1]) == {"": ["expected an object, found a list"]}


def test_a_secret_is_not_repeated_in_what_is_wrong_with_it() -> None:
    declared = plan(Variable(name="x", type="secret", pattern="^a"), Variable(name="n", type="integer", hidden=True))
    words = msgspec.json.encode(check_input(declared, {"x": "hush", "n": "hush"})).decode()
    assert "hush" not in words


def test_the_schema_of_the_input_says_what_is_declared() -> None:
    declared = plan(
        Variable(name="x", type="integer", required=True, description="How many", enum=(1, 2)),
        Variable(name="y", type="date-time", default="2026-01-01T00:00:00Z"),
        Variable(name="z", type="secret", default="hush"),
    )
    assert input_schema(declared) == {
        "type": "object",
        "properties": {
            "x": {"type": "integer", "description": "How many", "enum": [1, 2]},
            "y": {"type": "string", "format": "date-time", "default": "2026-01-01T00:00:00Z"},
            "z": {"type": "string", "writeOnly": True},
        },
        "required": ["x"],
        "additionalProperties": False,
    }

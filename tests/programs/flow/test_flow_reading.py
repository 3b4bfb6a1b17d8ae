"""Text to values with lines."""

from typing import Any

import pytest

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.reading import read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: yes\noff: no\ny: n", {"on": "yes", "off": "no", "y": "n"}),
        ("a: 2020-01-01\nb: 12:30:45\nc: 1.0.3", {"a": "2020-01-01", "b": "12:30:45", "c": "1.0.3"}),
        ("a: 0o17\nb: 0x1f\nc: 017\nd: 1_000\ne: -5", {"a": 15, "b": 31, "c": 17, "d": "1_000", "e": -5}),
        ("a: 1.5\nb: 1e3\nc: .5", {"a": 1.5, "b": 1000.0, "c": 0.5}),
        ("a: ~\nb: null\nc:\nd: 'null'", {"a": None, "b": None, "c": None, "d": "null"}),
        ("a: TRUE\nb: False\nc: !!str true", {"a": True, "b": False, "c": "true"}),
        ("<<: {a: b}", {"<<": {"a": "b"}}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: 123456789012345678901234567890", {"a": 123456789012345678901234567890}),
        ("a: >\n  folded\n  text\n", {"a": "folded text\n"}),
        ("{a: b, c: [d]}", {"a": "b", "c": ["d"]}),
        ('{"a": [1, 2.5, -0, true, null, "\\ud83d\\ude00"]}', {"a": [1, 2.5, 0, True, None, "😀"]}),
        ('\ufeff{"a":\t1}', {"a": 1}),
        ('{"a": {}, "b": []}', {"a": {}, "b": []}),
    ],
)
def test_text_is_read_by_the_core_schema(text: str, value: Any) -> None:
    assert read(text).value == value


@pytest.mark.parametrize(
    ("text", "line", "pointer", "words"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", 4, "/b/c", "found 'c' again"),
        ('{"a": 1,\n "a": 2}', 2, "/a", "found 'a' again"),
        ("a: 1\n2: b", 2, "", "expected text as a name, found '2'"),
        ("a: 1\ntrue: b", 2, "", "expected text as a name, found 'true'"),
        ("a:\n  ? [x]\n  : y", 2, "/a", "found a list or an object"),
        ("a: b: c", 1, "/a", "expected YAML, found something else: mapping values are not allowed here"),
        ("a:\n\t- b", 2, "", "expected YAML"),
        ("a: [1,\n 2", 2, "/a/1", "expected YAML (here ',' or ']'), found the end"),
        ("a: {b: 1.0.3\n c: 2", 2, "/a/b", "expected YAML (here ',' or '}'), found ':'"),
        ("a: @b", 1, "", "expected YAML, found character '@' that cannot start any token"),
        ("a: .nan", 1, "/a", "a number that JSON can hold"),
        ("a: 1e999", 1, "/a", "a number that JSON can hold"),
        ("a: " + "9" * 5000, 1, "/a", "one of 5000 digits"),
        ("a: !!binary aGk=", 1, "/a", "expected no tag"),
        ("a:\n  b: !!python/object/apply:os.system [id]", 2, "/a/b", "expected no tag"),
        ("a: !!set {b}", 1, "/a", "expected no tag"),
        ("a: &x [*x]", 1, "/a/0", "found *x"),
        ("a: *y", 1, "/a", "*y"),
        ("a: 1\n---\nb: 2", 2, "", "found a second one"),
        ("", 1, "", "empty document"),
        ("# only a comment\n", 1, "", "empty document"),
        ('a: "\\ud800"', 1, "/a", "surrogate"),
        ('{"a": "\\udc00"}', 1, "/a", "surrogate"),
        ('{"a": 1,\n "b": ]}', 2, "/b", "expected a JSON value"),
        ('{"a": "x\\q"}', 1, "/a", "expected a JSON string"),
        ('{"a": 1e999}', 1, "/a", "a number that JSON can hold"),
        ("a: \x01", 1, "", "expected YAML"),
        ("[" * 100 + "]" * 100, 1, "/0" * 64, "levels inside each other"),
        ('{"a":' * 100 + "1" + "}" * 100, 1, "/a" * 64, "levels inside each other"),
    ],
)
def test_fault_of_syntax_has_its_line(text: str, line: int, pointer: str, words: str) -> None:
    with pytest.raises(InvalidDefinitionError) as caught:
        read(text)
    fault = caught.value.faults[0]
    assert (fault.line, fault.pointer) == (line, pointer)
    assert words in fault.message


def test_anchor_bomb_is_refused_at_once() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(InvalidDefinitionError, match="anchors written out"):
        read("\n".join(["l0: &l0 [x, x]", *levels]))


def test_lines_are_kept_for_every_place() -> None:
    source = read("do:\n  - a:\n      call: x\n\n  - b:\n      set:\n        k: v\n")
    assert [source.line_of(place) for place in ("", "/do", "/do/0/a/call", "/do/1/b/set/k", "/do/1/b/nowhere")] == [
        1,
        1,
        3,
        7,
        5,
    ]

"""Writes to the state, applied again: also when what they were made on top of never went on record."""

from typing import Any

import pytest

from stepwell.programs.code.patches import apply_all


@pytest.mark.parametrize(
    ("tree", "operation", "expected"),
    [
        ({"a": 1}, {"op": "replace", "path": "/a", "value": 2}, {"a": 2}),
        ({}, {"op": "add", "path": "/a~1b", "value": 2}, {"a/b": 2}),
        ({"a": 1}, {"op": "remove", "path": "/a"}, {}),
        ({}, {"op": "remove", "path": "/a"}, {}),
        ({}, {"op": "replace", "path": "/a/b/c", "value": 2}, {"a": {"b": {"c": 2}}}),
        ({"a": 5}, {"op": "add", "path": "/a/b", "value": 2}, {"a": {"b": 2}}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": []}, {"op": "add", "path": "/a/4", "value": 2}, {"a": [2]}),
        ({"a": [1]}, {"op": "replace", "path": "/a/0", "value": 2}, {"a": [2]}),
        ({"a": []}, {"op": "replace", "path": "/a/0", "value": 2}, {"a": [2]}),
        ({"a": [1]}, {"op": "remove", "path": "/a/0"}, {"a": []}),
        ({"a": []}, {"op": "remove", "path": "/a/0"}, {"a": []}),
        ({"a": []}, {"op": "replace", "path": "/a/2/b", "value": 2}, {"a": [{"b": 2}]}),
        ({"a": [5]}, {"op": "replace", "path": "/a/0/b", "value": 2}, {"a": [{"b": 2}]}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"b": 2}}, {"b": 2}),
    ],
)
def test_an_operation_is_applied_leniently(tree: Any, operation: Any, expected: Any) -> None:
    assert apply_all(tree, [(1, [operation])]) == expected


def test_writes_are_applied_in_the_order_in_which_they_happened() -> None:
    first, second = ({"op": "add", "path": "/a", "value": number} for number in (1, 2))

    assert apply_all({}, [(7, [second]), (3, [first])]) == {"a": 2}


def test_what_is_patched_stays_as_it_was() -> None:
    tree: dict[str, Any] = {"a": [1]}
    value: dict[str, Any] = {"deep": []}

    found = apply_all(tree, [(1, [{"op": "add", "path": "/a/1", "value": value}])])
    found["a"][1]["deep"].append(5)

    assert tree == {"a": [1]}
    assert value == {"deep": []}

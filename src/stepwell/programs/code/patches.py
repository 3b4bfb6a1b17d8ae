"""Writes to the state, as patches on its JSON tree: made where the write happens, applied again on recovery.

A patch was made against a state that may have held writes of others which never went on record. So applying is
lenient: what it names and does not find is made, or was never there.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

Operation = Mapping[str, Any]
"""`op` (`add`, `remove`, `replace`), `path` (a JSON pointer) and, but for `remove`, a `value` (RFC 6902)."""
Patch = tuple[int, Sequence[Operation]]
"""The place of a write among all writes of the run, and what it changed."""


def apply_all(tree: Mapping[str, Any], patches: Iterable[Patch]) -> dict[str, Any]:
    """The tree with all patches on it, in the order in which they were written."""
    found: Any = deepcopy(dict(tree))
    for _, operations in sorted(patches, key=lambda patch: patch[0]):
        for operation in operations:
            found = _apply(found, operation)
    result: dict[str, Any] = found
    return result


def _apply(root: Any, operation: Operation) -> Any:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
    if not steps:
        return deepcopy(operation["value"])
    parent = root
    for step in steps[:-1]:
        parent = _inner(parent, step)
    if operation["op"] == "remove":
        _remove(parent, steps[-1])
    else:
        _put(parent, steps[-1], deepcopy(operation["value"]), insert=operation["op"] == "add")
    return root


def _inner(parent: Any, step: str) -> Any:
    """The container under a step; made when it is not there, or is none."""
    if isinstance(parent, list):
        index = int(step) if step.isdigit() else len(parent)
        if index >= len(parent):
            parent.append({})
            index = len(parent) - 1
        if not isinstance(parent[index], dict | list):
            parent[index] = {}
        return parent[index]
    if not isinstance(parent.get(step), dict | list):
        parent[step] = {}
    return parent[step]


def _put(parent: Any, step: str, value: Any, *, insert: bool) -> None:
    if isinstance(parent, dict):
        parent[step] = value
        return
    index = min(int(step), len(parent)) if step.isdigit() else len(parent)
    if insert or index == len(parent):
        parent.insert(index, value)
    else:
        parent[index] = value


def _remove(parent: Any, step: str) -> None:
    if isinstance(parent, dict):
        parent.pop(step, None)
    elif step.isdigit() and int(step) < len(parent):
        del parent[int(step)]

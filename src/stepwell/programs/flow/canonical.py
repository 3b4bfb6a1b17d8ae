"""The one way to write a definition: the keys of each part in the standard's order, one style of YAML (or of JSON).

The meaning stays: the values are the same, names and data of the author's own keep their order, comments go with what
they are about (see `comments`).
"""

import json
from functools import cache
from typing import Any

import msgspec

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.programs.flow.binding import Part
from stepwell.programs.flow.comments import comments_in
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.json_text import read_json
from stepwell.programs.flow.lenient import workflow_in
from stepwell.programs.flow.model.tasks import ForTask, Task
from stepwell.programs.flow.model.walking import parts_in
from stepwell.programs.flow.model.workflow import Workflow
from stepwell.programs.flow.reading import read
from stepwell.programs.flow.yaml_writing import YamlWriter

# The standard's tables ("Workflow", "Task"). A task's own properties come between the two.
_WORKFLOW = ("document", "input", "use", "do", "timeout", "output", "schedule", "evaluate")
_BEFORE_TASK, _AFTER_TASK = ("if", "input"), ("output", "export", "timeout", "then", "metadata")
_FOR = ("for", "while", "do")


def canonical(text: str) -> str:
    """A definition in its canonical form; JSON stays JSON. Raises `InvalidDefinitionError`."""
    source = read(text)
    kinds = {part.at: type(part) for part in parts_in(workflow_in(source))}

    def order(at: str, value: dict[str, Any]) -> list[str]:
        if at not in kinds:
            return list(value)
        known = [name for name in _order_of(kinds[at]) if name in value]
        return known + [name for name in value if name not in known]

    if _is_json(text):
        return json.dumps(_ordered(source.value, "", order), indent=2, ensure_ascii=False) + "\n"
    return YamlWriter(order, comments_in(text, source)).text(source.value)


@cache
def _order_of(kind: type[Part]) -> tuple[str, ...]:
    names = tuple(field.encode_name for field in msgspec.structs.fields(kind) if field.name != "at")
    if issubclass(kind, Workflow):
        return _WORKFLOW
    if not issubclass(kind, Task):
        return names
    shared = (*_BEFORE_TASK, *_AFTER_TASK)
    own = _FOR if issubclass(kind, ForTask) else tuple(name for name in names if name not in shared)
    return (*_BEFORE_TASK, *own, *_AFTER_TASK)


def _ordered(value: Any, at: str, order: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(item, f"{at}/{position}", order) for position, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _ordered(value[key], f"{at}/{escape(key)}", order) for key in order(at, value)}
    return value


def _is_json(text: str) -> bool:
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return False
    try:
        read_json(text)
    except InvalidDefinitionError:
        return False
    return True

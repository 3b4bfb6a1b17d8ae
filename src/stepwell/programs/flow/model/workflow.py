"""A whole workflow: the document itself, and what it defines for use in several places."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from stepwell.programs.flow.binding import Names, Part, reader_of, text
from stepwell.programs.flow.check import BROKEN, Check, describe
from stepwell.programs.flow.expressions.templates import escape
from stepwell.programs.flow.model.data import Catalog, ErrorDefinition, Input, Output, RetryPolicy, Timeout
from stepwell.programs.flow.model.kinds import read_task
from stepwell.programs.flow.model.lists import TaskList, check_target
from stepwell.programs.flow.model.references import TimeoutName
from stepwell.programs.flow.model.schedules import Schedule
from stepwell.programs.flow.model.security import AuthenticationPolicy
from stepwell.programs.flow.model.tasks import Task
from stepwell.programs.flow.model.text import Condition

_VERSION = (
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_DSL = re.compile(_VERSION)

Name = Annotated[
    str,
    text(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", "a name of at most 63 letters, digits and inner hyphens"),
]
Version = Annotated[str, text(_VERSION, "a semantic version like '1.0.0' (text)")]


def read_dsl(value: Any, at: str, check: Check) -> Any:
    """The version of the language: 1.0.x."""
    if not isinstance(value, str) or not _DSL.fullmatch(value):
        return check.fault(at, f"expected a version of the language like '1.0.0' (text), found {describe(value)}")
    if not value.startswith("1.0."):
        check.fault(at, f"expected a version 1.0.x of the language, others are not supported, found {value!r}")
    return value


def read_functions(value: Any, at: str, check: Check) -> Any:
    """`use.functions`: single tasks by name. They may read variables known where they are called."""
    if not isinstance(value, dict):
        return check.fault(at, f"expected an object, found {describe(value)}")
    functions = {}
    for name, task in value.items():
        place = f"{at}/{escape(name)}"
        if isinstance(task, dict):
            check_target(task, place, check, ())
        functions[name] = read_task(task, place, check)
    return BROKEN if any(task is BROKEN for task in functions.values()) else functions


class Document(Part, frozen=True, kw_only=True):
    dsl: Annotated[str, read_dsl]
    namespace: Name
    name: Name
    version: Version
    title: str | None = None
    summary: str | None = None
    tags: Mapping[str, Any] = {}
    metadata: Mapping[str, Any] = {}


class Extension(Part, frozen=True, kw_only=True):
    extend: Literal[
        "call", "composite", "emit", "for", "listen", "raise", "run", "set", "switch", "try", "wait", "all"
    ]
    when: Condition | None = None
    before: TaskList | None = None
    after: TaskList | None = None


def read_extensions(value: Any, at: str, check: Check) -> Any:
    """A list of single entries, as tasks are."""
    if not isinstance(value, list):
        return check.fault(at, f"expected a list, found {describe(value)}")
    found = []
    for position, item in enumerate(value):
        if not isinstance(item, dict) or len(item) != 1:
            found.append(check.fault(f"{at}/{position}", f"expected an object with one name, found {describe(item)}"))
            continue
        name, body = next(iter(item.items()))
        found.append(reader_of(Extension)(body, f"{at}/{position}/{escape(name)}", check))
    return BROKEN if BROKEN in found else tuple(found)


class Use(Part, frozen=True, kw_only=True):
    """Reusable parts, by name."""

    authentications: Mapping[str, AuthenticationPolicy] = {}
    catalogs: Mapping[str, Catalog] = {}
    errors: Mapping[str, ErrorDefinition] = {}
    extensions: Annotated[tuple[Extension, ...], read_extensions] = ()
    functions: Annotated[Mapping[str, Task], read_functions] = {}
    retries: Mapping[str, RetryPolicy] = {}
    secrets: tuple[str, ...] = ()
    timeouts: Mapping[str, Timeout] = {}

    @classmethod
    def local_names(cls, value: Mapping[str, Any]) -> Names:
        return dict.fromkeys(value)


class Evaluate(Part, frozen=True, kw_only=True):
    """How expressions are written: jq, and in `${ }`."""

    language: Literal["jq"] = "jq"
    mode: Literal["strict"] = "strict"


class Workflow(Part, frozen=True, kw_only=True):
    document: Document
    do: TaskList
    input: Input | None = None
    use: Use | None = None
    timeout: Timeout | TimeoutName | None = None
    output: Output | None = None
    schedule: Schedule | None = None
    evaluate: Evaluate | None = None

"""Random documents, built from the typed model itself: each part gets its required properties and some of the others.

`Maker` makes nearly always valid ones (a few rules are between properties); `broken` breaks one somewhere.
"""

from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from stepwell.programs.flow.binding import Part, Unsupported
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.model import (
    calls,
    data,
    events,
    lists,
    references,
    schemas,
    security,
    tasks,
    text,
    workflow,
)
from stepwell.programs.flow.model.durations import Duration
from stepwell.programs.flow.model.kinds import CALLS, KINDS

MAX_DEPTH = 3
TEXTS = (
    "a",
    "on",
    "no",
    "1.0",
    "2024-01-01",
    "0x1f",
    " padded ",
    "two\nlines\n",
    "a: b",
    "a #b",
    "'",
    '"',
    "-",
    "{}",
    "é ☃ 🙂",
    "\t",
    "\x7f\x85\u2028",
    "",
    "null",
    "~",
    "- x",
    "a ${",
    "a\n  b\n\n",
    "#",
    "&a",
    "*a",
    "!t",
    "|",
    "%",
)
PLAIN = (
    ".",
    ".a",
    ".a.b[0]",
    "$context.x",
    "$input",
    ".a == 1 and .b",
    ".a + 1",
    "[.a, {b: .c}]",
    "now",
    "$workflow.id",
)

Special = Callable[["Maker"], Any]


class Maker:
    """Makes values of the types that the model's annotations name."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._depth = 0

    def document(self) -> dict[str, Any]:
        use: dict[str, Any] = {
            "authentications": {"a1": self.make(security.AuthenticationPolicy)},
            "errors": {"e1": self.make(data.ErrorDefinition)},
            "retries": {"r1": self.make(data.RetryPolicy)},
            "timeouts": {"t1": {"after": "PT1S"}},
            "secrets": ["s1"],
            "functions": {"f1": self.task()},
        }
        if self.some():
            use["extensions"] = [{"x": self.make(workflow.Extension)}]
        found = self.make(workflow.Workflow)
        return self.shuffled({**found, "use": use})

    def make(self, kind: Any) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            special = next((SPECIAL[mark] for mark in arguments[1:] if mark in SPECIAL), None)
            return special(self) if special is not None else self.make(arguments[0])
        if origin in (Union, UnionType):
            return self.make(self.random.choice([one for one in arguments if one is not NoneType]))
        if origin is Literal:
            return self.random.choice(arguments)
        if origin is tuple:
            return [self.make(arguments[0]) for _ in range(self.random.randint(0, 2))]
        if origin is not None:
            return {self.name(): self.make(arguments[1]) for _ in range(self.random.randint(0, 2))}
        return SCALARS[kind](self) if kind in SCALARS else self.part(kind)

    def part(self, kind: type[Part]) -> dict[str, Any]:
        alone = self.random.choice(kind.EXACTLY_ONE) if kind.EXACTLY_ONE else None
        found = {}
        for name, (annotation, required) in _fields(kind).items():
            excluded = name in kind.EXACTLY_ONE and name != alone
            if not excluded and (required or name == alone or self.some()):
                special = FIELDS.get((kind, name))
                found[name] = special(self) if special is not None else self.make(annotation)
        return self.shuffled(found)

    def task(self) -> dict[str, Any]:
        leaf = self._depth >= MAX_DEPTH
        self._depth += 1
        kinds = ["set", "wait", "raise", "call"] if leaf else list(KINDS)
        kind = self.random.choice(kinds)
        called = self.random.choice([*CALLS, "f1", "log:1@c"]) if kind == "call" else None
        found = self.part(CALLS.get(called, tasks.CallFunction) if called else KINDS[kind])
        self._depth -= 1
        return {**found, "call": called} if called else found

    def tasks(self) -> list[Any]:
        return [{f"t{number}": self.task()} for number in range(self.random.randint(0, 3 if self._depth < 2 else 1))]

    def cases(self) -> list[Any]:
        found: list[Any] = [{"c": {"when": ".a", "then": "continue"}}, {"d": {"then": "end"}}]
        return found[: self.random.randint(1, 2)]

    def some(self) -> bool:
        return self.random.random() < 0.3

    def name(self) -> str:
        return self.random.choice(["a", "b c", "é", "x/y", "~", "on", "1"])

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def json(self, depth: int = 2) -> Any:
        choice = self.random.randint(0, 6 if depth else 4)
        if choice >= 5:
            items = [self.json(depth - 1) for _ in range(self.random.randint(0, 3))]
            return items if choice == 5 else {f"{self.name()}{number}": item for number, item in enumerate(items)}
        return [
            None,
            True,
            self.random.randint(-(10**18), 10**18),
            self.random.choice([0.5, -1e300, 1e-9, 3.0]),
            self.text(),
        ][choice]

    def expression(self) -> str:
        return self.random.choice(["{}", "${{ {} }}", "${{{}}}"]).format(self.random.choice(PLAIN))

    def value(self) -> Any:
        return self.random.choice([self.json(), f"${{ {self.random.choice(PLAIN)} }}"])

    def fields(self) -> Any:
        return {"a": self.value(), "b": self.value()}

    def duration(self) -> Any:
        return self.random.choice(["PT1S", "P1DT2H", {"minutes": 5, "seconds": 1}, "${ .d }"])

    def schema(self) -> dict[str, Any]:
        return {
            "document": {
                "type": "object",
                "properties": {"a": {"type": "string", "pattern": "^[a-z]+$"}},
                "required": ["a"],
            }
        }

    def credentials(self) -> dict[str, Any]:
        return self.random.choice([{"use": "s1"}, {"username": "u", "password": "${ .p }"}])

    def oauth(self) -> dict[str, Any]:
        return self.random.choice([{"use": "s1"}, {"authority": "http://x", "grant": "password", "scopes": ["a"]}])

    def uri(self) -> str:
        return self.random.choice(["http://x/{a}", "https://y.z", "${ .uri }"])

    def endpoint(self) -> Any:
        return self.random.choice(
            [self.uri(), {"uri": self.uri(), "authentication": self.make(security.Authentication)}]
        )

    def shuffled(self, found: dict[str, Any]) -> dict[str, Any]:
        names = list(found)
        self.random.shuffle(names)
        return {name: found[name] for name in names}


@cache
def _fields(kind: type[Part]) -> Mapping[str, tuple[Any, bool]]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: (hints[field.name], field.required)
        for field in msgspec.structs.fields(kind)
        if field.name != "at"
    }


def _mark(annotation: Any) -> Any:
    return next(mark for mark in get_args(annotation)[1:] if not isinstance(mark, Unsupported))


SCALARS: Mapping[Any, Special] = {
    Any: Maker.json,
    str: Maker.text,
    bool: Maker.some,
    int: lambda maker: maker.random.randint(0, 9),
    float: lambda maker: maker.random.choice([1, 0.5]),
    Expression: Maker.value,
    Duration: Maker.duration,
}
SPECIAL: Mapping[Any, Special] = {
    text.read_condition: Maker.expression,
    text.read_transform: lambda maker: maker.random.choice([maker.expression(), maker.fields()]),
    text.read_value: Maker.value,
    text.read_fields: Maker.fields,
    text.read_data: Maker.fields,
    text.read_text: Maker.text,
    text.read_variable: lambda maker: maker.random.choice(["item", "x_1"]),
    data.read_status: lambda maker: maker.random.randint(100, 599),
    data.read_wanted_status: lambda maker: maker.random.randint(100, 999),
    data.read_count: lambda maker: maker.random.randint(0, 9),
    data.read_uri: Maker.uri,
    data.read_http_uri: Maker.uri,
    data.read_endpoint: Maker.endpoint,
    data.read_http_endpoint: Maker.endpoint,
    calls.read_headers: lambda _maker: {"X": "a", "N": 1},
    schemas.read_schema: Maker.schema,
    security.read_credentials: Maker.credentials,
    security.read_oauth: Maker.oauth,
    lists.read_tasks: Maker.tasks,
    lists.read_branches: Maker.tasks,
    lists.read_cases: Maker.cases,
    workflow.read_dsl: lambda _maker: "1.0.3",
    _mark(workflow.Name): lambda _maker: "a-name",
    _mark(workflow.Version): lambda _maker: "1.0.0",
    _mark(references.AuthenticationName): lambda _maker: "a1",
    _mark(references.SecretName): lambda _maker: "s1",
    _mark(references.ErrorName): lambda _maker: "e1",
    _mark(references.RetryName): lambda _maker: "r1",
    _mark(references.TimeoutName): lambda _maker: "t1",
}
FIELDS: Mapping[tuple[Any, str], Special] = {
    **{
        (kind, "then"): lambda maker: maker.random.choice(["continue", "exit", "end"])
        for kind in {*KINDS.values(), *CALLS.values()}
    },
    (calls.HttpArguments, "method"): lambda maker: maker.random.choice(["get", "POST"]),
    **{
        (calls.ApprovalArguments, name): lambda _maker: "${ .a }"
        for name in _fields(calls.ApprovalArguments)
        if name != "on_timeout"
    },
    # Not "escalate", which is valid only together with others.
    (calls.ApprovalArguments, "on_timeout"): lambda maker: maker.random.choice(["fail", "reject", "approve"]),
    **{(calls.CallbackArguments, name): lambda _maker: "${ .a }" for name in _fields(calls.CallbackArguments)},
    **{(calls.LanguageModelArguments, name): lambda _maker: "${ .a }" for name in ("prompt", "system", "model")},
    (calls.LanguageModelArguments, "max_turns"): lambda maker: maker.random.randint(1, 9),
    (calls.LanguageModelArguments, "output_schema"): lambda _maker: {"type": "string"},
    (events.EventDefinition, "with"): lambda maker: {"source": "http://x", "type": "t", "data": maker.value()},
    (events.EventFilter, "with"): lambda maker: {"type": "t", "data": maker.value()},
    (workflow.Workflow, "use"): lambda _maker: {},
    (workflow.Workflow, "schedule"): lambda _maker: {"cron": "0 0 * * *"},
}


def broken(document: Any, random: Random) -> Any:
    """The document with something else, nothing, or something more at some place."""
    places = list(_places(document))
    holder, key = random.choice(places)
    junk: Any = random.choice(
        [
            None,
            True,
            -1,
            1.5,
            "",
            "x",
            "${ .a",
            "${ | }",
            [],
            {},
            [[]],
            {"a": 1},
            "P1",
            "http://",
            10**400,
            {"do": [{}]},
        ]
    )
    match random.randint(0, 3):
        case 0 if isinstance(holder, dict):
            holder[str(key) + "x"] = holder.pop(key)
        case 1:
            del holder[key]
        case 2 if isinstance(holder, dict):
            holder[random.choice(["do", "use", "then", "call", "with", "at", "set", "", "input"])] = junk
        case _:
            holder[key] = junk
    return document


def _places(value: Any) -> Any:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])

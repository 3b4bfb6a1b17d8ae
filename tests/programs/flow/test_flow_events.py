# ruff: noqa: E501  a document of one line is easier to read whole
"""`emit`, `listen` and schedules against the double: run to the end, then from every place where it could have died."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from memory_run import STARTED_AT, Ending, MemoryRun, ending_of, run_through

from logged import logged
from stepwell.core.errors import ERROR_BASE
from stepwell.core.history import Listen
from stepwell.core.program import Compiled, Timing
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.flow.expressions.filter_faults import FILTER_FAULTS
from stepwell.programs.functions import Functions

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"
Events = Sequence[tuple[float, Mapping[str, Any]]]

functions = Functions()


@functions.function
async def add(a: int, b: int = 1) -> int:
    return a + b


def compiled(body: str) -> Compiled:
    return FlowPrograms(functions=functions).compile(HEAD + body)


def event(id: str, type: str = "t", data: Any = None, *, source: str = "s", **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": source, "type": type, "data": data, **attributes}


def sent(*events: Mapping[str, Any], every_s: float = 1.0) -> Events:
    """One after the other, the first at once: before any task is reached."""
    return [(number * every_s, one) for number, one in enumerate(events)]


async def ending(body: str, events: Events, value: Any = None) -> Ending:
    program = compiled(body)
    return await run_through(program.program, value, new=lambda: MemoryRun().hear(program.listens, events))


async def output(body: str, events: Events, value: Any = None) -> Any:
    found = await ending(body, events, value)
    assert found.failure is None, found.failure
    return found.output


def listen(to: str, more: str = "", read: str = "data") -> str:
    return f"do: [{{l: {{listen: {{to: {{{to}}}, read: {read}}}{more}}}}}]"


# --- emit -----------------------------------------------------------------------------------------------------------


async def test_emit_fills_in_what_the_definition_leaves_out() -> None:
    body = "do: [{e: {emit: {event: {with: {source: '${ .where }', type: t, subject: '${ .none }', size: 5, data: {x: '${ .x }'}}}}}}]"
    found = await output(body, [], {"where": "https://x.y", "x": 1})
    assert found.pop("id")
    assert found == {
        "specversion": "1.0",
        "source": "https://x.y",
        "time": "2023-11-14T22:13:20.000Z",
        "type": "t",
        "size": 5,
        "data": {"x": 1},
    }


async def test_emit_sends_its_output_under_an_id_of_its_key() -> None:
    program = compiled(
        "do: [{l: {for: {in: .}, do: [{e: {emit: {event: {with: {source: s, type: t, data: '${ $item }'}}}}}]}}]"
    ).program
    memory, again = MemoryRun(), MemoryRun()
    last = await memory.play(program, [1, 2])
    await again.play(program, [1, 2])
    assert [one["data"] for one in memory.sent] == [1, 2]
    assert memory.sent[1] == last
    assert [one["id"] for one in memory.sent] == [one["id"] for one in again.sent]
    assert len({one["id"] for one in memory.sent}) == 2


async def test_emit_takes_attributes_of_the_author() -> None:
    body = (
        "do: [{e: {emit: {event: {with: {source: s, type: t, id: mine, time: '2024-01-01T00:00:00Z', data: null}}}}}]"
    )
    assert await output(body, []) == {
        "specversion": "1.0",
        "id": "mine",
        "source": "s",
        "type": "t",
        "data": None,
        "time": "2024-01-01T00:00:00Z",
    }


async def test_emit_without_a_source_names_the_run() -> None:
    found = await output("do: [{e: {emit: {event: {with: {source: '${ .none }', type: t}}}}}]", [], {})
    assert found["source"] == "/runs/run-1"


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("type: '${ .none }'", "'type', found null"),
        ("type: '${ .object }'", "'type', found an object"),
        ("type: t, subject: '${ .number }'", "'subject', found the number 5"),
        ("type: t, extra: '${ .object }'", "'extra', found an object"),
        ("type: '${ .empty }'", "a text that is not empty"),
    ],
)
async def test_emit_of_what_is_no_event_is_a_validation_error(attribute: str, words: str) -> None:
    body = f"do: [{{e: {{emit: {{event: {{with: {{source: s, {attribute}}}}}}}}}}}]"
    found = await ending(body, [], {"object": {"x": 1}, "number": 5, "empty": ""})
    assert found.failure is not None
    assert (found.failure.type, found.failure.status) == (ERROR_BASE + "validation", 400)
    assert words in found.failure.detail


# --- listen: which events ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "events", "consumed"),
    [
        # one, and any without until: the first that passes
        ("one: {with: {type: t}}", sent(event("1", "u", 1), event("2", "t", 2), event("3", "t", 3)), [2]),
        ("one: {with: {type: t, source: a}}", sent(event("1", data=1), event("2", data=2, source="a")), [2]),
        ("any: []", sent(event("1", "x", 1), event("2", "y", 2)), [1]),
        (
            "any: [{with: {type: a}}, {with: {type: b}}]",
            sent(event("1", "c", 1), event("2", "b", 2), event("3", "a", 3)),
            [2],
        ),
        # the rest of a filter
        (
            "one: {with: {data: '${ .n > 5 }'}}",
            sent(event("1", data={"n": 5}), event("2", data={"n": 6})),
            [{"n": 6}],
        ),
        ("one: {with: {data: '${ .n > 5 }'}}", sent(event("1", data=[]), event("2", data={"n": 6})), [{"n": 6}]),
        (
            "one: {with: {data: {k: x, n: '${ . > 5 }'}}}",
            sent(
                event("1", data={"k": "y", "n": 6}),
                event("2", data={"k": "x"}),
                event("3", data={"k": "x", "n": 7, "m": 1}),
            ),
            [{"k": "x", "n": 7, "m": 1}],
        ),
        (
            "one: {with: {data: [1, '${ .x }']}}",
            sent(event("1", data=[1]), event("2", data=[1, {"x": True}])),
            [[1, {"x": True}]],
        ),
        ("one: {with: {data: 5}}", sent(event("1", data="5"), event("2", data=5.0)), [5.0]),
        (
            "one: {with: {subject: a}}",
            sent(event("1", data=1), event("2", data=2, subject="b"), event("3", data=3, subject="a")),
            [3],
        ),
        (
            "one: {with: {subject: '${ $input.who }'}}",
            sent(event("1", data=1, subject="b"), event("2", data=2, subject="a")),
            [2],
        ),
        ("one: {with: {type: '${ $input.who }'}}", sent(event("1", "b", 1), event("2", "a", 2)), [2]),
        (
            "one: {with: {room: 7, on: true}}",
            sent(event("1", data=1, room="8", on="true"), event("2", data=2, room="7", on=True)),
            [2],
        ),
        # all: one for each filter, in the order in which they come
        (
            "all: [{with: {type: a}}, {with: {type: b}}]",
            sent(event("1", "b", 1), event("2", "b", 2), event("3", "a", 3)),
            [1, 3],
        ),
        ("all: [{with: {type: a}}, {with: {type: a}}]", sent(event("1", "a", 1), event("2", "a", 2)), [1, 2]),
        ("all: []", [], []),
        # any until
        (
            "any: [{with: {type: a}}, {with: {type: b}}], until: '${ .[1] != null }'",
            sent(event("1", "b", 1), event("2", "c", 2), event("3", "a", 3), event("4", "a", 4)),
            [1, 3],
        ),
        (
            "any: [{with: {type: a}}], until: {one: {with: {type: stop}}}",
            sent(event("1", "a", 1), event("2", "a", 2), event("3", "stop", 3), event("4", "a", 4)),
            [1, 2],
        ),
        ("any: [], until: {one: {with: {type: stop}}}", sent(event("1", "stop", 1)), []),
        (
            "any: [], until: {all: [{with: {type: x}}, {with: {type: y}}]}",
            sent(event("1", "x", 1), event("2", "a", 2), event("3", "x", 3), event("4", "y", 4)),
            [2, 3],
        ),
        (
            "any: [], until: {any: [{with: {type: x, data: '${ . > 1 }'}}, {with: {type: y}}]}",
            sent(event("1", "x", 1), event("2", "x", 2)),
            [1],
        ),
        # twice delivered, and the same id of another source
        (
            "any: [], until: '${ .[2] != null }'",
            sent(event("1", data=1), event("1", data=1), event("1", data=2, source="z"), event("3", data=3)),
            [1, 2, 3],
        ),
    ],
)
async def test_listen_consumes(to: str, events: Events, consumed: list[Any]) -> None:
    assert await output(listen(to), events, {"who": "a"}) == consumed


@pytest.mark.parametrize(
    ("correlate", "events", "consumed"),
    [
        # the first event says what the others must have
        (
            "c: {from: .data.room}",
            sent(event("1", "b", {"room": 1}), event("2", "a", {"room": 2}), event("3", "a", {"room": 1})),
            ["1", "3"],
        ),
        (
            "c: {from: .roomid}",
            sent(event("1", "a", roomid="1"), event("2", "b", roomid="2"), event("3", "b", roomid="1")),
            ["1", "3"],
        ),
        (
            "c: {from: .data.room}",
            sent(event("1", "a", {}), event("2", "a", {"room": 2}), event("3", "b", {"room": 2})),
            ["2", "3"],
        ),
        (
            "c: {from: .data.room}",
            sent(event("1", "a", 5), event("2", "a", {"room": 2}), event("3", "b", {"room": 2})),
            ["2", "3"],
        ),
        # or the definition does
        (
            "c: {from: .data.room, expect: '2'}",
            sent(
                event("1", "a", {"room": 1}),
                event("2", "a", {"room": 2}),
                event("3", "b", {"room": "2"}),
                event("4", "b", {"room": 2}),
            ),
            ["2", "4"],
        ),
        (
            "c: {from: .data.room, expect: '${ .mine }'}",
            sent(event("1", "a", {"room": 1}), event("2", "a", {"room": 2}), event("3", "b", {"room": 2})),
            ["2", "3"],
        ),
        # several at once
        (
            "c: {from: .data.room}, d: {from: .data.day}",
            sent(
                event("1", "a", {"room": 1, "day": 1}),
                event("2", "b", {"room": 1, "day": 2}),
                event("3", "b", {"room": 1, "day": 1}),
            ),
            ["1", "3"],
        ),
    ],
)
async def test_events_of_one_listen_belong_together(correlate: str, events: Events, consumed: list[str]) -> None:
    to = (
        f"all: [{{with: {{type: a}}, correlate: {{{correlate}}}}}, {{with: {{type: b}}, correlate: {{{correlate}}}}}]"
    )
    found = await output(listen(to, read="envelope"), events, {"mine": 2})
    assert [one["id"] for one in found] == consumed


@pytest.mark.parametrize(
    ("read", "one", "value"),
    [
        ("data", event("1", data={"x": 1}), {"x": 1}),
        ("data", {"id": "1", "source": "s", "type": "t", "data_base64": "AAE="}, "AAE="),
        ("data", {"id": "1", "source": "s", "type": "t"}, None),
        ("envelope", event("1", data={"x": 1}, extra="y"), event("1", data={"x": 1}, extra="y")),
        ("raw", event("1", data={"x": "ü"}), "eyJ4Ijoiw7wifQ=="),
        ("raw", event("1", data="text", datacontenttype="text/plain; charset=utf-8"), "dGV4dA=="),
        ("raw", {"id": "1", "source": "s", "type": "t", "data_base64": "AAE="}, "AAE="),
        ("raw", {"id": "1", "source": "s", "type": "t"}, ""),
    ],
)
async def test_listen_reads_as_asked(read: str, one: Mapping[str, Any], value: Any) -> None:
    assert await output(listen("any: []", read=read), [(0, one)]) == [value]


@pytest.fixture
def said() -> Iterator[list[Any]]:
    with logged() as lines:
        yield lines


@pytest.mark.parametrize(
    ("one", "at", "expression"),
    [
        ("with: {type: t, data: '${ .celsius.now > 38 }'}", "/do/0/l/listen/to/one/with/data", ".celsius.now > 38"),
        (
            "with: {type: t}, correlate: {c: {from: .data.celsius.now}}",
            "/do/0/l/listen/to/one/correlate/c/from",
            ".data.celsius.now",
        ),
    ],
)
async def test_filter_that_fails_is_logged_once_and_counted(
    one: str, at: str, expression: str, said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FILTER_FAULTS, "_logged", set())
    before = FILTER_FAULTS.count
    events = sent(*(event(id, data={"celsius": "hot"}) for id in "123"), event("4", data={"celsius": {"now": 39}}))
    memory = MemoryRun()
    program = compiled(listen(f"one: {{{one}}}"))
    assert await memory.hear(program.listens, events).play(program.program) == [{"celsius": {"now": 39}}]
    assert FILTER_FAULTS.count - before == 3
    [line] = said
    assert (line["event"], line["at"], line["expression"]) == ("filter.failed", at, expression)
    assert "now" in line["error"]


# --- listen: with what is around it ---------------------------------------------------------------------------------


async def test_foreach_works_on_each_event_in_turn() -> None:
    body = listen(
        "any: [], until: '${ $context.last > 20 }'",
        ", foreach: {item: e, at: i, do: [{w: {wait: PT1S}}, {a: {call: add, with: {a: '${ $e }', b: '${ $i }'}}}], "
        "output: {as: {sum: '${ . }', of: '${ $e }'}}, export: {as: {last: '${ $output.sum }', at: '${ $i }'}}}",
    )
    body = body[:-1] + ", {c: {set: {all: '${ . }', context: '${ $context }'}}}]"
    found = await output(body, sent(event("1", data=10), event("2", data=20), every_s=0.0), {"last": 0})
    assert found == {"all": [{"sum": 10, "of": 10}, {"sum": 21, "of": 20}], "context": {"last": 21, "at": 1}}


async def test_foreach_may_end_the_run() -> None:
    body = listen(
        "any: [], until: '${ false }'", ", foreach: {do: [{s: {switch: [{x: {when: $item == 2, then: end}}]}}]}"
    )
    assert await output(body, sent(event("1", data=1), event("2", data=2))) == 2


async def test_schema_of_an_item_is_checked() -> None:
    body = listen("any: []", ", foreach: {output: {schema: {document: {type: string}}}}")
    found = await ending(body, sent(event("1", data=1)))
    assert found.failure is not None
    assert (found.failure.type, found.failure.instance) == (
        ERROR_BASE + "validation",
        "/do/0/l/foreach/output/schema",
    )


async def test_listen_in_a_loop_takes_the_next_event_each_time() -> None:
    body = (
        "do: [{f: {for: {in: .xs}, do: [{l: {listen: {to: {one: {with: {type: t}}}}, "
        "export: {as: {seen: '${ [$context.seen, .[0]] }'}}}}]}}, {c: {set: '${ $context }'}}]"
    ).replace("{seen: '${ [$context.seen, .[0]] }'}", "{a: '${ .[0] }', before: '${ $context.a }'}")
    events = sent(event("1", data=1), event("2", data=2), event("3", data=3), every_s=0.0)
    assert await output(body, events, {"xs": [1, 2, 3]}) == {"a": 3, "before": 2}


LOOP = """do:
  - rounds:
      for: {in: .rounds, each: round}
      do:
        - both:
            listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}
            %s
            export: {as: {now: '${ . }', before: '${ $context.now }'}}
  - done: {set: '${ $context }'}
"""


@pytest.mark.parametrize("around", ["metadata: {}", "timeout: {after: PT9S}"])
async def test_events_that_come_too_soon_are_there_in_the_next_round(around: str) -> None:
    events = sent(event("1", "a", "a1"), event("2", "a", "a2"), event("3", "b", "b1"), event("4", "b", "b2"))
    found = await output(LOOP % around, events, {"rounds": [1, 2]})
    assert found == {"now": ["a2", "b2"], "before": ["a1", "b1"]}


async def test_events_of_other_conversations_are_there_in_the_next_round() -> None:
    body = (
        LOOP.replace("{type: a}}", "{type: a}, correlate: {c: {from: .data.c}}}").replace(
            "{type: b}}", "{type: b}, correlate: {c: {from: .data.c}}}"
        )
        % "metadata: {}"
    )
    events = sent(
        event("1", "a", {"c": 1}), event("2", "b", {"c": 2}), event("3", "a", {"c": 2}), event("4", "b", {"c": 1})
    )
    found = await output(body, events, {"rounds": [1, 2]})
    assert found == {"now": [{"c": 2}, {"c": 2}], "before": [{"c": 1}, {"c": 1}]}


async def test_two_listens_hear_the_same_event() -> None:
    body = "do: [{a: {listen: {to: {any: []}}, export: {as: .}}}, {b: {listen: {to: {any: []}}, output: {as: {a: '${ $context }', b: '${ . }'}}}}]"
    assert await output(body, sent(event("1", data=1))) == {"a": [1], "b": [1]}


async def test_branches_of_a_fork_listen_beside_each_other() -> None:
    body = "do: [{f: {fork: {branches: [{a: {listen: {to: {one: {with: {type: a}}}}}}, {b: {listen: {to: {any: []}}}}]}}}]"
    assert await output(body, sent(event("1", "b", 1), event("2", "a", 2))) == [[2], [1]]


async def test_the_first_to_hear_something_wins() -> None:
    body = (
        "do: [{f: {fork: {compete: true, branches: [{a: {listen: {to: {one: {with: {type: a}}}}}}, "
        "{b: {listen: {to: {one: {with: {type: b}}}}}}]}}}]"
    )
    assert await output(body, [(5, event("1", "b", 1)), (9, event("2", "a", 2))]) == [1]


async def test_nothing_in_time_is_a_timeout() -> None:
    body = "do: [{t: {try: [{l: {listen: {to: {any: []}}, timeout: {after: PT5S}}}], catch: {errors: {with: {type: timeout}}, do: [{s: {set: {s: '${ $error.status }'}}}]}}}]"
    assert await output(body, [(9, event("1"))]) == {"s": 408}


async def test_listen_is_tried_again_with_new_events() -> None:
    body = "do: [{t: {try: [{l: {listen: {to: {any: []}}, output: {schema: {document: {items: {type: string}}}}}}], catch: {errors: {with: {status: 400}}, retry: {delay: PT1S}}}}]"
    assert await output(body, sent(event("1", data=1), event("2", data="x"))) == ["x"]


async def test_transforms_of_the_task_hold() -> None:
    body = listen("any: []", ", output: {as: '.[0].x'}")
    assert await output(body, sent(event("1", data={"x": 5}))) == 5


async def test_failing_until_is_an_expression_error() -> None:
    found = await ending(listen("any: [], until: .x"), sent(event("1")))
    assert found.failure is not None
    assert (found.failure.type, found.failure.instance) == (ERROR_BASE + "expression", "/do/0/l/listen/to/until")


async def test_signal_that_is_no_event_is_data() -> None:
    program = compiled(listen("any: [{with: {data: 5}}]")).program
    memory = MemoryRun()
    for id, data in (("1", None), ("2", "type"), ("3", 5)):
        memory.signal("event:/do/0/l/listen/to", data, id=id)
    assert await memory.play(program) == [5]


async def test_keys_of_a_listen() -> None:
    program = compiled(
        listen(
            "any: [{with: {type: t}}], until: '${ .[1] != null }'",
            ", foreach: {do: [{a: {call: add, with: {a: '${ $item }'}}}]}",
        )
    )
    memory = MemoryRun().hear(program.listens, sent(event("1", data=1), event("3", data=3)))
    await ending_of(memory, program.program, None)
    assert list(memory.record) == [
        "/do/0/l@0",
        "/do/0/l/foreach@0/do/0/a",
        "/do/0/l@1",
        "/do/0/l/foreach@1/do/0/a",
        "/do/0/l/correlated",
    ]


# --- what runs hear, and what starts them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "listens"),
    [
        ("do: []", []),
        (listen("any: []"), [("/do/0/l", "", "")]),
        (listen("all: []"), []),
        (listen("one: {with: {type: t, source: s, data: '${ .x }'}}"), [("/do/0/l", "t", "s")]),
        (listen("one: {with: {type: '${ .x }', source: s}}"), [("/do/0/l", "", "s")]),
        (
            listen("any: [{with: {type: a}}, {with: {type: a}}, {with: {type: b}}], until: {one: {with: {type: c}}}"),
            [("/do/0/l", "a", ""), ("/do/0/l", "b", ""), ("/do/0/l", "c", "")],
        ),
        (
            "do: [{a: {fork: {branches: [{b: {listen: {to: {one: {with: {type: t}}}}}}]}}}]\n"
            "use: {functions: {f: {listen: {to: {one: {with: {type: u}}}}}}}",
            [("/do/0/a/fork/branches/0/b", "t", ""), ("/use/functions/f", "u", "")],
        ),
    ],
)
def test_runs_hear_what_their_tasks_listen_to(body: str, listens: list[tuple[str, str, str]]) -> None:
    assert compiled(body).listens == tuple(
        Listen(signal=f"event:{at}/listen/to", type=kind, source=source) for at, kind, source in listens
    )


@pytest.mark.parametrize(
    ("schedule", "timing"),
    [
        ("every: {minutes: 5}", Timing(every_s=300)),
        ("after: PT0S", Timing(after_s=0)),
        ("cron: '0 0 * * *'", Timing(cron="0 0 * * *")),
        ("on: {any: []}", None),
    ],
)
def test_schedule_says_when_runs_start(schedule: str, timing: Timing | None) -> None:
    found = compiled(f"schedule: {{{schedule}}}\ndo: []")
    assert found.timing == timing
    assert (found.trigger is None) == (timing is not None)


async def test_trigger_looks_at_the_whole_filter() -> None:
    trigger = compiled(
        "schedule: {on: {all: [{with: {type: a, data: '${ .n > 1 }'}}, "
        "{with: {source: s}, correlate: {c: {from: .data.n, expect: '2'}}}]}}\ndo: []"
    ).trigger
    assert trigger.all
    assert trigger.listens == (
        Listen(signal="event:/schedule/on", type="a"),
        Listen(signal="event:/schedule/on", source="s"),
    )
    seen = [
        [await trigger.matches(index, event("1", "a", data)) for data in ({"n": 1}, {"n": 2}, "x")]
        for index in (0, 1)
    ]
    assert seen == [[False, True, False], [False, True, False]]


async def test_trigger_of_no_filters_takes_every_event() -> None:
    trigger = compiled("schedule: {on: {any: []}}\ndo: []").trigger
    assert trigger.listens == (Listen(signal="event:/schedule/on"),)
    assert await trigger.matches(0, event("1"))


def test_input_schema_is_known_to_whoever_starts_runs() -> None:
    assert compiled("input: {schema: {document: {type: object}}}\ndo: []").input_schema == {"type": "object"}


def test_time_of_the_double_is_the_one_in_the_tables() -> None:
    assert STARTED_AT == 1_700_000_000.0

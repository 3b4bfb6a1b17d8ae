# ruff: noqa: E501  a document of one line is easier to read whole
"""Each kind of task, run to its end, then again from its record and from every place where it could have died."""

from typing import Any

import pytest
from memory_run import STARTED_AT, Ending, MemoryRun, ending_of, run_through

from stepwell.core.approvals import ApprovalOutcome, ApprovalRequest
from stepwell.core.errors import ERROR_BASE, Problem, StepFailure
from stepwell.core.program import Program, StepContext
from stepwell.core.retry import RetryPolicy
from stepwell.programs.flow import FlowPrograms
from stepwell.programs.functions import Functions

HEAD = "document: {dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0'}\n"

functions = Functions()


@functions.function
async def noop() -> None: ...


@functions.function
async def add(a: int, b: int = 1) -> int:
    return a + b


@functions.function
async def fail(status: int = 500) -> None:
    raise StepFailure(Problem(type=f"{ERROR_BASE}communication", status=status, title="Down", detail="no answer"))


@functions.function
async def fail_twice(step: StepContext) -> str:
    """Fails on the first two attempts of a `try`, which it knows by its key."""
    if "~3" not in step.key:
        raise ValueError("not yet")
    return step.key


def flow(body: str) -> Program:
    return FlowPrograms(functions=functions).compile(HEAD + body).program


async def output_of(body: str, value: Any = None) -> Any:
    ending = await run_through(flow(body), value)
    assert ending.failure is None, ending.failure
    return ending.output


async def failure_of(body: str, value: Any = None) -> Problem:
    ending = await run_through(flow(body), value)
    assert ending.failure is not None, ending.output
    return ending.failure


@pytest.mark.parametrize(
    ("body", "value", "output"),
    [
        # set and data flow
        ("do: []", {"x": 1}, {"x": 1}),
        ("do: [{a: {set: {x: '${ .y }', k: [1, '${ .z }']}}}]", {"y": 5}, {"x": 5, "k": [1, None]}),
        ("do: [{a: {set: '${ .y }'}}]", {"y": [5]}, [5]),
        ("do: [{a: {set: {text: .y, more: 'a ${ .y }'}}}]", {"y": 5}, {"text": ".y", "more": "a ${ .y }"}),
        ("do: [{a: {input: {from: .u.id}, set: {id: '${ . }'}}}]", {"u": {"id": 7}}, {"id": 7}),
        ("do: [{a: {input: {from: {k: '${ .u }'}}, set: {id: '${ $input.k }'}}}]", {"u": 7}, {"id": 7}),
        ("do: [{a: {set: {x: 1}, output: {as: .x}}}]", None, 1),
        ("do: [{a: {set: {x: 1}, output: {as: {in: '${ $input }', out: '${ .x }'}}}}]", 3, {"in": 3, "out": 1}),
        (
            "do: [{a: {set: {x: 1}, output: {as: .x}, export: {as: {o: '${ . }', p: '${ $output }'}}}}, "
            "{b: {set: '${ $context }'}}]",
            3,
            {"o": 1, "p": 1},
        ),
        ("do: [{a: {set: '${ $context }'}}]", {"start": 1}, {"start": 1}),
        (
            "input: {from: .deep}\noutput: {as: {r: '${ . }'}}\ndo: [{a: {set: '${ $workflow.input }'}}]",
            {"deep": 1},
            {"r": {"deep": 1}},
        ),
        (
            "do: [{a: {set: {n: '${ $task.name }', r: '${ $task.reference }', i: '${ $task.input }', "
            "s: '${ $task.startedAt.epoch.seconds }'}, input: {from: .x}}}]",
            {"x": 1},
            {"n": "a", "r": "/do/0/a", "i": {"x": 1}, "s": int(STARTED_AT)},
        ),
        ("do: [{a: {set: {x: 1}, output: {as: $task.output}}}]", None, {"x": 1}),
        (
            "do: [{a: {set: {n: '${ $workflow.definition.document.name }', at: '${ $workflow.startedAt.iso8601 }'}}}]",
            None,
            {"n": "flow", "at": "2023-11-14T22:13:20.000Z"},
        ),
        ("do: [{a: {set: {n: '${ $runtime.name }'}}}]", None, {"n": "stepwell"}),
        # if and then
        ("do: [{a: {if: .x, set: {y: 1}}}]", {"x": False}, {"x": False}),
        ("do: [{a: {if: .x, set: {y: 1}, then: end}}, {b: {set: {z: 1}}}]", {"x": None}, {"z": 1}),
        ("do: [{a: {if: '${ .x }', set: {y: 1}, then: end}}, {b: {set: {z: 1}}}]", {"x": 0}, {"y": 1}),
        (
            "do: [{a: {set: {x: a}, then: c}}, {b: {set: {x: b}, then: end}}, {c: {set: {x: c}, then: b}}]",
            None,
            {"x": "b"},
        ),
        (
            "do: [{a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}}, {d: {set: {d: '${ .x }'}}}]",
            None,
            {"d": 1},
        ),
        (
            "do: [{a: {do: [{b: {set: {x: 1}, then: end}}, {c: {set: {x: 2}}}]}}, {d: {set: {d: '${ .x }'}}}]",
            None,
            {"x": 1},
        ),
        ("output: {as: .x}\ndo: [{a: {set: {x: 1}, then: end}}, {b: {set: {x: 2}}}]", None, 1),
        # switch
        (
            "do: [{s: {switch: [{a: {when: .x == 1, then: b}}, {d: {then: c}}]}}, {b: {set: {r: b}, then: end}}, "
            "{c: {set: {r: c}}}]",
            {"x": 1},
            {"r": "b"},
        ),
        (
            "do: [{s: {switch: [{d: {then: c}}, {a: {when: .x == 1, then: b}}]}}, {b: {set: {r: b}, then: end}}, "
            "{c: {set: {r: c}}}]",
            {"x": 1},
            {"r": "b"},
        ),
        ("do: [{s: {switch: [{a: {when: .x == 1, then: b}}], then: end}}, {b: {set: {r: b}}}]", {"x": 2}, {"x": 2}),
        (
            "do: [{s: {switch: [{a: {when: .x == 2, then: continue}}], then: end}}, {b: {set: {r: b}}}]",
            {"x": 2},
            {"r": "b"},
        ),
        ("do: [{s: {switch: [{a: {then: end}}], output: {as: .x}}}, {b: {set: {r: b}}}]", {"x": 2}, 2),
        # loops
        (
            "do: [{l: {for: {in: .xs}, do: [{a: {set: {last: '${ $item }', at: '${ $index }'}}}]}}]",
            {"xs": [5, 6]},
            {"last": 6, "at": 1},
        ),
        (
            "do: [{l: {for: {in: .xs, each: x, at: i}, do: [{a: {call: add, with: {a: '${ $x }', b: '${ $i }'}}}]}}]",
            {"xs": [5, 6]},
            7,
        ),
        ("do: [{l: {for: {in: .xs}, do: [{a: {set: {x: 1}}}]}}]", {"xs": []}, {"xs": []}),
        (
            "do: [{l: {for: {in: $input.xs, each: x}, while: $x < 3, do: [{a: {call: add, with: {a: '${ $x }'}}}]}}]",
            {"xs": [1, 2, 3, 4]},
            3,
        ),
        (
            "do: [{l: {for: {in: .xs, each: x}, do: [{m: {for: {in: $x, each: y}, do: [{a: {call: add, with: {a: '${ $y }'}}}]}}]}}]",
            {"xs": [[1, 2], [3]]},
            4,
        ),
        (
            "do: [{l: {for: {in: .xs}, do: [{a: {set: {x: 1}, then: exit}}, {b: {set: {x: 2}}}]}}]",
            {"xs": [1, 2]},
            {"x": 1},
        ),
        (
            "do: [{l: {for: {in: .xs}, do: [{a: {set: '${ $item }', then: end}}]}}, {b: {set: {x: 2}}}]",
            {"xs": [1, 2]},
            1,
        ),
        ("do: [{a: {call: add, with: {a: '${ . }'}}}, {s: {switch: [{more: {when: . < 5, then: a}}]}}]", 1, 5),
        # functions
        ("do: [{a: {call: noop}}]", {"x": 1}, None),
        ("do: [{a: {call: add, with: {a: 1, b: 2}, output: {as: {sum: '${ . }'}}}}]", None, {"sum": 3}),
        (
            "use: {functions: {inc: {call: add, with: {a: '${ .n }'}}}}\ndo: [{a: {call: inc, with: {n: 4}}}, "
            "{b: {call: inc, with: {n: '${ . }'}}}]",
            None,
            6,
        ),
        (
            "use: {functions: {inc: {do: [{x: {call: add, with: {a: '${ .n }'}}}, {y: {call: add, with: {a: '${ . }'}}}]}}}\n"
            "do: [{l: {for: {in: .ns}, do: [{a: {call: inc, with: {n: '${ $item }'}}}]}}]",
            {"ns": [1, 2]},
            4,
        ),
        # wait
        ("do: [{a: {wait: {days: 365}}}, {b: {wait: '${ .p }'}}]", {"p": "PT1M"}, {"p": "PT1M"}),
        ("do: [{a: {wait: '${ .p }'}}]", {"p": {"seconds": 5}}, {"p": {"seconds": 5}}),
        # fork
        ("do: [{f: {fork: {branches: []}}}]", 1, []),
        (
            "do: [{f: {fork: {branches: [{a: {do: [{w: {wait: PT2S}}, {x: {set: {v: 1}}}]}}, {b: {call: add, with: {a: 1}}}]}}}]",
            None,
            [{"v": 1}, 2],
        ),
        (
            "do: [{f: {fork: {compete: true, branches: [{a: {do: [{w: {wait: PT2S}}, {x: {call: add, with: {a: 1}}}]}}, "
            "{b: {do: [{w: {wait: PT1S}}, {x: {call: add, with: {a: 2}}}]}}]}}}]",
            None,
            3,
        ),
        (
            "do: [{f: {fork: {branches: [{a: {set: {v: 1}, export: {as: {x: 1, y: 1}}}}, {b: {do: [{w: {wait: PT1S}}, "
            "{c: {set: {v: 2}, export: {as: {y: 2, s: '${ $context.start }'}}}}]}}]}}}, {e: {set: '${ $context }'}}]",
            {"start": 1},
            {"x": 1, "y": 2, "s": 1},
        ),
        (
            "do: [{f: {fork: {compete: true, branches: [{a: {do: [{w: {wait: PT2S}}, {c: {set: {v: 1}, export: {as: {a: 1}}}}]}}, "
            "{b: {set: {v: 2}, export: {as: {b: 1}}}}]}}}, {e: {set: '${ $context }'}}]",
            {"start": 1},
            {"b": 1},
        ),
        (
            "do: [{f: {fork: {branches: [{a: {set: {v: 1}, then: end}}, {b: {call: noop}}]}}}, {z: {set: {z: 1}}}]",
            None,
            {"v": 1},
        ),
        (
            "do: [{f: {fork: {compete: true, branches: [{a: {call: noop}}]}}}, {z: {set: {z: '${ . }'}}}]",
            5,
            {"z": None},
        ),
        # try
        ("do: [{t: {try: [{a: {call: fail}}], catch: {}}}]", {"x": 1}, {"x": 1}),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {as: e, do: [{h: {set: {t: '${ $e.title }', s: '${ $e.status }', "
            "i: '${ $e.instance }', d: '${ $e.detail }'}}}]}}}]",
            None,
            {"t": "Down", "s": 500, "i": "/do/0/t/try/0/a", "d": "no answer"},
        ),
        (
            "do: [{t: {try: [{a: {call: fail, with: {status: 503}}}], catch: {errors: {with: {type: 'x:/y/communication', "
            "status: 503}}, do: [{h: {set: {ok: true}}}]}}}]",
            None,
            {"ok": True},
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {when: $error.status == 500, do: [{h: {set: {ok: true}}}]}}}]",
            None,
            {"ok": True},
        ),
        ("do: [{t: {try: [{a: {call: fail_twice}}], catch: {retry: {delay: PT1S}}}}]", None, "/do/0/t~3/try/0/a"),
        (
            "use: {retries: {r: {delay: PT1S, backoff: {exponential: {}}, jitter: {from: PT1S, to: PT2S}}}}\n"
            "do: [{t: {try: [{a: {call: fail_twice}}], catch: {retry: r}}}]",
            None,
            "/do/0/t~3/try/0/a",
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}, "
            "do: [{h: {set: {h: 1}}}]}}}]",
            None,
            {"h": 1},
        ),
        (
            "do: [{t: {try: [{a: {wait: PT9S}}], catch: {retry: {limit: {attempt: {count: 1, duration: PT1S}}}, "
            "do: [{h: {set: {s: '${ $error.status }'}}}]}}}]",
            None,
            {"s": 408},
        ),
        (
            "do: [{t: {try: [{a: {call: noop, timeout: {after: PT1S}}}, {b: {wait: PT3S, timeout: short}}], catch: {errors: "
            "{with: {type: timeout}}, do: [{h: {set: {i: '${ $error.instance }'}}}]}}}]\nuse: {timeouts: {short: {after: PT2S}}}",
            None,
            {"i": "/do/0/t/try/1/b"},
        ),
        (
            "do: [{t: {timeout: {after: PT5S}, do: [{w: {wait: PT1S}}, {x: {set: {v: 1}, export: {as: .v}, then: end}}]}}, "
            "{u: {set: {u: 1}}}]",
            None,
            {"v": 1},
        ),
        (
            "do: [{t: {timeout: {after: PT5S}, do: [{x: {set: {v: 1}, export: {as: .v}}}]}}, {u: {set: '${ $context }'}}]",
            None,
            1,
        ),
        ("timeout: {after: PT5S}\ndo: [{x: {set: {v: 1}}}]", None, {"v": 1}),
        (
            "do: [{t: {try: [{a: {raise: {error: e}}}], catch: {do: [{h: {set: '${ $error }'}}]}}}]\n"
            "use: {errors: {e: {type: 'https://my.org/errors/odd', status: 418, title: Odd, detail: '${ .d }'}}}",
            {"d": "why"},
            {
                "type": "https://my.org/errors/odd",
                "status": 418,
                "title": "Odd",
                "detail": "why",
                "instance": "/do/0/t/try/0/a",
            },
        ),
    ],
)
async def test_flow_gives_its_output(body: str, value: Any, output: Any) -> None:
    assert await output_of(body, value) == output


@pytest.mark.parametrize(
    ("body", "value", "kind", "status", "instance", "words"),
    [
        (
            "do: [{a: {raise: {error: {type: 'https://x.y/z', status: 400}}}}]",
            None,
            "https://x.y/z",
            400,
            "/do/0/a",
            "",
        ),
        (
            "do: [{a: {raise: {error: {type: 'https://x.y/z', status: 400, instance: /me}}}}]",
            None,
            "https://x.y/z",
            400,
            "/me",
            "",
        ),
        ("do: [{a: {call: fail}}]", None, "communication", 500, "/do/0/a", "no answer"),
        ("do: [{a: {call: add, with: {a: x}}}]", None, "validation", 400, "/do/0/a", "parameter 'a'"),
        (
            "do: [{a: {call: add, with: '${ .x }'}}]",
            {"x": 1},
            "expression",
            400,
            "/do/0/a/with",
            "found the number 1",
        ),
        ("do: [{a: {set: {x: '${ .x.y }'}}}]", {"x": 1}, "expression", 400, "/do/0/a", "Cannot index number"),
        ("do: [{a: {for: {in: .x}, do: []}}]", {"x": 1}, "expression", 400, "/do/0/a/for/in", "expected a list"),
        ("do: [{a: {wait: '${ .x }'}}]", {"x": "soon"}, "expression", 400, "/do/0/a/wait", "expected a duration"),
        (
            "input: {schema: {document: {required: [x]}}}\ndo: []",
            {},
            "validation",
            400,
            "/input/schema",
            "'x' is a required",
        ),
        (
            "output: {schema: {document: {type: string}}}\ndo: []",
            1,
            "validation",
            400,
            "/output/schema",
            "is not of type",
        ),
        (
            "do: [{a: {call: noop, input: {schema: {document: {type: string}}}}}]",
            1,
            "validation",
            400,
            "/do/0/a",
            "input",
        ),
        (
            "do: [{a: {call: noop, output: {schema: {document: {type: string}}}}}]",
            1,
            "validation",
            400,
            "/do/0/a",
            "output",
        ),
        (
            "do: [{a: {set: {x: 1}, export: {as: ., schema: {document: {type: string}}}}}]",
            1,
            "validation",
            400,
            "/do/0/a",
            "context",
        ),
        ("do: [{a: {wait: PT5S, timeout: {after: PT1S}}}]", None, "timeout", 408, "/do/0/a", "1 s"),
        (
            "timeout: {after: {milliseconds: 1500}}\ndo: [{a: {wait: PT5S}}]",
            None,
            "timeout",
            408,
            "/timeout",
            "1.5 s",
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {errors: {with: {status: 404}}}}}]",
            None,
            "communication",
            500,
            "/do/0/t/try/0/a",
            "",
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {exceptWhen: $error.status == 500}}}]",
            None,
            "communication",
            500,
            "/do/0/t/try/0/a",
            "",
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {retry: {limit: {attempt: {count: 2}}}}}}]",
            None,
            "communication",
            500,
            "/do/0/t/try/0/a",
            "",
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {do: [{b: {call: add, with: {a: x}}}]}}}]",
            None,
            "validation",
            400,
            "/do/0/t/catch/do/0/b",
            "",
        ),
        (
            "do: [{f: {fork: {branches: [{a: {call: fail}}, {b: {wait: PT1S}}]}}}]",
            None,
            "communication",
            500,
            "/do/0/f/fork/branches/0/a",
            "",
        ),
        (
            "do: [{f: {fork: {compete: true, branches: [{a: {call: fail}}, {b: {wait: PT1S}}]}}}]",
            None,
            "communication",
            500,
            "/do/0/f/fork/branches/0/a",
            "",
        ),
        (
            "do: [{a: {set: {x: 1}}}, {s: {switch: [{again: {then: a}}]}}]",
            None,
            "runtime",
            500,
            "/do/0/a",
            "max_visits (10000)",
        ),
    ],
)
async def test_flow_fails_with_a_problem_of_the_standard(
    body: str, value: Any, kind: str, status: int, instance: str, words: str
) -> None:
    found = await failure_of(body, value)
    assert (found.type, found.status, found.instance) == (
        kind if ":" in kind else ERROR_BASE + kind,
        status,
        instance,
    )
    assert words in found.detail


async def keys_of(body: str, value: Any = None) -> list[str]:
    memory = MemoryRun()
    await ending_of(memory, flow(body), value)
    return list(memory.record)


@pytest.mark.parametrize(
    ("body", "value", "keys"),
    [
        ("do: [{a: {call: noop}}, {a/b~c: {call: noop}}]", None, ["/do/0/a", "/do/1/a~1b~0c"]),
        ("do: [{l: {for: {in: .}, do: [{a: {call: noop}}]}}]", [7, 8], ["/do/0/l@0/do/0/a", "/do/0/l@1/do/0/a"]),
        (
            "do: [{a: {call: add, with: {a: '${ . }'}}}, {s: {switch: [{x: {when: . < 3, then: a}}]}}]",
            1,
            ["/do/0/a", "/do/0/a^2"],
        ),
        (
            "do: [{t: {try: [{a: {call: fail}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, "
            "do: [{h: {call: noop}}]}}}]",
            None,
            [
                "/do/0/t/try/0/a",
                "/do/0/t~1/retry",
                "/do/0/t~1/delay",
                "/do/0/t~2/try/0/a",
                "/do/0/t~2/retry",
                "/do/0/t~2/catch/do/0/h",
            ],
        ),
        (
            "do: [{f: {fork: {branches: [{a: {call: noop}}, {b: {do: [{c: {call: noop}}]}}]}}}]",
            None,
            ["/do/0/f/fork/branches/0/a", "/do/0/f/fork/branches/1/b/do/0/c", "/do/0/f"],
        ),
        ("do: [{a: {wait: PT1S, timeout: {after: PT5S}}}]", None, ["/do/0/a", "/do/0/a/timeout"]),
        ("do: [{a: {call: g}}]\nuse: {functions: {g: {call: noop}}}", None, ["/do/0/a/g"]),
        ("do: [{a: {set: {x: 1}}}, {b: {if: .x == 1, do: [{c: {switch: [{d: {then: exit}}]}}]}}]", None, []),
    ],
)
async def test_keys_come_from_the_place_in_the_document(body: str, value: Any, keys: list[str]) -> None:
    assert await keys_of(body, value) == keys


async def test_keys_of_nested_repeats_never_meet() -> None:
    body = """
do:
  - outer:
      for: {in: .xs, each: x}
      do:
        - both:
            fork:
              branches:
                - one: {do: [{again: {try: [{a: {call: fail_twice}}], catch: {retry: {delay: PT1S}}}}]}
                - two: {for: {in: $x, each: y}, do: [{b: {call: add, with: {a: '${ $y }'}}}]}
"""
    assert await output_of(body, {"xs": [[1, 2], [3]]}) == [
        "/do/0/outer@1/do/0/both/fork/branches/0/one/do/0/again~3/try/0/a",
        4,
    ]


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [("{constant: {}}", [2, 2, 2]), ("{linear: {}}", [2, 4, 6]), ("{exponential: {}}", [2, 4, 8])],
)
async def test_backoff_grows_as_asked(backoff: str, delays: list[float]) -> None:
    memory = MemoryRun()
    program = flow(
        "do: [{t: {try: [{a: {call: fail}}], catch: {retry: {delay: PT2S, backoff: "
        + backoff
        + ", limit: {attempt: {count: 3}}}}}}]"
    )
    await ending_of(memory, program, None)
    at = [memory.record[f"/do/0/t~{n}/delay"].at for n in (1, 2, 3)]
    assert [round(b - a) for a, b in zip([STARTED_AT, *at], at, strict=False)] == delays


async def test_total_limit_ends_the_retries() -> None:
    keys = await keys_of(
        "do: [{t: {try: [{a: {call: fail}}], catch: {retry: {delay: PT2S, limit: {duration: PT5S}}}}}]"
    )
    assert [key for key in keys if key.endswith("/delay")] == ["/do/0/t~1/delay", "/do/0/t~2/delay"]


async def test_error_that_cannot_pass_is_tried_again_only_when_it_is_named() -> None:
    body = "do: [{t: {try: [{a: {call: add, with: {a: x}}}], catch: {%s retry: {limit: {attempt: {count: 2}}}}}}]"
    assert len([key for key in await keys_of(body % "") if key.endswith("/a")]) == 1
    named = await keys_of(body % "errors: {with: {status: 400}},")
    assert len([key for key in named if key.endswith("/a")]) == 3


async def test_step_carries_the_options_of_its_function() -> None:
    registry = Functions()
    registry.function(name="named", retry=RetryPolicy(max_attempts=5), timeout_s=3.0)(noop)
    memory = MemoryRun()
    await memory.play(FlowPrograms(functions=registry).compile(HEAD + "do: [{a: {call: named}}]").program)
    assert memory.options == [
        {"name": "a", "retry": RetryPolicy(max_attempts=5), "timeout_s": 3.0, "heartbeat_timeout_s": None}
    ]


APPROVAL = """do:
  - ask:
      call: approval
      with:
        prompt: ${ .what }
        approvers: [alice, "role:admin"]
        required: 2
        timeout_seconds: 60
        on_timeout: %s
        escalate_to: [carol, dave]
        context: {amount: 5}
"""


@pytest.mark.parametrize(
    ("on_timeout", "outcome", "ending"),
    [
        (
            "fail",
            ApprovalOutcome(decision="approved", comment="ok", data={"x": 1}, actor="alice"),
            {"decision": "approved", "comment": "ok", "data": {"x": 1}},
        ),
        ("fail", ApprovalOutcome(decision="rejected", comment="too much", actor="bob"), ("approval_rejected", 403)),
        ("fail", ApprovalOutcome(decision="rejected", expired=True), ("approval_timeout", 408)),
        ("escalate", ApprovalOutcome(decision="rejected", expired=True), ("approval_timeout", 408)),
        ("reject", ApprovalOutcome(decision="rejected", expired=True), ("approval_rejected", 403)),
        (
            "approve",
            ApprovalOutcome(decision="approved", expired=True),
            {"decision": "approved", "comment": "", "data": None},
        ),
    ],
)
async def test_approval_gives_the_decision_or_fails(on_timeout: str, outcome: ApprovalOutcome, ending: Any) -> None:
    found = await run_through(flow(APPROVAL % on_timeout), {"what": "pay?"}, decide=lambda _request: outcome)
    if isinstance(ending, tuple):
        assert found.failure is not None
        assert (found.failure.type, found.failure.status, found.failure.instance) == (
            ERROR_BASE + ending[0],
            ending[1],
            "/do/0/ask",
        )
    else:
        assert found == Ending(output=ending)


async def test_approval_asks_what_the_document_says() -> None:
    memory = MemoryRun()
    await memory.play(flow(APPROVAL % "reject"), {"what": "pay?"})
    assert memory.asked == [
        ApprovalRequest(
            prompt="pay?",
            approvers=("alice", "role:admin"),
            required=2,
            timeout_s=60,
            on_timeout="reject",
            escalate_to=("carol", "dave"),
            context={"amount": 5},
        )
    ]


async def test_bad_argument_of_an_approval_is_a_validation_error() -> None:
    found = await failure_of(APPROVAL % "fail", {"what": 5})
    assert (found.type, found.instance) == (ERROR_BASE + "validation", "/do/0/ask/with")


async def test_computed_argument_that_nobody_could_decide_is_a_validation_error() -> None:
    asking = "do:\n  - ask: {call: approval, with: {required: 2, approvers: '${ .who }', timeout_seconds: 9}}\n"
    found = await failure_of(asking, {"who": ["ann"]})
    assert (found.type, found.instance) == (ERROR_BASE + "validation", "/do/0/ask/with")
    assert "required: expected as many approvers as are named (1) or fewer, found 2" in found.detail


async def test_function_cannot_change_what_the_flow_holds() -> None:
    registry = Functions()

    @registry.function
    async def spoil(values: list[int], more: Any = None) -> int:
        values.append(1)
        if more:
            more["k"].append(2)
        return len(values)

    program = (
        FlowPrograms(functions=registry)
        .compile(
            HEAD + "do: [{a: {call: spoil, with: {values: '${ .v }', more: {k: []}}, output: {as: $input}}}, "
            "{b: {call: spoil, with: {values: '${ .v }', more: {k: []}}}}]"
        )
        .program
    )
    value = {"v": [1]}
    assert (await run_through(program, value)).output == 2
    assert value == {"v": [1]}


async def test_function_that_is_unknown_is_a_fault_only_with_a_registry() -> None:
    program = FlowPrograms().compile(HEAD + "do: [{a: {call: anything}}]").program
    found = await run_through(program)
    assert found.failure is not None
    assert found.failure.type == ERROR_BASE + "configuration"

# ruff: noqa: E501  a document of one line is easier to read whole
"""The checker: each fault with its pointer and line, all of them at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.core.definitions import Fault, InvalidDefinitionError
from stepwell.programs.flow import FlowPrograms, check_definition
from stepwell.programs.functions import Functions

HEAD = """document:
  dsl: '1.0.3'
  namespace: test
  name: flow
  version: '1.0.0'
"""
EXAMPLES = Path(__file__).parents[4] / "shared" / "serverless-workflow" / "examples"

functions = Functions()


@functions.function
async def noop() -> None: ...


def faults_of(text: str) -> tuple[Fault, ...]:
    with pytest.raises(InvalidDefinitionError) as caught:
        check_definition(text, functions=functions)
    return caught.value.faults


@pytest.mark.parametrize(
    ("body", "line", "pointer", "words"),
    [
        # structure
        ("doo: []", 6, "/doo", "did you mean 'do'"),
        ("do: {}", 6, "/do", "expected a list, found an empty object"),
        ("do: [1]", 6, "/do/0", "expected an object with one name, found the number 1"),
        ("do:\n  - a: {call: noop}\n    b: {call: noop}", 8, "/do/0/b", "one name in each item"),
        ("do:\n  - a: 5", 7, "/do/0/a", "expected a task (an object)"),
        ("do:\n  - a: {}", 7, "/do/0/a", "found an empty object"),
        ("do:\n  - a: {cal: noop}", 7, "/do/0/a", "did you mean 'call'"),
        (
            "do:\n  - a:\n      call: noop\n      set: {x: 1}",
            9,
            "/do/0/a/set",
            "one kind of task, found 'call' and 'set'",
        ),
        ("do:\n  - a: {set: {x: 1}}\n  - a: {call: noop}", 8, "/do/1/a", "found 'a' again"),
        ("do:\n  - end: {call: noop}", 7, "/do/0/end", "expected a name other than"),
        (
            "do:\n  - a:\n      call: http\n      with:\n        method: get",
            9,
            "/do/0/a/with/endpoint",
            "expected the property 'endpoint'",
        ),
        (
            "do:\n  - a:\n      call: http\n      with: {method: get, endpont: 'http://x'}",
            9,
            "/do/0/a/with/endpont",
            "did you mean 'endpoint'",
        ),
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: 5}}",
            7,
            "/do/0/a/with/endpoint",
            "found the number 5",
        ),
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: x}}",
            7,
            "/do/0/a/with/endpoint",
            "a URI with its scheme",
        ),
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: 'ftp://x'}}",
            7,
            "/do/0/a/with/endpoint",
            "http or https",
        ),
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: {uri: 'http://x', autentication: {}}}}",
            7,
            "/do/0/a/with/endpoint/autentication",
            "did you mean 'authentication'",
        ),
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: 'http://x', output: contents}}",
            7,
            "/do/0/a/with/output",
            "did you mean 'content'",
        ),
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: 'http://x', headers: {a: [1]}}}",
            7,
            "/do/0/a/with/headers/a",
            "expected text",
        ),
        ("do:\n  - a: {call: 5}", 7, "/do/0/a/call", "expected the name of a function"),
        ("do:\n  - a: {set: {}}", 7, "/do/0/a/set", "at least one property"),
        ("do:\n  - a: {for: {each: x}, do: []}", 7, "/do/0/a/for/in", "expected the property 'in'"),
        ("do:\n  - a: {for: {in: .x}}", 7, "/do/0/a/do", "expected the property 'do'"),
        ("do:\n  - a: {try: []}", 7, "/do/0/a/catch", "expected the property 'catch'"),
        ("do:\n  - a: {switch: []}", 7, "/do/0/a/switch", "at least one case"),
        (
            "do:\n  - a: {switch: [{x: {then: end}}, {y: {then: end}}]}",
            7,
            "/do/0/a/switch/1/y",
            "one case without 'when'",
        ),
        ("do:\n  - a: {raise: {error: {type: 'http://x'}}}", 7, "/do/0/a/raise/error/status", "'status'"),
        (
            "do:\n  - a: {raise: {error: {type: 'http://x', status: 4000}}}",
            7,
            "/do/0/a/raise/error/status",
            "expected a status from 100 to 599, found the number 4000",
        ),
        (
            "do:\n  - a: {raise: {error: {type: 'http://x', status: '4'}}}",
            7,
            "/do/0/a/raise/error/status",
            "whole number",
        ),
        *(
            (
                f"do:\n  - a:\n      try: []\n      catch: {{errors: {{with: {{status: {status}}}}}}}",
                9,
                "/do/0/a/catch/errors/with/status",
                f"expected the status of an error, from 100 to 999, found the number {status}",
            )
            for status in (-5, 0, 99, 1000, 99999)
        ),
        (
            "do:\n  - a:\n      try: []\n      catch: {retry: {limit: {attempt: {count: -1}}}}",
            9,
            "/do/0/a/catch/retry/limit/attempt/count",
            "expected a number of retries, 0 or more, found the number -1",
        ),
        (
            "use:\n  retries:\n    once: {limit: {attempt: {count: -3}}}\ndo: []",
            8,
            "/use/retries/once/limit/attempt/count",
            "0 or more, found the number -3",
        ),
        ("do:\n  - a: {fork: {branches: [], compete: maybe}}", 7, "/do/0/a/fork/compete", "true or false"),
        (
            "do:\n  - a: {call: approval, with: {required: many}}",
            7,
            "/do/0/a/with/required",
            "expected a whole number",
        ),
        ("do:\n  - a: {call: approval, with: {required: 0}}", 7, "/do/0/a/with/required", "1 approver or more"),
        (
            "do:\n  - a: {call: approval, with: {required: 2, approvers: [ann]}}",
            7,
            "/do/0/a/with/required",
            "as many approvers as are named (1)",
        ),
        (
            "do:\n  - a: {call: approval, with: {timeout_seconds: -1}}",
            7,
            "/do/0/a/with/timeout_seconds",
            "expected a number of seconds above 0, at most 100 years, found -1",
        ),
        (
            "do:\n  - a: {call: approval, with: {on_timeout: escalate, timeout_seconds: 5}}",
            7,
            "/do/0/a/with",
            "escalate_to: expected somebody",
        ),
        ("do:\n  - a: {call: approval, with: {promt: x}}", 7, "/do/0/a/with/promt", "did you mean 'prompt'"),
        ("do:\n  - a: {call: approval, with: {on_timeout: later}}", 7, "/do/0/a/with/on_timeout", "'fail'"),
        ("do:\n  - a: {call: noop, timeout: {aftr: PT1S}}", 7, "/do/0/a/timeout/aftr", "did you mean 'after'"),
        (
            "do: []\nuse: {retries: {r: {backoff: {constant: {}, linear: {}}}}}",
            7,
            "/use/retries/r/backoff/linear",
            "exactly one of",
        ),
        ("do: []\nevaluate: {mode: lose}", 7, "/evaluate/mode", "expected 'strict'"),
        # durations
        ("do:\n  - a: {wait: 5 seconds}", 7, "/do/0/a/wait", "expected a duration"),
        ("do:\n  - a: {wait: P}", 7, "/do/0/a/wait", "expected a duration"),
        ("do:\n  - a: {wait: PT}", 7, "/do/0/a/wait", "expected a duration"),
        ("do:\n  - a: {wait: {}}", 7, "/do/0/a/wait", "expected a duration"),
        (
            "do:\n  - a:\n      wait:\n        seconds: 1\n        minuts: 2",
            10,
            "/do/0/a/wait/minuts",
            "did you mean 'minutes'",
        ),
        ("do:\n  - a: {wait: {seconds: 1.5}}", 7, "/do/0/a/wait/seconds", "a whole number of seconds"),
        ("do:\n  - a: {wait: {seconds: -1}}", 7, "/do/0/a/wait/seconds", "0 or more"),
        ("do:\n  - a: {wait: P200Y}", 7, "/do/0/a/wait", "expected a duration"),
        ("do:\n  - a: {wait: {days: 99999999}}", 7, "/do/0/a/wait", "at most 100 years"),
        # references
        ("do:\n  - a: {call: noop, then: b}", 7, "/do/0/a/then", "expected a task of the same list"),
        ("do:\n  - abc: {call: noop, then: abd}\n  - x: {call: noop}", 7, "/do/0/abc/then", "did you mean 'abc'"),
        ("do:\n  - a: {switch: [{x: {then: nowhere}}]}", 7, "/do/0/a/switch/0/x/then", "found 'nowhere'"),
        ("do:\n  - a: {do: [{b: {call: noop, then: a}}]}", 7, "/do/0/a/do/0/b/then", "of the same list"),
        (
            "do:\n  - a: {fork: {branches: [{b: {call: noop, then: c}}, {c: {call: noop}}]}}",
            7,
            "/do/0/a/fork/branches/0/b/then",
            "'continue', 'exit' or 'end'",
        ),
        ("do:\n  - a: {raise: {error: nope}}", 7, "/do/0/a/raise/error", "use.errors, found 'nope'"),
        ("do:\n  - a: {try: [], catch: {retry: nope}}", 7, "/do/0/a/catch/retry", "use.retries"),
        ("do:\n  - a: {call: noop, timeout: nope}", 7, "/do/0/a/timeout", "use.timeouts"),
        ("timeout: nope\ndo: []", 6, "/timeout", "use.timeouts"),
        ("do:\n  - a: {call: nop}", 7, "/do/0/a/call", "did you mean 'noop'"),
        (
            "do: []\nuse: {authentications: {a: {basic: {use: nope}}}}",
            7,
            "/use/authentications/a/basic/use",
            "use.secrets",
        ),
        ("do: []\nuse: {functions: {f: {call: g}, g: {call: f}}}", 7, "/use/functions/f", "back to itself"),
        # expressions
        ("do:\n  - a: {if: '.a ==', call: noop}", 7, "/do/0/a/if", "found the end"),
        ("do:\n  - a: {if: '', call: noop}", 7, "/do/0/a/if", "expected an expression"),
        ("do:\n  - a: {if: true, call: noop}", 7, "/do/0/a/if", "expected an expression, found true"),
        ("do:\n  - a: {set: {x: '${ .b '}}", 7, "/do/0/a/set/x", "found none that ends: '${ .b'"),
        ("do:\n  - a: {if: '${ .b', call: noop}", 7, "/do/0/a/if", "found none that ends: '${ .b'"),
        ("do:\n  - a: {set: {x: {y: ['${ $itm }']}}}", 7, "/do/0/a/set/x/y/0", "found $itm"),
        ("do:\n  - a: {for: {each: itm, in: .x}, do: [], output: {as: $itm}}", 7, "/do/0/a/output/as", "found $itm"),
        ("do:\n  - a: {for: {each: input, in: .x}, do: []}", 7, "/do/0/a/for/each", "expected a name other than"),
        ("do:\n  - a: {for: {each: 'a b', in: .x}, do: []}", 7, "/do/0/a/for/each", "the name of a variable"),
        ("do:\n  - a: {set: {x: '${ $secrets.s }'}}", 7, "/do/0/a/set/x", "one of use.secrets, found 's'"),
        ("do:\n  - a: {set: {x: '${ $secrets[\"s\"].t }'}}", 7, "/do/0/a/set/x", "one of use.secrets, found 's'"),
        # authentication
        (
            "do:\n  - a: {call: http, with: {method: get, endpoint: {uri: 'http://x', authentication: {bearer: {}}}}}",
            7,
            "/do/0/a/with/endpoint/authentication/bearer",
            "exactly one of 'token' or 'use'",
        ),
        (
            "do: []\nuse: {authentications: {a: {basic: {username: x}}}}",
            7,
            "/use/authentications/a/basic/password",
            "found no 'password'",
        ),
        (
            "do:\n  - a: {call: openapi, with: {document: {endpoint: 'file:///x'}, operationId: o}}",
            7,
            "/do/0/a/with/document/endpoint",
            "http or https",
        ),
        # schemas
        (
            "input: {schema: {document: {type: strin}}}\ndo: []",
            6,
            "/input/schema/document/type",
            "expected a JSON Schema",
        ),
        ("input: {schema: {document: 5}}\ndo: []", 6, "/input/schema/document", "expected a JSON Schema"),
        ("input: {schema: {}}\ndo: []", 6, "/input/schema", "exactly one of 'document' or 'resource'"),
        # events
        ("do:\n  - a: {emit: {event: {with: {type: t}}}}", 7, "/do/0/a/emit/event/with/source", "'source'"),
        (
            "do:\n  - a: {emit: {event: {with: {type: t, source: s, roomId: 1}}}}",
            7,
            "/do/0/a/emit/event/with/roomId",
            "lower-case letters and digits",
        ),
        (
            "do:\n  - a: {emit: {event: {with: {type: t, source: s, subject: {}}}}}",
            7,
            "/do/0/a/emit/event/with/subject",
            "expected text",
        ),
        (
            "do:\n  - a: {emit: {event: {with: {type: t, source: s, specversion: '0.3'}}}}",
            7,
            "/do/0/a/emit/event/with/specversion",
            "expected '1.0'",
        ),
        ("do:\n  - a: {listen: {to: {one: {with: {}}}}}", 7, "/do/0/a/listen/to/one/with", "at least one attribute"),
        (
            "do:\n  - a: {listen: {to: {one: {with: {data: {x: ['${ .a == }']}}}}}}",
            7,
            "/do/0/a/listen/to/one/with/data/x/0",
            "found the end",
        ),
        (
            "do:\n  - a: {listen: {to: {one: {with: {type: t}}, any: []}}}",
            7,
            "/do/0/a/listen/to/one",
            "exactly one of",
        ),
        (
            "do:\n  - a: {listen: {to: {one: {with: {type: t}}, until: .x}}}",
            7,
            "/do/0/a/listen/to/until",
            "beside 'any' only",
        ),
        (
            "do:\n  - a: {listen: {to: {any: [], until: {any: [], until: .x}}}}",
            7,
            "/do/0/a/listen/to/until/until",
            "one 'until'",
        ),
        ("do:\n  - a: {listen: {to: {any: []}, read: all}}", 7, "/do/0/a/listen/read", "'envelope'"),
        (
            "do:\n  - a: {listen: {to: {one: {with: {type: t}, correlate: {c: {expect: x}}}}}}",
            7,
            "/do/0/a/listen/to/one/correlate/c/from",
            "'from'",
        ),
        (
            "do:\n  - a: {listen: {to: {any: []}}, foreach: {item: e, output: {as: $x}}}",
            7,
            "/do/0/a/foreach/output/as",
            "found $x",
        ),
        ("do:\n  - a: {call: callback, with: {url: x}}", 7, "/do/0/a/with/url", "a URI with its scheme"),
        ("do:\n  - a: {call: callback, with: {timeout_seconds: 0}}", 7, "/do/0/a/with/timeout_seconds", "above 0"),
        # schedules
        ("do: []\nschedule: {cron: '* * *'}", 7, "/schedule/cron", "expected a cron expression"),
        ("do: []\nschedule: {cron: '61 * * * *'}", 7, "/schedule/cron", "expected a cron expression"),
        ("do: []\nschedule: {cron: '0 0 30 2 *'}", 7, "/schedule/cron", "expected a cron expression"),
        ("do: []\nschedule: {every: PT0.0001S}", 7, "/schedule/every", "at least a millisecond"),
        ("do: []\nschedule: {after: '${ .x }'}", 7, "/schedule/after", "no expression"),
        ("do: []\nschedule: {on: {all: []}}", 7, "/schedule/on/all", "at least one filter"),
        ("do: []\nschedule: {every: PT1S, cron: '* * * * *'}", 7, "/schedule/cron", "exactly one of"),
        # loops
        ("do:\n  - a: {set: {x: 1}}\n  - b: {set: {x: 2}, then: a}", 8, "/do/1/b/then", "found only a -> b"),
        ("do:\n  - a: {do: [{x: {set: {x: 1}}}], then: a}", 7, "/do/0/a/then", "found only a"),
    ],
)
def test_fault_names_its_place_and_what_was_expected(body: str, line: int, pointer: str, words: str) -> None:
    found = faults_of(HEAD + body)
    fault = next((fault for fault in found if fault.pointer == pointer), None)
    assert fault is not None, [str(fault) for fault in found]
    assert fault.line == line
    assert words in fault.message
    assert "not supported" not in fault.message
    assert not fault.message.startswith(f"{pointer.rpartition('/')[2]}: "), "the place is said twice"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("do: [{a: {run: {shell: {command: ls}}}}]", "/do/0/a/run/shell"),
        ("do: [{a: {run: {script: {language: js, code: x}}}}]", "/do/0/a/run/script"),
        ("do: [{a: {run: {container: {image: x}}}}]", "/do/0/a/run/container"),
        ("do: []\nschedule: {on: {any: [], until: .x}}", "/schedule/on/until"),
        (
            "do: []\nschedule: {on: {all: [{with: {type: t}, correlate: {c: {from: .x}}}]}}",
            "/schedule/on/all/0/correlate/c",
        ),
        ("do: [{a: {call: 'https://x.y/f.yaml'}}]", "/do/0/a/call"),
        ("do: [{a: {call: 'log:1.0.0@default'}}]", "/do/0/a/call"),
        ("do: [{a: {set: {x: '${ .a + 1 }'}}}]", "/do/0/a/set/x"),
        (
            "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'http://x', authentication: {certificate: {}}}}}}]",
            "/do/0/a/with/endpoint/authentication/certificate",
        ),
        (
            "do: []\nuse: {authentications: {a: {oidc: {authority: 'http://x', grant: authorization_code}}}}",
            "/use/authentications/a/oidc/grant",
        ),
        (
            "do: []\nuse: {authentications: {a: {oauth2: {authority: 'http://x', grant: password, client: {authentication: private_key_jwt}}}}}",
            "/use/authentications/a/oauth2/client/authentication",
        ),
        ("do: []\nuse: {authentications: {a: {certificate: {}}}}", "/use/authentications/a/certificate"),
        ("do: []\ninput: {schema: {resource: {endpoint: 'http://x'}}}", "/input/schema/resource"),
        ("do: []\ninput: {schema: {document: {pattern: '(a*)*'}}}", "/input/schema/document/pattern"),
        ("do: []\ninput: {schema: {format: avro, document: {}}}", "/input/schema/format"),
        ("do: []\ninput: {schema: {document: {$ref: 'http://x'}}}", "/input/schema/document/$ref"),
    ],
)
def test_what_is_not_there_yet_is_called_not_supported(body: str, pointer: str) -> None:
    assert [(fault.pointer, "not supported" in fault.message) for fault in faults_of(HEAD + body)] == [
        (pointer, True)
    ]


def test_all_faults_come_at_once_in_document_order() -> None:
    found = faults_of(
        HEAD
        + """do:
  - a:
      wait: soon
      colour: red
  - b:
      call: nope
      then: nowhere
  - c: {call: grpc, with: {proto: {endpoint: 'http://x'}, service: {name: s, host: h}, method: m}}
  - d: {set: {x: '${ .a ==  }'}}
"""
    )
    assert [(fault.line, fault.pointer) for fault in found] == [
        (8, "/do/0/a/wait"),
        (9, "/do/0/a/colour"),
        (11, "/do/1/b/call"),
        (12, "/do/1/b/then"),
        (13, "/do/2/c/call"),
        (14, "/do/3/d/set/x"),
    ]


@pytest.mark.parametrize(
    "document", ["dsl: '0.9.0'", "dsl: 1.0", "namespace: 'a b'", "name: ''", "version: '1'", "titel: x"]
)
def test_document_is_checked(document: str) -> None:
    name = document.partition(":")[0]
    lines = [line for line in HEAD.splitlines() if not line.strip().startswith(f"{name}:")]
    found = faults_of("\n".join([*lines, f"  {document}", "do: []"]))
    assert [fault.pointer for fault in found] == [f"/document/{name}"]


@pytest.mark.parametrize(
    "body",
    [
        "do: []",
        "do: [{a: {call: noop, then: end}}, {b: {call: noop, then: a}}]",
        "do: [{a: {set: {x: 1}}}, {s: {switch: [{go: {when: .x, then: a}}]}}]",
        "do: [{a: {set: {x: 1}, if: .x, then: a}}]",
        "do: [{a: {wait: {milliseconds: 5}, then: a}}]",
        "do: [{a: {wait: P1Y2M3W4DT5H6M7.5S}}, {b: {wait: '${ .x }'}}]",
        "do: [{a: {try: [{b: {call: noop}}], catch: {when: $e.status == 500, as: e, retry: r, do: []}}}]\n"
        "use: {retries: {r: {when: '$e.x', delay: PT1S, jitter: {from: PT0S, to: PT1S}}}}",
        "do: [{a: {for: {in: .x}, while: $item != $index, do: [{b: {set: {y: '${ $item }'}}}]}}]",
        "do: [{a: {call: f, with: {x: 1}}}]\nuse: {functions: {f: {call: http, with: {method: get, endpoint: 'http://x'}}}}",
        "do: [{a: {call: noop, export: {as: $output}, output: {as: {x: '${ $context }'}}}}]",
        "do: [{a: {raise: {error: e}}}]\nuse: {errors: {e: {type: 'https://x.y', status: 400}}, secrets: [s]}",
    ],
)
def test_good_documents_have_no_faults(body: str) -> None:
    check_definition(HEAD + body, functions=functions)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the standard's examples are not beside this folder")
def test_examples_of_the_standard_compile_or_are_not_supported() -> None:
    names = [path.name for path in sorted(EXAMPLES.iterdir()) if not _refused(path.read_text())]
    assert len(list(EXAMPLES.iterdir())) == 66
    assert {
        "call-http-query-parameters.yaml",
        "do-single.yaml",
        "star-wars-homeworld.yaml",
        "switch-then-string.yaml",
        "try-catch-retry-inline.yaml",
        "try-catch-retry-reusable.yaml",
        "fork.yaml",
        "conditional-task.yaml",
        "call-custom-function-inline.yaml",
        "wait-duration-iso8601.yaml",
    } <= set(names)


def _refused(text: str) -> bool:
    faults = _faults_of_compiling(text)
    assert all("not supported" in fault.message for fault in faults), faults
    return bool(faults)


def _faults_of_compiling(text: str) -> tuple[Fault, ...]:
    try:
        FlowPrograms().compile(text)
    except InvalidDefinitionError as error:
        return error.faults
    return ()


WORDS = st.sampled_from(
    [
        "do",
        "call",
        "set",
        "for",
        "each",
        "in",
        "at",
        "while",
        "fork",
        "branches",
        "compete",
        "try",
        "catch",
        "errors",
        "with",
        "retry",
        "delay",
        "backoff",
        "limit",
        "raise",
        "error",
        "wait",
        "switch",
        "when",
        "then",
        "if",
        "input",
        "output",
        "export",
        "schema",
        "document",
        "from",
        "as",
        "timeout",
        "after",
        "use",
        "functions",
        "listen",
        "to",
        "emit",
        "run",
        "http",
        "noop",
        "approval",
        "a",
        "b",
        "end",
        "${ .a }",
        "${ .a",
        ".x == 1",
        "PT1S",
        "seconds",
        "until",
        "any",
        "one",
        "endpoint",
        "uri",
        "http://x/{a}",
        "method",
        "$ref",
        "type",
        "authentication",
        "workflow",
        "/",
        "~",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=20
)
GOOD = json.loads(
    json.dumps(
        {
            "document": {"dsl": "1.0.3", "namespace": "t", "name": "n", "version": "1.0.0"},
            "input": {"schema": {"document": {"type": "object"}}, "from": ".a"},
            "use": {"retries": {"r": {"delay": {"seconds": 1}}}, "functions": {"f": {"call": "noop"}}},
            "do": [
                {
                    "a": {
                        "call": "http",
                        "with": {"method": "get", "endpoint": {"uri": "http://x"}, "query": {"a": "b"}},
                    }
                },
                {"b": {"try": [{"c": {"call": "noop"}}], "catch": {"errors": {"with": {"status": 5}}, "retry": "r"}}},
                {
                    "l": {
                        "for": {"in": ".x"},
                        "while": ".y",
                        "do": [{"s": {"set": {"k": "${ $item }"}, "then": "exit"}}],
                    }
                },
                {"w": {"switch": [{"one": {"when": ".a", "then": "a"}}]}},
                {"p": {"fork": {"branches": [{"x": {"wait": "PT1S"}}]}}},
                {"o": {"listen": {"to": {"any": [{"with": {"type": "t"}}], "until": ".x"}}}},
            ],
        }
    )
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(inner for key, item in items for inner in _places(item, (*place, key)))]


def _replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _replaced(copy[place[0]], place[1:], new)
    return copy


def _compiles_or_is_invalid(text: str) -> None:
    """Any other exception fails the test."""
    assert all(str(fault) for fault in _faults_of_compiling(text))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_places(GOOD)), TREES)
def test_broken_documents_only_ever_have_faults(place: tuple[Any, ...], tree: Any) -> None:
    _compiles_or_is_invalid(json.dumps(_replaced(GOOD, place, tree)))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1500), st.integers(0, 40), st.text(max_size=8))
def test_broken_text_only_ever_has_faults(start: int, length: int, new: str) -> None:
    text = (
        HEAD
        + "do:\n  - a: &x {call: noop, with: {k: [1, 'two', \"three\"]}}\n  - b: *x\n  - c:\n      set: >\n        ${ .a }\n"
    )
    _compiles_or_is_invalid(text[:start] + new + text[start + length :])

"""The corpus in the flow language: every kind of task, and what may surround one, each with what must come out of it.

The documents are YAML here and JSON in the worlds: reading YAML takes a hundred times as long.
"""

import asyncio
import json
from collections.abc import Iterable
from textwrap import dedent
from typing import Any

from stepwell.core import commands as c
from stepwell.core.errors import RefusedError
from stepwell.core.history import Actor
from stepwell.engine.attempts import recorded
from stepwell.programs.callbacks import signal_of
from stepwell.programs.flow.reading import read

from .corpus import Case, Send, decision
from .flow_world import FlowWorld
from .harness import Life

FLOW_CASES: dict[str, Case] = {}


def flow(
    name: str,
    body: str,
    *sends: Send,
    output: Any = None,
    fails: bool = False,
    beside: Iterable[tuple[str, Any]] = (),
    **others: str,
) -> None:
    """`others`: the bodies of documents that it starts, by name; `beside`: name and output of each run of these."""
    bodies = {name: body, **others}
    flows = {each.replace("_", "-"): _document(each, text) for each, text in bodies.items()}
    case = Case(name.replace("_", "-"), sends=sends, flows=flows, output=output, fails=fails, beside=tuple(beside))
    FLOW_CASES[case.name] = case


def _document(name: str, body: str) -> str:
    head = f"document: {{dsl: '1.0.3', namespace: test, name: {name.replace('_', '-')}, version: '1.0.0'}}\n"
    return json.dumps(read(head + dedent(body)).value)


def event(id: str, at: float, type: str, data: Any = None, **attributes: Any) -> Send:
    """An event that comes from outside."""
    one = {"id": id, "source": "outside", "type": type, "data": data, **attributes}

    async def act(life: Life, _run_id: str, _actor: Actor) -> None:
        await life.engine.send_event(one)

    return Send(f"event {id}", at, act, event_id=f"outside#{id}")


def answer(at: float, output: Any) -> Send:
    """The service calls back with the token that it was sent, once it has it, until that is taken."""

    async def act(life: Life, run_id: str, actor: Actor) -> None:
        assert isinstance(life.world, FlowWorld)
        data, _ = recorded({"status": "completed", "output": output})
        while not (await life.engine.state(run_id)).terminal:
            token = life.world.service.callbacks.get(run_id)
            try:
                if token is not None:
                    await life.engine.tell(run_id, c.AnswerCallback(signal=signal_of(token), data=data, actor=actor))
                    return
            except RefusedError:
                pass  # nobody waits yet
            await asyncio.sleep(0.2)

    return Send("answer", at, act)


# --- the way through a flow -----------------------------------------------------------------------------------------

flow(
    "lists",
    """
    do:
      - begin: {set: {n: 0, items: [1, 2]}, export: {as: '${ . }'}}
      - next: {call: increment, with: {n: '${ .n }'}}
      - again: {switch: [{more: {when: '${ .n < 3 }', then: next}}, {done: {then: continue}}]}
      - left: {if: '${ .n > 5 }', call: broken}
      - each:
          for: {in: '${ $context.items }', each: x}
          while: '${ .n < 100 }'
          do:
            - add: {call: increment, with: {n: '${ .n }', by: '${ $x }'}}
      - inside:
          do:
            - last: {call: increment, with: {n: '${ .n }'}}
          then: end
      - never: {call: broken}
    """,
    output={"n": 7},
)

flow(
    "branches",
    """
    do:
      - both:
          fork:
            branches:
              - left: {call: note, with: {n: 1}, export: {as: {left: '${ .n }'}}}
              - right:
                  do:
                    - pause: {wait: {milliseconds: 200}}
                    - note: {call: note, with: {n: 2}, export: {as: {right: '${ .n }'}}}
      - after: {call: note, with: {n: '${ $context }'}}
    """,
    output={"n": {"left": 1, "right": 2}},
)

flow(
    "competing",
    """
    do:
      - first:
          fork:
            compete: true
            branches:
              - slow: {call: slow}
              - quick: {call: note, with: {n: quick}}
      - after: {call: note, with: {n: '${ .n }'}}
    """,
    output={"n": "quick"},
)

# --- errors and time ------------------------------------------------------------------------------------------------

flow(
    "tried_again",
    """
    do:
      - again:
          try:
            - sure: {call: unsure}
            - twice: {call: flaky}
          catch:
            retry: {delay: {milliseconds: 200}, backoff: {exponential: {}}, limit: {attempt: {count: 8}}}
      - after: {call: note, with: {n: '${ . }'}}
    """,
    output={"n": "flaky"},
)

flow(
    "caught",
    """
    do:
      - outer:
          try:
            - note: {call: note, with: {n: 1}}
            - odd: {raise: {error: {type: 'https://x.y/odd', status: 418, title: Odd}}}
          catch:
            errors: {with: {type: odd}}
            as: e
            do:
              - write: {call: note, with: {n: '${ $e.title }'}}
    """,
    output={"n": "Odd"},
)

flow(
    "uncaught",
    """
    do:
      - note: {call: note}
      - tried:
          try:
            - broken: {call: broken}
          catch: {errors: {with: {status: 418}}}
    """,
    fails=True,
)

flow(
    "time_out_of_a_task",
    """
    do:
      - hurried:
          try:
            - late:
                do:
                  - note: {call: note}
                  - never: {wait: P1D}
                timeout: {after: PT1S}
          catch:
            errors: {with: {status: 408}}
            do:
              - note: {call: note, with: {n: late}}
      - in_time: {call: note, with: {n: '${ .n }'}, timeout: {after: PT1M}}
    """,
    output={"n": "late"},
)

flow(
    "time_out_of_the_flow",
    """
    timeout: {after: PT1S}
    do:
      - note: {call: note}
      - never: {wait: P1D}
    """,
    fails=True,
)

flow(
    "waits",
    """
    do:
      - short: {wait: {milliseconds: 100}}
      - long: {wait: PT2S}
      - note: {call: note}
    """,
    output={"n": None},
)

# --- events ---------------------------------------------------------------------------------------------------------

flow(
    "hears_itself",
    """
    do:
      - tell: {emit: {event: {with: {source: me, type: told, data: {n: 5}}}}}
      - hear: {listen: {to: {one: {with: {type: told}}}}}
      - note: {call: note, with: {n: '${ .[0].n }'}}
    """,
    output={"n": 5},
)

flow(
    "hears_any",
    """
    do:
      - hear:
          listen:
            to:
              any:
                - with: {type: a}
                - with: {type: b, data: '${ .n > 1 }'}
      - note: {call: note, with: {n: '${ .[0].n }'}}
    """,
    event("1", 0.4, "b", {"n": 1}),
    event("2", 0.8, "b", {"n": 2}),
    output={"n": 2},
)

flow(
    "hears_all_that_belong_together",
    """
    do:
      - begin: {set: {rounds: [1, 2]}}
      - twice:
          for: {in: '${ .rounds }'}
          do:
            - hear:
                listen:
                  to:
                    all:
                      - {with: {type: a}, correlate: {room: {from: .data.room}}}
                      - {with: {type: b}, correlate: {room: {from: .data.room}}}
                output: {as: {a: '${ .[0].n }', b: '${ .[1].n }'}}
                export: {as: {last: '${ $output }', before: '${ $context.last }'}}
      - note: {call: note, with: {n: '${ $context }'}}
    """,
    event("1", 0.0, "a", {"room": 1, "n": 1}),
    event("2", 0.3, "a", {"room": 2, "n": 2}),
    event("3", 0.5, "b", {"room": 2, "n": 3}),
    event("4", 1.2, "b", {"room": 1, "n": 4}),
    output={"n": {"last": {"a": 2, "b": 3}, "before": {"a": 1, "b": 4}}},
)

flow(
    "hears_until",
    """
    do:
      - some:
          listen: {to: {any: [{with: {type: a}}], until: '${ .[1] != null }'}}
          foreach:
            item: each
            do:
              - note: {call: note, with: {n: '${ $each }'}}
            output: {as: .n}
            export: {as: {last: '${ $output }'}}
      - all_until: {listen: {to: {any: [], until: {one: {with: {type: stop}}}}, read: envelope}}
      - note: {call: note, with: {n: {last: '${ $context.last }', id: '${ .[1].id }'}}}
    """,
    event("1", 0.2, "a", 1),
    event("2", 0.6, "a", 2),
    event("3", 1.5, "stop"),
    output={"n": {"last": 2, "id": "2"}},
)

flow(
    "hears_in_a_race",
    """
    do:
      - race:
          fork:
            compete: true
            branches:
              - a: {listen: {to: {one: {with: {type: a}}}}}
              - b:
                  do:
                    - hear: {listen: {to: {one: {with: {type: b}}}}}
                    - note: {call: note, with: {n: '${ .[0] }'}}
      - note: {call: note, with: {n: '${ .n }'}}
    """,
    event("1", 0.5, "b", "won"),
    output={"n": "won"},
)

flow(
    "starts_by_one",
    """
    do:
      - tell: {emit: {event: {with: {source: me, type: go, data: {n: 1}}}}}
      - back: {listen: {to: {one: {with: {type: gone}}}}}
      - note: {call: note, with: {n: '${ .[0] }'}}
    """,
    output={"n": {"n": 1}},
    started="""
    schedule: {on: {one: {with: {type: go}}}}
    do:
      - note: {call: note, with: {n: '${ .[0].data.n }'}}
      - tell: {emit: {event: {with: {source: it, type: gone, data: '${ . }'}}}}
      - out: {set: {told: true}}
    """,
    beside=[("started", {"told": True})],
)

flow(
    "starts_by_all",
    """
    do:
      - a: {emit: {event: {with: {source: me, type: a, data: 1}}}}
      - b: {emit: {event: {with: {source: me, type: b, data: 2}}}}
      - c: {emit: {event: {with: {source: me, type: a, data: 3}}}}
      - note: {call: note}
    """,
    output={"n": None},
    started="""
    schedule: {on: {all: [{with: {type: a}}, {with: {type: b}}]}}
    do:
      - note: {call: note, with: {n: {a: '${ .[0].data }', b: '${ .[1].data }'}}}
    """,
    beside=[("started", {"n": {"a": 1, "b": 2}})],
)

flow(
    "starts_itself",
    """
    schedule: {on: {any: [{with: {type: again}}]}}
    do:
      - tell: {emit: {event: {with: {source: me, type: again}}}}
      - out: {set: {n: 1}}
    """,
    output={"n": 1},
    beside=[*[("starts-itself", {"n": 1})] * 2, ("starts-itself", None)],
)

# --- calls ----------------------------------------------------------------------------------------------------------

flow(
    "http",
    """
    do:
      - get:
          call: http
          with:
            method: get
            endpoint: https://service.test/things/{x}
            query: {q: '${ .x }'}
            headers: {X-Sent: a}
      - post:
          call: http
          with:
            method: post
            endpoint: https://service.test/things
            body: {got: '${ .query }', x: '${ .x }'}
      - put:
          call: http
          with:
            method: put
            endpoint: https://service.test/things
            body: '${ .body }'
            output: response
          output: {as: .content}
    """,
    output={
        "method": "PUT",
        "query": {},
        "x": "",
        "key": "01900000-0000-7000-8000-000000000001//do/2/put/1",
        "body": {"got": {"q": "1"}, "x": "a"},
    },
)

flow(
    "http_tried_again",
    """
    do:
      - weak:
          try:
            - call: {call: http, with: {method: post, endpoint: 'https://service.test/weak'}}
          catch:
            errors: {with: {type: communication, status: 503}}
            retry: {delay: {milliseconds: 500}, limit: {attempt: {count: 9}}}
      - refused:
          try:
            - call: {call: http, with: {method: get, endpoint: 'https://service.test/basic'}}
          catch:
            do:
              - note: {call: note, with: {n: '${ $error.status }'}}
    """,
    output={"n": 403},
)

flow(
    "credentials",
    """
    use:
      authentications:
        ann: {basic: {username: ann, password: pass word}}
        client:
          oauth2:
            authority: https://service.test
            endpoints: {token: /oauth/token}
            grant: client_credentials
            client: {id: well, secret: deep}
    do:
      - basic:
          call: http
          with:
            method: get
            endpoint: {uri: 'https://service.test/basic', authentication: {use: ann}}
      - bearer:
          call: http
          with:
            method: get
            endpoint: {uri: 'https://service.test/bearer', authentication: {bearer: {token: secret}}}
      - digest:
          call: http
          with:
            method: get
            endpoint:
              uri: https://service.test/digest
              authentication: {digest: {username: ann, password: pass word}}
      - oauth:
          call: http
          with:
            method: get
            endpoint: {uri: 'https://service.test/oauth', authentication: {use: client}}
    """,
    output={"welcome": True},
)

flow(
    "openapi",
    """
    do:
      - pet:
          call: openapi
          with:
            document: {endpoint: 'https://service.test/pets.json'}
            operationId: getPet
            parameters: {id: 7}
      - again:
          call: openapi
          with:
            document: {endpoint: 'https://service.test/pets.json'}
            operationId: getPet
            parameters: {id: '${ .id }'}
    """,
    output={"id": 7, "name": "Rex"},
)

flow(
    "reused",
    """
    use:
      functions:
        plus:
          do:
            - one: {call: increment, with: {n: '${ .n }'}}
            - two: {call: increment, with: {n: '${ .n }', by: 2}}
      extensions:
        - logged:
            extend: call
            when: '${ .n != 4 }'
            before:
              - before: {call: note, with: {n: before}, export: {as: {before: '${ .n }'}}}
            after:
              - after: {call: note, with: {n: '${ $task.output.n }'}}
    do:
      - a: {call: plus, with: {n: 1}}
      - b: {call: plus}
      - c: {set: {n: '${ .n }', before: '${ $context.before }'}}
    """,
    output={"n": 7, "before": "before"},
)

flow(
    "replaced_by_an_extension",
    """
    use:
      extensions:
        - cached:
            extend: call
            before:
              - hit:
                  if: '${ .x == 1 }'
                  do:
                    - note: {call: note, with: {n: cached}}
                  then: exit
    do:
      - dear: {call: slow}
      - note: {call: note, with: {n: '${ .n }'}}
    """,
    output={"n": "cached"},
)

flow(
    "processes",
    """
    do:
      - shell: {run: {shell: {command: 'cat; printf %s $1', stdin: '${ .x }', arguments: [b]}}}
      - code: {run: {shell: {command: exit 3}, return: code}, output: {as: {code: '${ . }'}}}
      - script:
          run:
            script: {language: python, code: 'import sys; print(sys.argv[1])', arguments: ['${ .code }']}
            return: all
    """,
    output={"code": 0, "stdout": "3\n", "stderr": ""},
)

# --- people and other runs ------------------------------------------------------------------------------------------

flow(
    "called_back",
    """
    do:
      - ask:
          call: callback
          with: {url: 'https://service.test/hook', payload: {x: '${ .x }'}, timeout_seconds: 600}
      - note: {call: note, with: {n: '${ . }'}}
    """,
    answer(0.5, "answered"),
    output={"n": "answered"},
)

flow(
    "approved",
    """
    do:
      - ask: {call: approval, with: {title: Ship?}}
      - note: {call: note, with: {n: '${ .decision }'}}
    """,
    decision("/do/0/ask", 0.8),
    output={"n": "approved"},
)

flow(
    "asks_a_model",
    """
    do:
      - ask:
          call: agent
          with: {prompt: '[1, 2]', tools: [increment], output_schema: {type: array}}
      - note: {call: note, with: {n: '${ .[1].n }'}}
    """,
    output={"n": 3},
)

flow(
    "runs_others",
    """
    do:
      - begin: {set: {n: 1}}
      - alone: {run: {await: false, workflow: {namespace: test, name: child, input: {n: 10}}}}
      - first: {run: {workflow: {namespace: test, name: child, input: {n: '${ .n }'}}}}
      - both:
          fork:
            branches:
              - a: {run: {workflow: {namespace: test, name: child, input: {n: 20}}}}
              - b: {run: {workflow: {namespace: test, name: child, input: {n: 30}}}}
      - bad:
          try:
            - bad: {run: {workflow: {namespace: test, name: bad}}}
          catch:
            do:
              - note: {call: note, with: {n: '${ $error.title }'}}
    """,
    output={"n": "Odd"},
    child="""
    do:
      - pause: {wait: {milliseconds: 200}}
      - add: {call: increment, with: {n: '${ .n }'}}
    """,
    bad="""
    do:
      - odd: {raise: {error: {type: 'https://x.y/odd', status: 418, title: Odd}}}
    """,
    beside=[("bad", None), *(("child", {"n": n}) for n in (11, 2, 21, 31))],
)

flow(
    "runs_itself",
    """
    do:
      - note: {call: note}
      - again:
          try:
            - run: {run: {workflow: {namespace: test, name: runs-itself}}}
          catch:
            do:
              - too_deep: {set: {title: '${ $error.title }'}}
    """,
    output={"title": "Nested too deep"},
    beside=[*[("runs-itself", {"title": "Nested too deep"})] * 2, ("runs-itself", None)],
)

# --- schedules ------------------------------------------------------------------------------------------------------

for rule, lasts_ms, ticks in (("every: PT2S", 5_700, 2), ("after: PT2S", 3_700, 2), ("cron: '* * * * *'", 25_000, 1)):
    flow(
        f"scheduled_{rule.partition(':')[0]}",
        f"""
        do:
          - wait: {{wait: {{milliseconds: {lasts_ms}}}}}
          - note: {{call: note}}
        """,
        output={"n": None},
        tick=f"""
        schedule: {{{rule}}}
        do:
          - note: {{call: note, with: {{n: tick}}}}
        """,
        beside=[("tick", {"n": "tick"})] * ticks,
    )

"""Documents: order within a stage, references, loops, headers, and every fault with its pointer."""

from typing import Any

import pytest

from stepwell.programs.flow.source import Source
from stepwell.programs.pipeline.chance import seed_of
from stepwell.programs.pipeline.execution import Execution, Origin
from stepwell.programs.pipeline.faults import Faults
from stepwell.programs.pipeline.running import Breath, Message, run_execution

from .documents import compiled, document, fault, faults, sent


async def test_headers_are_evaluated_and_kept_apart_from_the_payload() -> None:
    from stepwell.programs.pipeline.simulating import simulate

    from .documents import compiled

    pipeline = compiled(
        document({"set": {"id": 5}, "headers": {"id": {"$ref": "id"}, "n": {"$fn": "add(1,1)"}, "o": {"a": [1]}}})
    )
    ((message,),) = await simulate(pipeline, seed="s", started_at=0.0)
    assert message.header == {"id": 5, "n": 2, "o": {"a": [1]}}


async def test_earlier_stages_are_read_by_their_names() -> None:
    stages: list[dict[str, Any]] = [
        {"stage": "created", "set": {"id": 5}},
        {"set": {"of": {"$ref": "stages.created.payload.id"}}},
    ]
    assert await sent(document(*stages)) == [{"id": 5}, {"of": 5}]


async def test_a_template_sees_what_it_had_before() -> None:
    stage = {"repeat": 3, "set": {"o": {"n": {"$fn": "add(.o.n, 1)"}}}}
    first = {"emit": False, "set": {"x": 1}}
    pipeline = document(first, {**stage, "set": {**stage["set"]}}, state={"x": 1})  # type: ignore[dict-item]
    assert await fault(pipeline) == "State path not found: currentEvent.o.n"
    seeded = {"set": {"o": {"n": 0}}}
    again = {"source": "previous-stage", **stage}
    assert await sent(document(seeded, again)) == [{"o": {"n": n}} for n in range(4)]


async def test_a_wait_moves_the_clock_of_its_execution() -> None:
    stages: list[dict[str, Any]] = [
        {"set": {"t": {"$fn": "nows()"}}, "wait": "2m"},
        {"set": {"t": {"$fn": "nows()"}}},
    ]
    first, second = await sent(document(*stages))
    assert second["t"] - first["t"] == 120


async def test_executions_differ_and_each_has_its_own_state() -> None:
    stage = {"set": {"id": {"$fn": "uuid()"}, "n": {"$ref": "n"}}, "state": {"n": {"$fn": "add(state.n, 1)"}}}
    found = await sent(document(stage, stage, state={"n": 1}), executions=3)
    assert [payload["n"] for payload in found] == [1, 2] * 3
    assert len({payload["id"] for payload in found}) == 6


async def test_a_conditional_without_default_leaves_the_field_alone() -> None:
    loop = {
        "repeat": 3,
        "set": {"a": {"when": {"$fn": "eq(meta.loop.currentIteration, 2)"}, "value": "b"}},
    }
    assert await sent(document(loop)) == [{}, {"a": "b"}, {"a": "b"}]


@pytest.mark.parametrize(
    ("stage", "pointer", "said"),
    [
        ({"emit": 1}, "/pipeline/0/emit", "emit must be boolean or object"),
        ({"repeat": 0}, "/pipeline/0/repeat", "repeat must be > 0 (got 0) for stage: s1"),
        ({"repeatWhile": {"x": 1}}, "/pipeline/0/repeatWhile", "repeatWhile must use '$fn' for stage: s1"),
        ({"repeatUntil": {"$fn": "x"}}, "/pipeline/0/repeatUntil", "Unsupported repeatUntil function 'x'"),
        ({"wait": "5h"}, "/pipeline/0/wait", "Unsupported wait duration: 5h"),
        ({"wait": "1.5s"}, "/pipeline/0/wait", 'For input string: "1.5"'),
        ({"stage": "--"}, "/pipeline/0/stage", "stage must contain at least one letter or digit"),
        ({"stage": None, "name": ""}, "/pipeline/0/stage", "pipeline.stage must not be null"),
        ({"set": {"a": {"$ref": ""}}}, "/pipeline/0/set/a", "$ref must be a path"),
        ({"set": {"a..b": 1}}, "/pipeline/0/set/a..b", "must be a path without empty names"),
        ({"set": {"a": {"when": {"$fn": "x"}, "value": 1}}}, "/pipeline/0/set/a", "Unsupported when function 'x'"),
        ({"state": []}, "/pipeline/0/state", "state must be an object for stage: s1"),
        ({"headers": {"h": {"$fn": "f()"}}}, "/pipeline/0/headers/h", "Unsupported valueExpression 'f()'"),
        ({"query": {"connection": "c"}}, "/pipeline/0/query", "query.database must be defined for stage: s1"),
        (
            {"query": {"connection": "c", "database": "admin", "collection": "x"}},
            "/pipeline/0/query",
            "Disallowed database 'admin'",
        ),
        (
            {"query": {"source": "c", "find": {"a": {"$where": "1"}}}},
            "/pipeline/0/query",
            "Disallowed MongoDB operator '$where' in filter",
        ),
        ({"query": {"source": "c", "select": {"a": "b"}}}, "/pipeline/0/query", "must write below state"),
        ({"query": {"source": "c", "pick": "last"}}, "/pipeline/0/query", "must be first, random or next"),
        ({"expect": {"topic": ""}}, "/pipeline/0/expect", "expect.topic must not be blank for stage: s1"),
        ({"expect": {"topic": "t", "for": 1}}, "/pipeline/0/expect", "expect has no member 'for'"),
        ({"expect": {"topic": "t", "within": "0s"}}, "/pipeline/0/expect", "must be a length of time above 0"),
        ({"wireFormat": {}}, "/pipeline/0/wireFormat", "wireFormat requires contentType application/x-protobuf"),
    ],
)
def test_faults_of_a_stage(stage: dict[str, Any], pointer: str, said: str) -> None:
    ((found, message),) = faults(document(stage))
    assert found == pointer
    assert said in message


@pytest.mark.parametrize(
    ("more", "pointer", "said"),
    [
        ({"id": " "}, "/id", "id must not be blank"),
        ({"messageType": ""}, "/messageType", "Workflow messageType must not be blank"),
        ({"contentType": "text/xml"}, "/contentType", "Unsupported workflow contentType: text/xml"),
        ({"executions": 0}, "/executions", "executions must be > 0"),
        ({"executions": 1.5}, "/executions", "executions must be a whole number (got 1.5)"),
        ({"concurrency": 0}, "/concurrency", "concurrency must be > 0"),
        ({"rate": 0}, "/rate", "rate must be a number of messages per second > 0 (got 0)"),
        ({"seed": []}, "/seed", "seed must be a text or a whole number (got [])"),
        ({"onBrokerDown": "cry"}, "/onBrokerDown", "onBrokerDown must be fail or wait"),
        ({"state": {"a": {"$fn": "x()"}}}, "/state/a", "Unsupported valueExpression 'x()'"),
        ({"pipeline": {}}, "/pipeline", "pipeline must not be empty"),
        ({"pipeline": [1]}, "/pipeline/0", "a stage must be an object (got 1)"),
        ({"topic": 1}, "/topic", "topic must be a text (got 1)"),
    ],
)
def test_faults_of_the_top_level(more: dict[str, Any], pointer: str, said: str) -> None:
    assert (pointer, said) in [(found, message[: len(said)]) for found, message in faults(document({}) | more)]


def test_all_faults_are_found_at_once() -> None:
    found = faults(document({"emit": 1, "wait": "x"}, {"source": "there"}, executions=0, id=""))
    assert [pointer for pointer, _ in found] == [
        "/id",
        "/executions",
        "/pipeline/0/emit",
        "/pipeline/0/wait",
        "/pipeline/1/source",
    ]


GROWS = {"when": {"$fn": "eq(meta.loop.currentIteration, 1)"}}


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (
            {"repeat": 60, "set": {"a": {**GROWS, "value": [1], "default": {"$fn": "list(.a, .a)"}}}},
            "a pass of a stage may copy and make at most 300000 values",
        ),
        (
            {"set": {"a": {"$fn": f"list({', '.join(['range(1, 10000)'] * 60)})"}}},
            "a pass of a stage may copy and make at most 300000 values",
        ),
        (
            {"repeat": 5_000, "emit": False, "set": {"a": {**GROWS, "value": 1, "default": {"b": {"$ref": "a"}}}}},
            "objects and arrays may lie at most 100 deep in each other",
        ),
    ],
    ids=["lists", "ranges", "depth"],
)
async def test_a_document_cannot_grow_without_end(stage: dict[str, Any], said: str) -> None:
    assert (await fault(document(stage))).startswith(said)


async def test_a_simulation_shows_so_many_bytes_and_no_more() -> None:
    stage = {"repeat": 5_000, "set": {"a": "x" * 20_000}}
    assert await fault(document(stage)) == "a simulation shows at most 64000000 bytes of payloads"


async def test_events_that_are_read_again_have_an_end() -> None:
    stage = {"repeat": 2_000, "set": {"n": {"$fn": "length(outputEvents)"}, "m": {"$path": "outputEvents"}}}
    said = await fault(document(stage))
    assert said.startswith(("a pass of a stage may copy", "outputEvents holds at most 1000 events"))


@pytest.mark.parametrize(
    ("more", "pointer", "said"),
    [
        ({"topic": "a b"}, "/topic", "topic must be of letters, digits"),
        ({"topic": "a" * 250}, "/topic", "topic must be of letters, digits"),
        ({"messageType": "rabbit", "topic": "a" * 256}, "/topic", "exchange and routing key must be of at most 255"),
        (
            {"messageType": "rabbit", "exchange": "é" * 128},
            "/exchange",
            "exchange and routing key must be of at most",
        ),
        ({"messageType": "rabbit", "routingKey": "a" * 256}, "/routingKey", "exchange and routing key must be of"),
    ],
)
def test_names_that_no_broker_takes(more: dict[str, Any], pointer: str, said: str) -> None:
    given = document({}, **more)
    noted = Faults(Source(given, {"": 1}))
    compiled(given).destination.check(noted)
    ((found, message),) = [(wrong.pointer, wrong.message) for wrong in noted.found]
    assert found == pointer
    assert message.startswith(said)


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ({"messageType": "kafka"}, ("t", "", "t")),
        ({"messageType": "rabbit"}, ("t", "", "t")),
        ({"messageType": "rabbit", "exchange": "x"}, ("t", "x", "t")),
        ({"messageType": "rabbit", "exchange": "x", "routingKey": "r"}, ("t", "x", "r")),
        ({"messageType": "rabbit", "topic": None, "exchange": "x"}, ("", "x", "")),
    ],
)
def test_messages_carry_where_they_go(place: dict[str, Any], address: tuple[str, str, str]) -> None:
    (message,) = run_execution(compiled(document({}, **place)), execution_of_a_run())
    assert isinstance(message, Message)
    assert (message.topic, message.exchange, message.routing_key) == address
    assert message.content_type == "application/json"


def execution_of_a_run() -> Execution:
    return Origin(workflow_id="wf", run_id="r", seed=seed_of("s"), started_at=0.0).execution(1)


def breaths(*stages: dict[str, Any]) -> int:
    """How often an execution that sends nothing lets others go on."""
    silent = [{"emit": False, **stage} for stage in stages]
    pipeline = compiled(document(*silent, state={"l": [0] * 5_000}))
    return sum(type(effect) is Breath for effect in run_execution(pipeline, execution_of_a_run()))


def test_an_execution_lets_others_go_on_by_what_it_does() -> None:
    copies = {"set": {"a": {"$ref": "state.l"}}}
    assert breaths({"repeat": 1_000, "set": {"a": 1}}) == 10
    assert breaths({"repeat": 1_000, **copies}) >= 90
    assert breaths(*[copies] * 100) >= 9

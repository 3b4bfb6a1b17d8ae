"""The words of every refusal that the language has, as its clients know them."""

from typing import Any

import pytest

from stepwell.programs.pipeline.protobuf import compile_text, packed

from .documents import document, fault

FRAME = {"type": "binary-prefix", "prefix": {"size": 2, "source": "messagePrefix", "value": 7}}


def framed(**prefix: Any) -> dict[str, Any]:
    return {**FRAME, "prefix": {**FRAME["prefix"], **prefix}}  # type: ignore[dict-item]


def setting(function: str) -> dict[str, Any]:
    return {"set": {"a": {"$fn": function}}}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"messageType": "jms"}, "Unsupported workflow messageType: jms"),
        ({"producerName": " "}, "producerName must not be blank"),
        ({"pipeline": []}, "pipeline must not be empty"),
        ({"state": {"a": 1, "a.b": 2}}, "State path is not an object: state.a"),
        ({"state": {"b": {"$ref": "state.a"}}}, "State path not found: state.a"),
    ],
)
async def test_words_about_the_top_level(more: dict[str, Any], said: str) -> None:
    assert await fault(document({}) | more) == said


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"source": "next-stage"}, "Unsupported source 'next-stage' for stage: s1"),
        ({"source": "previous-stage"}, "State path not found: lastAppendedEvent.payload"),
        ({"repeatUntil": {"$ref": "a"}}, "repeatUntil must use '$fn' for stage: s1"),
        ({"emit": {"$ref": "a"}}, "emit must use '$fn' for stage: s1"),
        ({"emit": {"$fn": "lt(1)"}}, "condition function must have exactly 2 arguments for step: s1-1-append"),
        ({"wait": "-5s"}, "wait millis must be >= 0"),
        ({"wait": "abcms"}, 'For input string: "abc" (wait must be a whole number of ms, s or m)'),
        ({"set": {"a": 1, "a.b": 2}}, "State path is not an object: currentEvent.a"),
        ({"set": {"a": {"$ref": "b"}}}, "State path not found: state.b"),
        ({"set": {"a": {"$path": "meta.x"}}}, "State path not found: meta.x"),
        ({"set": {"a": {"when": 1, "value": 2}}}, "when must be an object for set field: a"),
        ({"set": {"a": {"when": {"$ref": "b"}, "value": 2}}}, "when must use '$fn' for set field: a"),
        ({"query": {"database": "d"}}, "query.connection must be defined for stage: s1"),
        ({"query": {"connection": "c", "database": "d"}}, "query.collection must be defined for stage: s1"),
        (setting("add(.b, 1)"), "State path not found: currentEvent.b"),
        (setting("add(1, 2"), "Unbalanced parentheses in add(1, 2 for step: s1-1-set-1"),
        (setting("add(1, 'x)"), "Unclosed quoted argument in add(1, 'x) for step: s1-1-set-1"),
        (setting("add(1,)"), "expression argument must not be blank"),
        (setting("add(1)"), "add requires exactly 2 arguments"),
        (setting("sub(1, true)"), "Numeric function requires numeric arguments for step: s1-1-set-1"),
        (setting("percent(1, 0)"), "percent divisor must not be 0"),
        (setting("int(2,1)"), "minInclusive must be <= maxInclusive"),
        (setting("lt(1,2)"), "Unsupported valueExpression 'lt(1,2)' for step: s1-1-set-1"),
        (setting(".a"), "Unsupported valueExpression '.a' for step: s1-1-set-1"),
        (setting("choice()"), "choice requires at least one option"),
        (setting("choice(a,)"), "choice options must not be blank"),
        (setting("choiceWeighted()"), "choiceWeighted requires at least one option"),
        (setting("choiceWeighted(a:1,)"), "choiceWeighted options must not be blank"),
        (setting("choiceWeighted(a)"), "choiceWeighted option must use value:weight format"),
        (setting("choiceWeighted(a:x)"), "choiceWeighted option must use value:weight format"),
        (setting("choiceWeighted(a:0)"), "choiceWeighted weight must be > 0"),
        (
            {"emit": {"$fn": "lt(state.n, 1)"}},
            "condition comparison operands must not be null for step: s1-1-append",
        ),
        (
            {"repeatWhile": {"$fn": "gt(1, 'a')"}},
            "repeatWhile comparison requires matching comparable values for step: s1-1-repeat",
        ),
    ],
)
async def test_words_about_a_stage(stage: dict[str, Any], said: str) -> None:
    assert await fault(document(stage, state={"n": None})) == said


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"schemaId": None}, "schemaId must be defined in stage for protobuf contentType. stage: s1"),
        ({"schemaId": "other"}, "Schema not found in DB: other"),
        ({"schemaId": None, "wireFormat": FRAME}, "wireFormat requires schemaId in stage for stage: s1"),
        ({"wireFormat": {**FRAME, "type": None}}, "wireFormat.type must be defined for stage: s1"),
        ({"wireFormat": {**FRAME, "type": "avro"}}, "Unsupported wireFormat.type 'avro' for stage: s1"),
        ({"wireFormat": {**FRAME, "prefix": 1}}, "wireFormat.prefix must be an object for stage: s1"),
        ({"wireFormat": framed(size="2")}, "wireFormat.prefix.size must be a number for stage: s1"),
        ({"wireFormat": framed(size=4)}, "wireFormat.prefix.size must be 2 (got 4) for stage: s1"),
        ({"wireFormat": framed(source=None)}, "wireFormat.prefix.source must be defined for stage: s1"),
        ({"wireFormat": framed(source="x")}, "Unsupported wireFormat.prefix.source 'x' for stage: s1"),
        ({"wireFormat": framed(value="7")}, "wireFormat.prefix.value must be a number for stage: s1"),
        (
            {"wireFormat": framed(value=65_536)},
            "wireFormat.prefix.value must be in range 0..65535 (got 65536) for stage: s1",
        ),
        (
            {"set": {"other": 1}, "wireFormat": FRAME},
            "Failed to map payload to protobuf message 'Order' for step: s1-1-send",
        ),
    ],
)
async def test_words_about_protobuf(stage: dict[str, Any], said: str) -> None:
    schema = packed(compile_text('syntax = "proto3"; message Order { string id = 1; }'), "")
    found = document({"schemaId": "order", **stage}, contentType="protobuf", **{"$schemas": {"order": schema}})
    assert (await fault(found)).startswith(said)

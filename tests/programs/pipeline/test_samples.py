"""Samples stand in for records and messages in a simulation."""

from typing import Any

import pytest

from stepwell.programs.pipeline.simulating import SimulationError, simulate

from .documents import compiled, document, fault, faults, sent

SELECT = {"state.name": "name", "state.city": {"field": "address.city", "default": "nowhere"}}
READ = {"name": {"$ref": "state.name"}, "city": {"$ref": "state.city"}}
MATCH = {"topic": "answers", "match": {"id": {"$ref": "id"}}, "as": "state.answer"}


def asking(sample: Any) -> dict[str, Any]:
    return document({"query": {"source": "people", "select": SELECT, "sample": sample}, "set": READ})


def expecting(sample: Any) -> dict[str, Any]:
    stages: list[dict[str, Any]] = [
        {"set": {"id": 7}, "expect": {**MATCH, "sample": sample}},
        {"set": {"found": {"$ref": "state.answer"}}},
    ]
    return document(*stages)


async def test_a_sample_is_what_a_query_finds() -> None:
    assert await sent(asking({"name": "Ada", "address": {"city": "Paris"}})) == [{"name": "Ada", "city": "Paris"}]
    assert await sent(asking({"name": {"$fn": "upper('ada')"}})) == [{"name": "ADA", "city": "nowhere"}]


async def test_without_a_sample_a_query_is_passed_over() -> None:
    assert await fault(asking(None)) == "State path not found: state.name"


def test_a_sample_of_a_record_is_an_object() -> None:
    said = "query.sample must be an object (got [1]) for stage: s1"
    assert faults(asking([1])) == [("/pipeline/0/query", said)]


async def test_a_sample_is_the_message_that_is_expected() -> None:
    found = await sent(expecting({"id": {"$ref": "id"}, "ok": True}))
    assert found == [{"id": 7}, {"found": {"id": 7, "ok": True}}]


async def test_a_sample_that_would_never_be_taken_is_an_error() -> None:
    assert await fault(expecting({"id": 8})) == "expect.sample is not what expect.match wants for stage: s1"


async def test_an_error_knows_the_messages_before_it() -> None:
    stage = {"set": {"n": {"$fn": "percent(1, state.n)"}}, "state": {"n": {"$fn": "sub(state.n, 1)"}}}
    with pytest.raises(SimulationError, match="percent divisor must not be 0") as caught:
        await simulate(compiled(document(stage, stage, state={"n": 1})), seed="s", started_at=0.0, executions=2)
    assert [[message.n for message in messages] for messages in caught.value.messages] == [[1]]

"""Schemas of messages and saved workflows, over HTTP; protobuf on the wire."""

import asyncio
import base64
import sys
from typing import Any

import pytest

from stepwell.programs.pipeline import protobuf

from .house import House, pipeline

SCHEMAS = "/api/schemas"
WORKFLOWS = "/api/workflows"
PROTO = 'syntax = "proto3";\npackage shop;\nmessage Order { string id = 1; int32 amount = 2; }\nmessage Other {}\n'
ORDER = {"id": "order", "type": "protobuf", "schema": PROTO}


@pytest.fixture
async def known(house: House) -> House:
    """A house that knows the schema."""
    answer = await house.client.post(SCHEMAS, json=ORDER)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {**ORDER, "root": "shop.Order"}
    return house


async def test_schemas_are_listed_replaced_and_deleted(known: House) -> None:
    client = known.client
    await client.post(SCHEMAS, json={"id": "a", "type": "json", "schema": '{"type": "object"}'})
    assert [schema["id"] for schema in (await client.get(SCHEMAS)).json()] == ["a", "order"]
    for method in (client.put, client.post):
        replaced = await method(f"{SCHEMAS}/order", json={**ORDER, "root": "Other"})
        assert (replaced.status_code, replaced.json()["root"]) == (200, "shop.Other")
    assert (await client.delete(f"{SCHEMAS}/order")).status_code == 204
    assert [schema["id"] for schema in (await client.get(SCHEMAS)).json()] == ["a"]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "protobuf", "schema": PROTO}, "schema id must not be blank"),
        ({"id": "a", "schema": PROTO}, "Unsupported schema type: none"),
        ({"id": "a", "type": "avro", "schema": "{}"}, "Unsupported schema type: avro"),
        ({"id": "a", "type": "json"}, "schema must not be blank"),
        ({"id": "a", "type": "protobuf"}, "schema must not be blank"),
        ({"id": "a", "type": "protobuf", "schema": "message {"}, "protobuf schema does not compile: 1:"),
        ({"id": "a", "type": "protobuf", "schema": 'syntax = "proto3";'}, "must define a message"),
        ({"id": "a", "type": "protobuf", "schema": PROTO, "root": "Nope"}, "has no message 'Nope'"),
        ({"id": "a", "type": "protobuf", "descriptors": "*"}, "descriptors must be base64"),
        ({"id": "a", "type": "protobuf", "descriptors": "AAAA"}, "descriptors cannot be read"),
    ],
)
async def test_a_schema_that_cannot_be(house: House, schema: Any, said: str) -> None:
    answer = await house.client.post(SCHEMAS, json=schema)
    assert (answer.status_code, said in answer.json()["message"]) == (400, True), answer.text


async def test_without_the_extra_protobuf_is_an_error_that_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    answer = await house.client.post(SCHEMAS, json=ORDER)
    assert (answer.status_code, answer.json()) == (400, {"message": "protobuf needs the extra `stepwell[protobuf]`"})


async def test_a_schema_may_come_as_descriptors(house: House) -> None:
    data = base64.b64encode(await asyncio.to_thread(protobuf.compile_text, PROTO)).decode()
    answer = await house.client.post(SCHEMAS, json={"id": "a", "type": "protobuf", "descriptors": data})
    assert (answer.status_code, answer.json()["root"]) == (201, "shop.Order")


@pytest.mark.parametrize(
    ("frame", "prefix"),
    [
        (None, b""),
        ({"size": 2, "source": "messageType"}, b"\x00\x01"),
        ({"size": 2, "source": "messagePrefix", "value": 65_535}, b"\xff\xff"),
    ],
)
@pytest.mark.parametrize("inherited", [True, False])
async def test_messages_go_out_as_protobuf(known: House, frame: Any, prefix: bytes, *, inherited: bool) -> None:
    stage: dict[str, Any] = {"set": {"id": "a", "amount": 5}}
    if frame is not None:
        stage["wireFormat"] = {"type": "binary-prefix", "prefix": frame}
    if not inherited:
        stage["schemaId"] = "order"
    more = {"schemaId": "order"} if inherited else {}
    run_id = await known.execute(pipeline(stage, contentType="protobuf", **more))
    assert (await known.ended(run_id))["status"] == "COMPLETED"
    (message,) = known.brokers.only.taken
    assert message.content_type == "application/x-protobuf"
    assert message.body == prefix + b"\x0a\x01a\x10\x05"
    (group,) = (await known.events(run_id))["executions"]
    assert group["events"][0]["payload"] == {"id": "a", "amount": 5}


async def test_a_run_keeps_the_schema_that_it_was_started_with(known: House) -> None:
    document = pipeline({"set": {"id": "a"}, "wait": "300ms"}, {"set": {"id": "b"}}, contentType="protobuf")
    run_id = await known.execute({**document, "schemaId": "order"})
    await known.brokers.posted(1)
    assert (await known.client.delete(f"{SCHEMAS}/order")).status_code == 204
    assert (await known.ended(run_id))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({}, "schemaId must be defined in stage for protobuf contentType. stage: s1"),
        ({"schemaId": "nope"}, "Schema not found in DB: nope"),
        ({"schemaId": "json"}, "Schema must be protobuf for schemaId: json"),
        (
            {"schemaId": "order", "set": {"nope": 1}},
            "Failed to map payload to protobuf message 'shop.Order' for step: s1-1-send",
        ),
        ({"schemaId": "order", "set": {"amount": "many"}}, "Failed to map payload"),
    ],
)
async def test_protobuf_that_cannot_be(known: House, stage: dict[str, Any], said: str) -> None:
    await known.client.post(SCHEMAS, json={"id": "json", "type": "json", "schema": "{}"})
    answer = await known.client.post("/engine/simulate", json=pipeline(stage, contentType="protobuf"))
    assert (answer.status_code, said in answer.json()["message"]) == (400, True), answer.text


# --- saved workflows ------------------------------------------------------------------------------------------------


async def test_workflows_are_saved_read_replaced_and_deleted(house: House) -> None:
    client, document = house.client, pipeline({"set": {"n": 1}})
    created = await client.post(WORKFLOWS, json=document)
    assert (created.status_code, created.json(), created.headers["location"]) == (
        201,
        document,
        f"{WORKFLOWS}/orders",
    )
    again = await client.post(WORKFLOWS, json=document)
    assert (again.status_code, again.json()["message"]) == (400, "Workflow already exists: orders")
    changed = pipeline({"set": {"n": 2}}, note="kept as it is")
    assert (await client.put(f"{WORKFLOWS}/orders", json=changed)).json() == changed
    assert (await client.get(f"{WORKFLOWS}/orders")).json() == changed
    assert (await client.get(WORKFLOWS)).json() == [changed]
    other = await client.put(f"{WORKFLOWS}/orders", json={**document, "id": "other"})
    assert (other.status_code, other.json()["message"]) == (400, "Workflow id mismatch: orders and other")
    assert (await client.put(f"{WORKFLOWS}/nothing", json=document)).status_code == 404
    wrong = await client.put(f"{WORKFLOWS}/orders", json=pipeline({"wait": "soon"}))
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (400, "/pipeline/0/wait")
    assert (await client.delete(f"{WORKFLOWS}/orders")).status_code == 204
    assert (await client.get(f"{WORKFLOWS}/orders")).status_code == 404


async def test_a_schema_in_use_stays(known: House) -> None:
    document = pipeline({"schemaId": "order"}, contentType="protobuf")
    assert (await known.client.post(WORKFLOWS, json=document)).status_code == 201
    refused = await known.client.delete(f"{SCHEMAS}/order")
    assert (refused.status_code, refused.json()["message"]) == (400, "Schema is used by workflow: orders")

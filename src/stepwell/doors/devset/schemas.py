"""The schemas that messages are encoded by: JSON Schema and protobuf, kept as records of their owner."""

import asyncio
import base64
import binascii
from collections.abc import Collection
from typing import Any, Final

from stepwell.doors.devset.api import SCHEMAS, api
from stepwell.doors.devset.errors import NameMissingError
from stepwell.doors.devset.owning import DOCUMENT, SCHEMA, drop, find, owned, put
from stepwell.doors.devset.wire import NewSchema, Schema
from stepwell.doors.kit import Answer, Call, Reply
from stepwell.programs.pipeline import protobuf
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.schemas import Packed, ids_named

TYPES: Final = ("json", "protobuf")


@api.get(SCHEMAS, summary="List schemas", answers={200: Answer(type=list[Schema], meaning="by id")})
async def list_schemas(call: Call) -> Reply:
    return Reply(body=[_shown(record.data) for record in await owned(call, SCHEMA)])


@api.post(
    SCHEMAS,
    summary="Keep a schema",
    answers={201: Answer(type=Schema, meaning="the schema; one of the same id is replaced")},
    fails={400: "the schema is wrong"},
)
async def create_schema(call: Call, body: NewSchema) -> Reply:
    """Protobuf text is compiled at once; runs keep the schema that they were started with."""
    return Reply(body=await _keep(call, body), status=201)


@api.post(
    f"{SCHEMAS}/{{id}}",
    summary="Replace a schema",
    answers={200: Answer(type=Schema, meaning="the schema")},
    fails={400: "the schema is wrong", 404: "there is no such schema"},
)
async def post_schema(call: Call, body: NewSchema) -> Reply:
    return Reply(body=await _replace(call, body))


@api.put(
    f"{SCHEMAS}/{{id}}",
    summary="Replace a schema",
    answers={200: Answer(type=Schema, meaning="the schema")},
    fails={400: "the schema is wrong", 404: "there is no such schema"},
)
async def put_schema(call: Call, body: NewSchema) -> Reply:
    return Reply(body=await _replace(call, body))


@api.delete(
    f"{SCHEMAS}/{{id}}",
    summary="Delete a schema",
    answers={204: Answer(meaning="it is gone")},
    fails={400: "a saved workflow names it", 404: "there is no such schema"},
)
async def delete_schema(call: Call) -> Reply:
    id = call.path("id")
    await _known(call, id)
    users = await _naming(call, id)
    if users:
        raise RuleError(f"Schema is used by workflow: {users[0]}")
    await drop(call, SCHEMA, id)
    return Reply(status=204)


async def _naming(call: Call, id: str) -> list[str]:
    """The ids of the caller's saved workflows that name a schema."""
    return [record.data["id"] for record in await owned(call, DOCUMENT) if id in ids_named(record.data)]


async def packed_schemas(call: Call, ids: Collection[str]) -> dict[str, Packed]:
    """Those of the ids that are known, as they travel with a document. The caller's own go before the server's."""
    known: dict[str, Packed] = call.request.app.state.connections.schemas
    found = {id: known[id] for id in ids if id in known}
    for id in ids:
        data = await find(call, SCHEMA, id)
        if data is not None:
            found[id] = Packed(descriptors=data["descriptors"], root=data["root"])
    return found


async def _replace(call: Call, body: NewSchema) -> Schema:
    id = call.path("id")
    await _known(call, id)
    if body.id and body.id != id:
        raise RuleError(f"Schema id mismatch: {id} and {body.id}")
    return await _keep(call, body, id=id)


async def _known(call: Call, id: str) -> dict[str, Any]:
    data = await find(call, SCHEMA, id)
    if data is None:
        raise NameMissingError(f"Schema not found: {id}")
    return data


async def _keep(call: Call, body: NewSchema, *, id: str = "") -> Schema:
    id = (id or body.id).strip()
    if not id:
        raise RuleError("schema id must not be blank")
    kind = body.type.strip().lower()
    if kind not in TYPES:
        raise RuleError(f"Unsupported schema type: {body.type or 'none'} (it must be {' or '.join(TYPES)})")
    descriptors, root = "", body.root
    if kind == "protobuf":
        descriptors, root = await _compiled(body)
    elif not (body.schema or "").strip():
        raise RuleError("schema must not be blank")
    data = {"id": id, "type": kind, "root": root, "schema": body.schema, "descriptors": descriptors}
    await put(call, SCHEMA, id, data)
    return _shown(data)


async def _compiled(body: NewSchema) -> tuple[str, str]:
    """The descriptor set in base64 and the name of the root message. The compiler takes a moment: in a thread."""
    if body.descriptors:
        try:
            data = base64.b64decode(body.descriptors, validate=True)
        except binascii.Error:
            raise RuleError("descriptors must be base64") from None
    elif (body.schema or "").strip():
        data = await asyncio.to_thread(protobuf.compile_text, body.schema or "")
    else:
        raise RuleError("schema must not be blank")
    found = protobuf.packed(data, body.root)
    return found.descriptors, found.root


def _shown(data: dict[str, Any]) -> Schema:
    return Schema(id=data["id"], type=data["type"], root=data["root"], schema=data["schema"])

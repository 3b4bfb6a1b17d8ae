"""Saved workflows: documents of pipelines that are kept to be executed later, as they were given."""

from typing import Any

import msgspec

from stepwell.doors.devset.api import DOCUMENTS, api
from stepwell.doors.devset.errors import NameMissingError
from stepwell.doors.devset.owning import DOCUMENT, drop, find, owned, put
from stepwell.doors.devset.pipelines import take
from stepwell.doors.kit import Answer, Call, Reply
from stepwell.programs.pipeline.faults import RuleError


@api.get(DOCUMENTS, summary="List saved workflows", answers={200: Answer(type=list[dict[str, Any]], meaning="by id")})
async def list_documents(call: Call) -> Reply:
    return Reply(body=[record.data for record in await owned(call, DOCUMENT)])


@api.post(
    DOCUMENTS,
    summary="Save a workflow",
    bodies={"application/json": dict},
    answers={201: Answer(type=dict[str, Any], meaning="the document")},
    fails={400: "the document is wrong, or its id is taken"},
    keyed=False,
)
async def create_document(call: Call) -> Reply:
    """It is checked as it would be for a run."""
    id, document = await _checked(call)
    if not await put(call, DOCUMENT, id, document, only_new=True):
        raise RuleError(f"Workflow already exists: {id}")
    return Reply(body=document, status=201, headers={"Location": f"{DOCUMENTS}/{id}"})


@api.get(
    f"{DOCUMENTS}/{{id}}",
    summary="Get a saved workflow",
    answers={200: Answer(type=dict[str, Any], meaning="the document")},
    fails={404: "there is no such workflow"},
)
async def get_document(call: Call) -> Reply:
    return Reply(body=await _known(call))


@api.put(
    f"{DOCUMENTS}/{{id}}",
    summary="Replace a saved workflow",
    bodies={"application/json": dict},
    answers={200: Answer(type=dict[str, Any], meaning="the document")},
    fails={400: "the document is wrong, or has another id", 404: "there is no such workflow"},
    keyed=False,
)
async def put_document(call: Call) -> Reply:
    await _known(call)
    id, document = await _checked(call)
    if id != call.path("id"):
        raise RuleError(f"Workflow id mismatch: {call.path('id')} and {id}")
    await put(call, DOCUMENT, id, document)
    return Reply(body=document)


@api.delete(
    f"{DOCUMENTS}/{{id}}",
    summary="Delete a saved workflow",
    answers={204: Answer(meaning="it is gone; runs of it are not")},
    fails={404: "there is no such workflow"},
)
async def delete_document(call: Call) -> Reply:
    await _known(call)
    await drop(call, DOCUMENT, call.path("id"))
    return Reply(status=204)


async def _checked(call: Call) -> tuple[str, dict[str, Any]]:
    pipeline = (await take(call)).pipeline
    document: dict[str, Any] = msgspec.json.decode(await call.body())
    return pipeline.id, document


async def _known(call: Call) -> dict[str, Any]:
    id = call.path("id")
    document = await find(call, DOCUMENT, id)
    if document is None:
        raise NameMissingError(f"Workflow not found: {id}")
    return document

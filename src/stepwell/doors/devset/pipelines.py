"""Documents of pipelines on their way in: read, checked, and kept as definitions of the engine.

A definition is named by its owner and the document's id and versioned by its own digest, so that nobody's document
stands in the way of another's.
"""

import hashlib
from typing import Any, Final

import msgspec

from stepwell.doors.devset.schemas import packed_schemas
from stepwell.doors.kit import Call, MediaTypeError, NotJsonError
from stepwell.doors.kit.reading import JSON, media_type
from stepwell.programs.flow.json_text import read_json
from stepwell.programs.flow.source import Source
from stepwell.programs.pipeline.compiling import compile_pipeline
from stepwell.programs.pipeline.encoding import JSON as JSON_TEXT
from stepwell.programs.pipeline.model import Pipeline
from stepwell.programs.pipeline.schemas import ids_named, with_schemas
from stepwell.store.model import Record

KIND: Final = "pipeline"
NAMED: Final = "pipeline:"
"""What the names of such definitions begin with."""


class Taken(msgspec.Struct, frozen=True):
    """A document that has been checked: its compiled form, the text that is kept, and where in it is what."""

    pipeline: Any  # a Pipeline
    text: str
    source: Source


async def take(call: Call) -> Taken:
    """The document in a request's body, compiled.

    Raises `InvalidDefinitionError`, `NotJsonError`, `MediaTypeError`.
    """
    found = media_type(call.request)
    if found and found != JSON and not found.endswith("+json"):
        raise MediaTypeError([JSON], found)
    body = await call.body()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise NotJsonError("expected JSON in UTF-8, found other bytes") from None
    if not text.strip():
        raise NotJsonError("expected a workflow as JSON, found an empty body")
    return await check(call, text)


async def check(call: Call, text: str) -> Taken:
    """A document's text, compiled with the schemas that it names. Raises `InvalidDefinitionError`."""
    source = read_json(text)
    ids = set(ids_named(source.value))
    if ids:
        source = with_schemas(source, await packed_schemas(call, ids))
        text = JSON_TEXT.encode(source.value).decode()
    return Taken(compile_pipeline(source), text, source)


async def save(call: Call, taken: Taken) -> tuple[str, str]:
    """Keep a document as a definition; its name and version."""
    pipeline: Pipeline = taken.pipeline
    owner, store = call.principal.owner, call.engine.store
    name = f"{NAMED}{owner}/{pipeline.id}" if owner else f"{NAMED}{pipeline.id}"
    version = hashlib.sha256(taken.text.encode()).hexdigest()[:16]
    await call.engine.save(kind=KIND, name=name, version=version, text=taken.text)
    if not await store.get_records(KIND, id=name):  # whose it is (`engine/ownership.py`)
        await store.put_record(Record(kind=KIND, id=name, owner=owner, data={}), expect_version=0)
    return name, version

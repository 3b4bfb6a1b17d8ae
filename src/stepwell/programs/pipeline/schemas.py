"""The protobuf schemas of a document. They travel with it: a run keeps the ones that it was started with.

Whoever takes a document in (a door, the command line) puts the schemas that it names under `$schemas`, each as an
encoded descriptor set, so that compiling it needs no compiler and no database.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from stepwell.programs.flow.source import Source
from stepwell.programs.pipeline.encoding import MessageSchema
from stepwell.programs.pipeline.faults import RuleError

MEMBER: Final = "$schemas"


class Packed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schema as it travels: base64 of a FileDescriptorSet (empty for a JSON Schema), and its root message."""

    descriptors: str = ""
    root: str = ""


class Schemas:
    """The schemas of one document, by id."""

    def __init__(self, packed: Any = None) -> None:
        try:
            self._packed = msgspec.convert(packed or {}, dict[str, Packed])
        except msgspec.ValidationError as fault:
            raise RuleError(f"{MEMBER} cannot be read: {fault}") from None

    def find(self, id: str) -> MessageSchema | Literal["json"] | None:
        """The message type; "json" for a JSON Schema; None for an id that is not known. Raises `RuleError`."""
        packed = self._packed.get(id)
        if packed is None:
            return None
        return _unpacked(packed) if packed.descriptors else "json"


@lru_cache(maxsize=256)
def _unpacked(packed: Packed) -> MessageSchema:
    from stepwell.programs.pipeline.protobuf import from_descriptors  # here, since it needs an extra

    try:
        return from_descriptors(base64.b64decode(packed.descriptors, validate=True), packed.root)
    except binascii.Error:
        raise RuleError("protobuf descriptors must be base64") from None


def with_schemas(source: Source, known: Mapping[str, Packed]) -> Source:
    """The same document with those of the known schemas that it names."""
    named = {id: msgspec.to_builtins(known[id]) for id in ids_named(source.value) if id in known}
    return Source({**source.value, MEMBER: named}, source.lines) if named else source


def ids_named(document: Any) -> Iterator[str]:
    """The ids of schemas that a document names."""
    if not isinstance(document, Mapping):
        return
    stages = document.get("pipeline")
    for part in [document, *(stages if isinstance(stages, list) else ())]:
        id = part.get("schemaId") if isinstance(part, Mapping) else None
        if isinstance(id, str) and id.strip():
            yield id.strip()

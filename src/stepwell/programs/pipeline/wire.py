"""Protobuf content of a stage, and the `wireFormat` that frames it: checked when the stage is compiled."""

from typing import Any, Final

from stepwell.programs.pipeline.destinations import MessageType
from stepwell.programs.pipeline.encoding import MESSAGE_TYPE_PREFIX, PREFIX_BYTES, Encoding, MessageSchema
from stepwell.programs.pipeline.faults import RuleError
from stepwell.programs.pipeline.schemas import Schemas

MAX_PREFIX: Final = 0xFFFF


def compile_encoding(
    stage: dict[str, Any],
    name: str,
    type: MessageType,
    schemas: Schemas,
    *,
    protobuf: bool,
    schema: str | None,
) -> Encoding | None:
    """The encoding of a stage that emits; None for JSON. Raises `RuleError`."""
    frame = stage.get("wireFormat")
    if frame is not None and not protobuf:
        raise RuleError(f"wireFormat requires contentType application/x-protobuf for stage: {name}")
    if not protobuf:
        return None
    prefix, source = b"", ""
    if frame is not None:
        if not _text(stage.get("schemaId")) and not _inherited(schema, schemas):
            raise RuleError(f"wireFormat requires schemaId in stage for stage: {name}")
        prefix, source = _prefix(frame, name, type)
    return Encoding(schema=_schema(stage, name, schemas, schema), prefix=prefix, prefix_source=source)


def _schema(stage: dict[str, Any], name: str, schemas: Schemas, inherited: str | None) -> MessageSchema:
    """The stage's own schema, or the workflow's if that is a known one."""
    own = _text(stage.get("schemaId"))
    if own is not None:
        return _found(own, schemas)
    if inherited is not None and _inherited(inherited, schemas):
        return _found(inherited, schemas)
    raise RuleError(f"schemaId must be defined in stage for protobuf contentType. stage: {name}")


def _inherited(id: str | None, schemas: Schemas) -> bool:
    return id is not None and schemas.find(id) is not None


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _found(id: str, schemas: Schemas) -> MessageSchema:
    schema = schemas.find(id)
    if schema is None:
        raise RuleError(f"Schema not found in DB: {id}")
    if schema == "json":
        raise RuleError(f"Schema must be protobuf for schemaId: {id}")
    return schema


def _prefix(frame: Any, name: str, type: MessageType) -> tuple[bytes, str]:
    """Two bytes, the more significant first, and where they come from."""
    if not isinstance(frame, dict):
        raise RuleError(f"wireFormat must be an object for stage: {name}")
    kind = frame.get("type")
    if kind is None:
        raise RuleError(f"wireFormat.type must be defined for stage: {name}")
    if kind != "binary-prefix":
        raise RuleError(f"Unsupported wireFormat.type '{kind}' for stage: {name}")
    prefix = frame.get("prefix")
    if not isinstance(prefix, dict):
        raise RuleError(f"wireFormat.prefix must be an object for stage: {name}")
    size = prefix.get("size")
    if _is_no_number(size):
        raise RuleError(f"wireFormat.prefix.size must be a number for stage: {name}")
    if size != PREFIX_BYTES:
        raise RuleError(f"wireFormat.prefix.size must be {PREFIX_BYTES} (got {size}) for stage: {name}")
    return _prefix_value(prefix, name, type).to_bytes(PREFIX_BYTES, "big"), prefix["source"]


def _prefix_value(prefix: dict[str, Any], name: str, type: MessageType) -> int:
    source, value = prefix.get("source"), prefix.get("value")
    if source is None:
        raise RuleError(f"wireFormat.prefix.source must be defined for stage: {name}")
    if source == "messageType":
        return MESSAGE_TYPE_PREFIX[type]
    if source != "messagePrefix":
        raise RuleError(f"Unsupported wireFormat.prefix.source '{source}' for stage: {name}")
    if _is_no_number(value):
        raise RuleError(f"wireFormat.prefix.value must be a number for stage: {name}")
    if not isinstance(value, int) or not 0 <= value <= MAX_PREFIX:
        raise RuleError(f"wireFormat.prefix.value must be in range 0..{MAX_PREFIX} (got {value}) for stage: {name}")
    return value


def _is_no_number(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, int | float)

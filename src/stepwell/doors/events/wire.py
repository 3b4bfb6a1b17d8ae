"""CloudEvents in HTTP messages, to their JSON form. Source: CloudEvents 1.0.2, HTTP Protocol Binding and JSON Format.

Structured mode (`application/cloudevents+json`), batched (`application/cloudevents-batch+json`), and binary (the
attributes in `ce-` headers, the body is the data). Nothing of the engine in here.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from stepwell.core.errors import InvalidInputError
from stepwell.engine.events import check_event

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"

_TEXTS: Final = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
# RFC 3339 §5.6, as CloudEvents asks for it in `time`.
_TIME: Final = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
)
_HEADER_PREFIX: Final = "ce-"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

Event = dict[str, Any]


class UnsupportedMediaError(Exception):
    """A content type that is no form of a CloudEvent; says what was expected and found."""


def read_events(headers: Mapping[str, str], body: bytes) -> list[Event]:
    """The events of a request; `headers` have lower-case names.

    Raises `InvalidInputError`, `UnsupportedMediaError`.
    """
    content_type = headers.get("content-type", "")
    kind, charset = _media_type(content_type)
    if kind.startswith("application/cloudevents"):
        if kind not in (STRUCTURED, BATCH):
            raise UnsupportedMediaError(f"expected {STRUCTURED} or {BATCH}, found {kind}")
        if charset not in ("", "utf-8", "us-ascii"):
            raise UnsupportedMediaError(f"expected JSON in UTF-8, found charset={charset}")
        return _structured(body, batch=kind == BATCH)
    if "ce-specversion" not in headers:
        found = kind or "no content type"
        raise UnsupportedMediaError(
            f"expected {STRUCTURED}, {BATCH} or a ce-specversion header, found {found} without one"
        )
    return [checked(_binary(headers, body, content_type))]


def _media_type(content_type: str) -> tuple[str, str]:
    """Type and charset, in lower case."""
    message = Message()
    message["content-type"] = content_type
    kind = content_type.partition(";")[0].strip().lower()
    return kind, str(message.get_param("charset", "")).lower()


# --- structured and batched -----------------------------------------------------------------------------------------


def _structured(body: bytes, *, batch: bool) -> list[Event]:
    value = _json(body)
    if not batch:
        return [checked(value)]
    if not isinstance(value, list):
        raise InvalidInputError(f"expected a JSON array of events, found {_kind(value)}")
    return [checked(event, place=f"/{index}: ") for index, event in enumerate(value)]


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidInputError(f"expected JSON, found other text: {fault}") from None


def _kind(value: Any) -> str:
    return {dict: "an object", list: "an array", str: "text", bool: "a boolean"}.get(
        type(value), "null" if value is None else "a number"
    )


# --- binary ---------------------------------------------------------------------------------------------------------


def _binary(headers: Mapping[str, str], body: bytes, content_type: str) -> Event:
    event: Event = {
        name.removeprefix(_HEADER_PREFIX): _unescaped(name, value)
        for name, value in headers.items()
        if name.startswith(_HEADER_PREFIX)
    }
    for name in ("data", "datacontenttype"):
        if name in event:
            raise InvalidInputError(f"ce-{name}: expected no such header: that is the body, or its Content-Type")
    if content_type:
        event["datacontenttype"] = content_type
    if body:
        event.update(_data(body, content_type))
    return event


def _unescaped(name: str, value: str) -> str:
    """What stands percent-encoded in a header (HTTP Protocol Binding §3.1.3.2); also raw UTF-8, which some send."""
    text = value[1:-1].replace('\\"', '"') if len(value) > 1 and value[0] == value[-1] == '"' else value
    if _STRAY_PERCENT.search(text):
        raise InvalidInputError(f"{name}: expected two hexadecimal digits after each %, found {value!r}")
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeError:
        raise InvalidInputError(f"{name}: expected UTF-8, percent-encoded, found {value!r}") from None


def _data(body: bytes, content_type: str) -> Event:
    """JSON as its value, text as text, all else in base64."""
    kind, charset = _media_type(content_type)
    if kind in ("application/json", "text/json") or kind.endswith("+json"):
        return {"data": _json(body)}
    if kind.startswith("text/") or kind.endswith(("/xml", "+xml")):
        try:
            return {"data": body.decode(charset or "utf-8")}
        except (LookupError, UnicodeDecodeError) as fault:
            raise InvalidInputError(f"expected text in {charset or 'utf-8'}, found other bytes: {fault}") from None
    return {"data_base64": base64.b64encode(body).decode()}


# --- checks of one event --------------------------------------------------------------------------------------------


def checked(value: Any, *, place: str = "") -> Event:
    """A CloudEvent in JSON form; attributes that are null are left out (JSON Format §2.2)."""
    if not isinstance(value, dict):
        raise InvalidInputError(f"{place}expected a CloudEvent (a JSON object), found {_kind(value)}")
    if "specversion" not in value:
        raise InvalidInputError(f"{place}specversion: expected 1.0, found no such attribute")
    event = {name: item for name, item in value.items() if item is not None or name == "data"}
    try:
        event = check_event(event)
        for name, item in event.items():
            _check_attribute(name, item)
        if "data_base64" in event:
            _check_base64(event)
    except InvalidInputError as fault:
        raise InvalidInputError(f"{place}{fault}") from None
    return event


def _check_attribute(name: str, value: Any) -> None:
    if name == "data":
        return
    if name in _TEXTS or name == "data_base64":
        if not isinstance(value, str) or not value:
            raise InvalidInputError(f"{name}: expected a text that is not empty, found {_kind(value)}")
    elif not isinstance(value, str | bool | int) or (type(value) is int and abs(value) > 2**31):
        raise InvalidInputError(f"{name}: expected text, a 32-bit number or a boolean, found {_kind(value)}")
    if name == "time" and not _TIME.fullmatch(value):
        raise InvalidInputError(f"time: expected an instant like 2026-01-31T08:00:00Z (RFC 3339), found {value!r}")
    if name == "source" and any(sign.isspace() or not sign.isprintable() for sign in value):
        raise InvalidInputError(f"source: expected a URI reference, found {value!r}")


def _check_base64(event: Event) -> None:
    if "data" in event:
        raise InvalidInputError("data_base64: expected data or data_base64, found both")
    try:
        base64.b64decode(event["data_base64"], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("data_base64: expected base64, found other text") from None

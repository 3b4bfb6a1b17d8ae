"""Bodies of requests: JSON objects, whatever the client says they are, as this API takes them."""

import json
from typing import Any, Literal

import msgspec

from stepwell.doors.kit import Call, NotJsonError, decode_part
from stepwell.doors.llama.errors import BodyError


async def read_object(call: Call, *, of: Literal["start", "event"]) -> dict[str, Any]:
    """The object in the body. Raises `BodyError`."""
    body = await call.body()
    try:
        found = decode_part(body)
    except NotJsonError as fault:
        raise BodyError("json", _reason(body, fault), of=of) from None
    if not isinstance(found, dict):
        raise BodyError("shape", f"{_TYPES.get(type(found), 'None')!r} object has no attribute 'get'", of=of)
    return found


def unpacked(value: Any) -> Any:
    """A value, or what it is the JSON text of: held to the same limits as the body. Other text stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return decode_part(value.encode())
    except (NotJsonError, UnicodeEncodeError):
        return value


_TYPES = {list: "list", str: "str", int: "int", float: "float", bool: "bool", type(None): "NoneType"}


def _reason(body: bytes, fault: Exception) -> str:
    """Why it is no JSON, as clients of this API know it: in the words of Python's own reader."""
    try:
        json.loads(body)
    except (ValueError, RecursionError) as known:
        return str(known)
    return str(fault)  # NaN and the like, which that one takes


def encoded(value: Any) -> str:
    """A value in a message: short."""
    return msgspec.json.encode(value).decode(errors="replace")[:80]

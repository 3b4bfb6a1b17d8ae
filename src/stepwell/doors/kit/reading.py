"""A request's body and query as typed structs. Nothing of a door in here: each words the errors in its own table.

How large a body may be, how deep its JSON, and that no name stands in it twice is checked before (`security/limits`).
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar, get_origin

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request

from stepwell.doors.kit.faults import Fault, InvalidRequestError, MediaTypeError, NotJsonError
from stepwell.doors.kit.shapes import bare, read_value
from stepwell.security.limits.json_text import check_json
from stepwell.security.limits.sizes import BODY

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

JSON: Final = "application/json"
_LISTS: Final = (list, tuple, set, frozenset)


def media_type(request: Request) -> str:
    """What the body says it is, in lower case and without parameters; "" when it does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request) -> bytes:
    """The whole body. Without a walk through Starlette's stream where it was read whole before: as nearly always."""
    found: bytes | None = request.scope.get(BODY)
    return await request.body() if found is None else found


async def read_body(request: Request, wanted: type[T]) -> T:
    """The JSON body as `wanted`; no body at all is the empty object.

    Raises `MediaTypeError`, `NotJsonError`, `InvalidRequestError`.
    """
    body = await body_of(request)
    if not body:
        return read_value({}, wanted)
    found = media_type(request)
    if found != JSON and not (found.startswith("application/") and found.endswith("+json")):
        raise MediaTypeError([JSON], found)
    return read_value(decode_json(body), wanted)


def decode_json(text: bytes) -> Any:
    """Any JSON value (RFC 8259: no NaN, no Infinity). Raises `NotJsonError`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise NotJsonError(f"expected JSON, found other text: {fault}") from None


def decode_part(text: bytes) -> Any:
    """The JSON value of a part of a form, which nothing before us has looked at.

    Raises `NotJsonError`, and `AccessError` when it is too deep or has a name twice.
    """
    check_json(text)
    return decode_json(text)


def read_query(query: QueryParams, wanted: type[S]) -> S:
    """The query as a struct. A field that is a list takes `a=1,2` and `a=1&a=2`; for any other, once is enough.

    An empty value is no value. Names that the struct does not have are refused if it forbids them, else left alone.
    Raises `InvalidRequestError`.
    """
    types = {field.encode_name: field.type for field in msgspec.structs.fields(wanted)}
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name in dict.fromkeys(query):
        texts = [text for text in query.getlist(name) if text]
        if name in types and get_origin(bare(types[name])) in _LISTS:
            values[name] = [part for text in texts for part in text.split(",") if part]
        elif len(texts) > 1:
            faults.append(Fault(path=(name,), message=f"expected one value, found {len(texts)}"))
        elif texts:
            values[name] = texts[0]
    return _with(faults, values, wanted)


def _with(faults: Sequence[Fault], values: dict[str, Any], wanted: type[S]) -> S:
    """The values as `wanted`, once there are no faults of these or others; a fault names its parameter."""
    named = {fault.path for fault in faults}
    try:
        read = read_value(values, wanted, strict=False)
    except InvalidRequestError as error:
        others = [Fault(path=fault.path[:1], message=fault.message) for fault in error.faults]
        raise InvalidRequestError([*faults, *(fault for fault in others if fault.path not in named)]) from None
    if faults:
        raise InvalidRequestError(faults)
    return read

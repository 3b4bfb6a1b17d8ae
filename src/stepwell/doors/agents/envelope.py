"""What stands around the door's answers: `{data, meta, errors}` of every failure, and of a success that asks for it.

`Accept: application/json; profile="envelope"` asks. Lists have `{data, meta}` anyway, so only theirs is completed.
"""

import re
import time
import uuid
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from stepwell.doors.kit import Reply, instant, json_response

VERSION: Final = "1.0"
REQUEST_ID: Final = "x-request-id"
_KEPT: Final = "stepwell.request_id"
_FORM: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_PROFILE: Final = re.compile(r';\s*profile\s*=\s*"?envelope"?\s*(;|,|$)', re.IGNORECASE)


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """About the answer: the API's version, when it was given, and the id of its request."""

    version: str
    timestamp: str
    request_id: str


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list stands: how many there are in all, and what to send as `cursor` for the next page."""

    total_count: int
    has_more: bool
    cursor: str | None = None


class ListMeta(msgspec.Struct, frozen=True, kw_only=True):
    """About a list."""

    pagination: Pagination


def request_id(scope: Scope) -> str:
    """The id of a request: the client's own in `x-request-id`, else a new one; the same whenever it is asked for."""
    if _KEPT not in scope:
        sent = Headers(scope=scope).get(REQUEST_ID, "")
        scope[_KEPT] = sent if _FORM.fullmatch(sent) else f"req_{uuid.uuid4().hex}"
    return str(scope[_KEPT])


def meta(scope: Scope) -> Meta:
    """The `meta` of an answer given now."""
    return Meta(version=VERSION, timestamp=instant(time.time()), request_id=request_id(scope))


def render(request: Request, reply: Reply) -> Response:
    """A success: bare, or in the envelope when that is asked for; always with the id of its request."""
    if reply.status != 204 and _PROFILE.search(request.headers.get("accept", "")):
        reply = msgspec.structs.replace(reply, body=_enveloped(request.scope, reply.body))
    response = json_response(reply)
    response.headers[REQUEST_ID] = request_id(request.scope)
    return response


def _enveloped(scope: Scope, body: Any) -> dict[str, Any]:
    about = msgspec.to_builtins(meta(scope))
    plain = msgspec.to_builtins(body)
    if isinstance(plain, dict) and plain.keys() == {"data", "meta"}:
        return {"data": plain["data"], "meta": {**about, **plain["meta"]}, "errors": []}
    return {"data": plain, "meta": about, "errors": []}

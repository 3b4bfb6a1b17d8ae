"""What an operation answers before its door has put it into words."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A success: `body` is anything msgspec writes as JSON; None with status 204."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}


class Unfinished(Response):
    """How something stands that goes on. It is not kept under an idempotency key: a repeat is to see more."""


def json_response(reply: Reply, kind: type[Response] = Response) -> Response:
    """A reply as it is, without anything around it."""
    if reply.status == 204:
        return kind(None, 204, reply.headers)
    return kind(msgspec.json.encode(reply.body), reply.status, reply.headers, "application/json")


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A failure: an HTTP status, the door's code for it, text for people, and whatever says more."""

    status: int
    code: str
    message: str
    details: Any = None
    headers: Mapping[str, str] = {}

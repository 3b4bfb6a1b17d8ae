"""Problem JSON (RFC 9457) for whatever lies outside every door, and for faults that no door has translated."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stepwell.core.errors import StorageError

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"


def problem_response(status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> Response:
    """RFC 9457 §3: `type` stays about:blank, so `title` is the status' own phrase."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, and whatever a route raises as `HTTPException`."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return problem_response(error.status_code, _detail(request, error, headers), headers=headers)


async def on_storage_fault(_request: Request, error: Exception) -> Response:
    """The store cannot work: the client may try again."""
    return problem_response(503, str(error), headers={"Retry-After": "1"})


async def on_bug(request: Request, error: Exception) -> Response:
    """Something we did not expect: the log has it, the client only learns that it was us."""
    log.error("request.failed", method=request.method, path=request.url.path, error=repr(error))
    return problem_response(500, "the server failed to answer this request; its log says why")


def _detail(request: Request, error: HTTPException, headers: dict[str, str]) -> str:
    if error.status_code == 404:
        return f"there is nothing at {request.url.path}"
    if error.status_code == 405:
        return f"{request.url.path} does not take {request.method}, but {headers.get('Allow', 'other methods')}"
    return error.detail


HANDLERS = {HTTPException: on_http_exception, StorageError: on_storage_fault, Exception: on_bug}

"""Problem JSON (RFC 9457): the shape of doors that have none of their own, and of what lies outside every door."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, RefusedError, StorageError, WorkflowNotFoundError
from stepwell.doors.kit import (
    ErrorTable,
    Fault,
    InvalidRequestError,
    KeyPendingError,
    KeyReusedError,
    MediaTypeError,
    MissingError,
    NotJsonError,
    Wrong,
)
from stepwell.security.refusals import AccessError

MEDIA_TYPE: Final = "application/problem+json"


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure: what it is in general (`title`), and in this case (`detail`). Further members say more."""

    type: str
    title: str
    status: int
    detail: str


def problem_response(status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> Response:
    """RFC 9457 §3: `type` stays about:blank, so `title` is the status' own phrase."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def _word(_scope: Scope, wrong: Wrong) -> Response:
    return problem_response(wrong.status, wrong.message, headers=dict(wrong.headers), **(wrong.details or {}))


def _plain(status: int, error: Exception) -> Wrong:
    return Wrong(status=status, code="", message=str(error))


def _invalid(error: InvalidRequestError) -> Wrong:
    faults = [{"place": fault.place, "message": fault.message} for fault in error.faults]
    return Wrong(status=400, code="", message=str(error), details={"faults": faults})


def _invalid_definition(error: InvalidDefinitionError) -> Wrong:
    return _invalid(InvalidRequestError([Fault.at(fault.pointer, fault.message) for fault in error.faults]))


def _media_type(error: MediaTypeError) -> Wrong:
    return Wrong(status=415, code="", message=str(error), headers={"Accept": ", ".join(error.expected)})


def _access(error: AccessError) -> Wrong:
    refusal = error.refusal
    details = {"reason": refusal.reason.value}
    return Wrong(status=refusal.status, code="", message=refusal.detail, details=details, headers=refusal.headers)


def _refused(error: RefusedError) -> Wrong:
    return Wrong(status=404 if error.code == "not_found" else 409, code="", message=error.message)


def _http(error: HTTPException) -> Wrong:
    """Starlette's own 404 and 405, and whatever a route raises as `HTTPException`."""
    return Wrong(status=error.status_code, code="", message=error.detail, headers=dict(error.headers or {}))


def _pending(error: KeyPendingError) -> Wrong:
    return Wrong(status=409, code="", message=str(error), headers={"Retry-After": str(error.retry_after_s)})


def _storage(error: StorageError) -> Wrong:
    """The store cannot work: the client may try again."""
    return Wrong(status=503, code="", message=str(error), headers={"Retry-After": "1"})


def _unforeseen(_error: Exception) -> Wrong:
    return Wrong(status=500, code="", message="the server failed to answer this request; its log says why")


PROBLEMS: Final = ErrorTable(
    {
        InvalidRequestError: _invalid,
        InvalidDefinitionError: _invalid_definition,
        NotJsonError: lambda error: _plain(400, error),
        InvalidInputError: lambda error: _plain(400, error),
        MediaTypeError: _media_type,
        KeyReusedError: lambda error: _plain(422, error),
        KeyPendingError: _pending,
        MissingError: lambda error: _plain(404, error),
        WorkflowNotFoundError: lambda error: _plain(404, error),
        RefusedError: _refused,
        AccessError: _access,
        HTTPException: _http,
        StorageError: _storage,
        Exception: _unforeseen,
    },
    word=_word,
)

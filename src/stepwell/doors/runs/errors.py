"""The error table of the runs door: every exception to a status and the two keys `error` and `details`."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, RefusedError, StepwellError, StorageError, WorkflowNotFoundError
from stepwell.doors.kit import (
    ErrorTable,
    Fault,
    InvalidRequestError,
    KeyPendingError,
    KeyReusedError,
    MediaTypeError,
    MissingError,
    NotJsonError,
    Reply,
    Wrong,
    json_response,
)
from stepwell.doors.runs.wire import Detail, Failure
from stepwell.files import FileMissingError
from stepwell.security.refusals import AccessError

INVALID: Final = "Validation failed"
_STATUS_WORDS: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Payload too large",
    415: "Unsupported content type",
    429: "Too many requests",
    431: "Headers too large",
    500: "Internal error",
    503: "Not ready",
}


class TooLargeError(StepwellError):
    """A part of a request is larger, or there are more of them, than is taken."""


class ConflictError(StepwellError):
    """What is asked for is not possible as things stand."""


def _word(_scope: Scope, wrong: Wrong) -> Response:
    error = wrong.code or _STATUS_WORDS.get(wrong.status, "Error")
    details = wrong.message if wrong.details is None else wrong.details
    return json_response(
        Reply(body=Failure(error=error, details=details), status=wrong.status, headers=wrong.headers)
    )


def _wrong(status: int, error: Exception, **more: str) -> Wrong:
    return Wrong(status=status, code="", message=str(error), headers=more)


def _invalid(error: InvalidRequestError) -> Wrong:
    details = [Detail(path=fault.place, message=fault.message) for fault in error.faults]
    return Wrong(status=400, code=INVALID, message=str(error), details=details)


def _invalid_definition(error: InvalidDefinitionError) -> Wrong:
    return _invalid(InvalidRequestError([Fault.at(fault.pointer, fault.message) for fault in error.faults]))


def _invalid_input(error: InvalidInputError) -> Wrong:
    return _invalid(InvalidRequestError([Fault(path=("inputs",), message=str(error))]))


def _not_json(error: NotJsonError) -> Wrong:
    return _invalid(InvalidRequestError([Fault(message=str(error))]))


def _media_type(error: MediaTypeError) -> Wrong:
    return _wrong(415, error, Accept=", ".join(error.expected))


_REFUSALS: Final = {
    "not_found": 404,
    "not_an_approver": 403,
    "self_approval": 403,
}
"""Codes of the engine's refusals; every other one is a conflict with what stands."""


def _refused(error: RefusedError) -> Wrong:
    return _wrong(_REFUSALS.get(error.code, 409), error)


def _access(error: AccessError) -> Wrong:
    refusal = error.refusal
    return Wrong(status=refusal.status, code="", message=refusal.detail, headers=refusal.headers)


def _http(error: HTTPException) -> Wrong:
    return Wrong(status=error.status_code, code="", message=error.detail, headers=dict(error.headers or {}))


def _unforeseen(_error: Exception) -> Wrong:
    return Wrong(status=500, code="", message="the server failed to answer this request; its log says why")


ERRORS: Final = ErrorTable(
    {
        InvalidRequestError: _invalid,
        InvalidDefinitionError: _invalid_definition,
        InvalidInputError: _invalid_input,
        NotJsonError: _not_json,
        MediaTypeError: _media_type,
        TooLargeError: lambda error: _wrong(413, error),
        ConflictError: lambda error: _wrong(409, error),
        KeyReusedError: lambda error: _wrong(409, error),
        KeyPendingError: lambda error: _wrong(409, error, **{"Retry-After": str(error.retry_after_s)}),
        MissingError: lambda error: _wrong(404, error),
        FileMissingError: lambda error: _wrong(404, error),
        WorkflowNotFoundError: lambda error: _wrong(404, error),
        RefusedError: _refused,
        AccessError: _access,
        HTTPException: _http,
        StorageError: lambda error: _wrong(503, error, **{"Retry-After": "1"}),
        Exception: _unforeseen,
    },
    word=_word,
)

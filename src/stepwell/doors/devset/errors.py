"""The error table of the devset door: every failure is `{"message"}`, a broken rule of the language is 400."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, RefusedError, StepwellError, StorageError, WorkflowNotFoundError
from stepwell.doors.devset.wire import Failure, Mistake
from stepwell.doors.kit import (
    ErrorTable,
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
from stepwell.programs.pipeline.faults import RuleError
from stepwell.security.refusals import AccessError


class RunMissingError(StepwellError):
    """There is no such run, or it is somebody else's."""

    def __str__(self) -> str:
        return f"Workflow run not found: {self.args[0]}"


class NameMissingError(StepwellError):
    """Something that is addressed by its name and is not there; the text says what."""


def _word(_scope: Scope, wrong: Wrong) -> Response:
    body = Failure(message=wrong.message, errors=wrong.details or ())
    return json_response(Reply(body=body, status=wrong.status, headers=wrong.headers))


def _wrong(status: int, error: Exception, **headers: str) -> Wrong:
    return Wrong(status=status, code="", message=str(error), headers=headers)


def _invalid(error: InvalidRequestError) -> Wrong:
    mistakes = tuple(
        Mistake(path="".join(f"/{part}" for part in fault.path), line=0, message=fault.message)
        for fault in error.faults
    )
    return Wrong(status=400, code="", message=str(error), details=mistakes)


def _invalid_definition(error: InvalidDefinitionError) -> Wrong:
    mistakes = tuple(Mistake(path=fault.pointer, line=fault.line, message=fault.message) for fault in error.faults)
    return Wrong(status=400, code="", message=error.faults[0].message, details=mistakes)


def _access(error: AccessError) -> Wrong:
    refusal = error.refusal
    return Wrong(status=refusal.status, code="", message=refusal.detail, headers=refusal.headers)


def _http(error: HTTPException) -> Wrong:
    return Wrong(status=error.status_code, code="", message=error.detail, headers=dict(error.headers or {}))


def _unforeseen(_error: Exception) -> Wrong:
    return Wrong(status=500, code="", message="the server failed to answer this request; its log says why")


ERRORS: Final = ErrorTable(
    {
        RuleError: lambda error: _wrong(400, error),
        InvalidRequestError: _invalid,
        InvalidDefinitionError: _invalid_definition,
        InvalidInputError: lambda error: _wrong(400, error),
        NotJsonError: lambda error: _wrong(400, error),
        MediaTypeError: lambda error: _wrong(415, error, Accept=", ".join(error.expected)),
        KeyReusedError: lambda error: _wrong(409, error),
        KeyPendingError: lambda error: _wrong(409, error, **{"Retry-After": str(error.retry_after_s)}),
        RunMissingError: lambda error: _wrong(404, error),
        NameMissingError: lambda error: _wrong(404, error),
        MissingError: lambda error: _wrong(404, error),
        WorkflowNotFoundError: lambda error: _wrong(404, error),
        RefusedError: lambda error: _wrong(409, error),
        AccessError: _access,
        HTTPException: _http,
        StorageError: lambda error: _wrong(503, error, **{"Retry-After": "1"}),
        Exception: _unforeseen,
    },
    word=_word,
)

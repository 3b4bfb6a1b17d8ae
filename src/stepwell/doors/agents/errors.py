"""The error table of the agents door: every exception to a status and a code, in the envelope of a failure."""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from stepwell.core.approvals import StandingDecision
from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import InvalidInputError, RefusedError, StorageError, WorkflowNotFoundError
from stepwell.core.status import Status
from stepwell.doors.agents.envelope import REQUEST_ID, Meta, meta, request_id
from stepwell.doors.agents.statuses import run_status, run_statuses
from stepwell.doors.agents.template_service import RevisionError, TemplateInUseError, TemplateStateError
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
    instant,
    json_response,
)
from stepwell.engine.retrying import InvalidPatchError
from stepwell.security.refusals import AccessError
from stepwell.webhooks import InvalidFieldError


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """One error. `details` of a validation error is a map of fields to messages; `field` is there when it is one."""

    code: str
    message: str
    details: dict[str, Any]
    field: str | UnsetType = UNSET


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every failure; `data` is null."""

    data: None
    meta: Meta
    errors: list[Error]


def _word(scope: Scope, wrong: Wrong) -> Response:
    details = dict(wrong.details or {})
    field = next(iter(details)) if wrong.code == VALIDATION and len(details) == 1 else UNSET
    if wrong.code == WRONG_STATE:
        details.setdefault("action", str(scope["path"]).rpartition("/")[2])  # these paths end with what is asked for
    error = Error(code=wrong.code, message=wrong.message, details=details, field=field)
    body = Failure(data=None, meta=meta(scope), errors=[error])
    headers = {**wrong.headers, REQUEST_ID: request_id(scope)}
    return json_response(Reply(body=body, status=wrong.status, headers=headers))


# --- requests that are wrong in themselves --------------------------------------------------------------------------

VALIDATION: Final = "VALIDATION_ERROR"
WRONG_STATE: Final = "INVALID_STATE_TRANSITION"


def _invalid(error: InvalidRequestError) -> Wrong:
    details: dict[str, list[str]] = {}
    for fault in error.faults:
        details.setdefault(fault.place or "body", []).append(fault.message)
    return Wrong(status=422, code=VALIDATION, message=f"Validation failed: {error}", details=details)


def _not_json(error: NotJsonError) -> Wrong:
    return Wrong(status=400, code="BAD_REQUEST", message=str(error), details={"body": [str(error)]})


def _media_type(error: MediaTypeError) -> Wrong:
    return Wrong(
        status=415,
        code="UNSUPPORTED_MEDIA_TYPE",
        message=str(error),
        details={"expected": list(error.expected), "found": error.found},
        headers={"Accept": ", ".join(error.expected)},
    )


def _invalid_definition(error: InvalidDefinitionError) -> Wrong:
    return _invalid(InvalidRequestError([Fault.at(fault.pointer, fault.message) for fault in error.faults]))


def _invalid_input(error: InvalidInputError) -> Wrong:
    return Wrong(status=422, code=VALIDATION, message=str(error), details={"input": [str(error)]})


def _invalid_patch(error: InvalidPatchError) -> Wrong:
    return _invalid(
        InvalidRequestError(
            [
                Fault(path=("input_patch", *((name,) if name else ())), message=message)
                for name, messages in error.faults.items()
                for message in messages
            ]
        )
    )


def _invalid_field(error: InvalidFieldError) -> Wrong:
    return _invalid(InvalidRequestError([Fault(path=(error.field,), message=error.message)]))


def _reused(error: KeyReusedError) -> Wrong:
    return Wrong(status=422, code="IDEMPOTENCY_MISMATCH", message=str(error))


def _pending(error: KeyPendingError) -> Wrong:
    headers = {"Retry-After": str(error.retry_after_s)}
    return Wrong(status=409, code="IDEMPOTENCY_PENDING", message=str(error), headers=headers)


# --- what is not there, and what is not allowed now -----------------------------------------------------------------


def _missing(error: MissingError) -> Wrong:
    return Wrong(status=404, code="NOT_FOUND", message=str(error), details={"id": error.id} if error.id else {})


def _no_workflow(error: WorkflowNotFoundError) -> Wrong:
    return Wrong(status=404, code="NOT_FOUND", message=str(error), details={"id": error.name})


_REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "not_found": (404, "NOT_FOUND"),
    "not_an_approver": (403, "FORBIDDEN"),
    "self_approval": (403, "FORBIDDEN"),
    "approval_already_decided": (409, "APPROVAL_ALREADY_DECIDED"),
    "approval_expired": (409, "APPROVAL_EXPIRED"),
    "callback_answered": (409, "CALLBACK_ALREADY_ANSWERED"),
    "no_such_snapshot": (404, "NOT_FOUND"),
}
"""Codes of the engine's refusals; every other one is a wrong state."""


_AT_FAULT: Final = {"no_such_step": "from_step", "steps_changed": "template_version"}
"""Refusals of something that the body asks for, and its field."""


def _refused(error: RefusedError) -> Wrong:
    if error.code in _AT_FAULT:
        return Wrong(
            status=422, code=VALIDATION, message=error.message, details={_AT_FAULT[error.code]: [error.message]}
        )
    status, code = _REFUSALS.get(error.code, (409, WRONG_STATE))
    details: dict[str, Any] = {"reason": error.code}
    if error.status:
        details["from"] = run_status(Status(error.status), error.waiting_for)
    if error.allowed_from:
        details["allowed_from"] = run_statuses(error.allowed_from)
    if isinstance(error.standing, StandingDecision):
        details["decision"] = _standing(error.standing)
    return Wrong(status=status, code=code, message=error.message, details=details)


def _standing(decision: StandingDecision) -> dict[str, Any]:
    """The decision that stands. `actor_id` is null when nobody decided."""
    return {
        "decision": decision.decision,
        "actor_id": decision.actor or None,
        "comment": decision.comment,
        "at": instant(decision.at),
    }


def _template_state(error: TemplateStateError) -> Wrong:
    details = {"from": error.status, "action": error.action, "allowed_from": list(error.allowed_from)}
    return Wrong(status=409, code=WRONG_STATE, message=str(error), details=details)


def _in_use(error: TemplateInUseError) -> Wrong:
    return Wrong(status=409, code="TEMPLATE_IN_USE", message=str(error), details={"run_id": error.run_id})


def _revision(error: RevisionError) -> Wrong:
    details = {"expected": error.expected, "found": error.found}
    return Wrong(status=412, code="PRECONDITION_FAILED", message=str(error), details=details)


# --- who is not let in, and what is our own fault -------------------------------------------------------------------

_STATUSES: Final = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    429: "RATE_LIMIT_EXCEEDED",
    431: "HEADERS_TOO_LARGE",
    503: "SERVICE_UNAVAILABLE",
}


def _access(error: AccessError) -> Wrong:
    refusal = error.refusal
    return Wrong(
        status=refusal.status,
        code=_STATUSES[refusal.status],
        message=refusal.detail,
        details={"reason": refusal.reason.value},
        headers=refusal.headers,
    )


def _http(error: HTTPException) -> Wrong:
    """Starlette's own: a path or a method that is not there."""
    return Wrong(
        status=error.status_code,
        code=_STATUSES.get(error.status_code, "BAD_REQUEST"),
        message=error.detail,
        headers=dict(error.headers or {}),
    )


def _storage(error: StorageError) -> Wrong:
    return Wrong(status=503, code="SERVICE_UNAVAILABLE", message=str(error), headers={"Retry-After": "1"})


def _unforeseen(_error: Exception) -> Wrong:
    message = "the server failed to answer this request; its log says why"
    return Wrong(status=500, code="INTERNAL_ERROR", message=message)


ERRORS: Final = ErrorTable(
    {
        InvalidRequestError: _invalid,
        NotJsonError: _not_json,
        MediaTypeError: _media_type,
        InvalidDefinitionError: _invalid_definition,
        InvalidInputError: _invalid_input,
        InvalidFieldError: _invalid_field,
        InvalidPatchError: _invalid_patch,
        KeyReusedError: _reused,
        KeyPendingError: _pending,
        MissingError: _missing,
        WorkflowNotFoundError: _no_workflow,
        RefusedError: _refused,
        TemplateStateError: _template_state,
        TemplateInUseError: _in_use,
        RevisionError: _revision,
        AccessError: _access,
        HTTPException: _http,
        StorageError: _storage,
        Exception: _unforeseen,
    },
    word=_word,
)

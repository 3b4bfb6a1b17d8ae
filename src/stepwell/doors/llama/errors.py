"""The error table of the llama door: its own failures, and how each dialect words them.

The texts are those that clients of this API know. A refusal that is the client's fault is 4xx in the newer dialect;
the older one answers 500 where its document says so.
"""

from typing import Final, Literal

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from stepwell.core.definitions import InvalidDefinitionError
from stepwell.core.errors import (
    InvalidInputError,
    RefusedError,
    RunNotFoundError,
    StepwellError,
    StorageError,
    WorkflowNotFoundError,
)
from stepwell.core.typed import EventFault
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
from stepwell.doors.llama.dialect import Dialect
from stepwell.doors.llama.wire import Failure
from stepwell.security.refusals import AccessError

_NO_HANDLER: Final = "Handler not found"


class WorkflowMissingError(StepwellError):
    """There is no such workflow, or it is somebody else's."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"Workflow {self.name!r} not found" if self.name else "Workflow not found"


class HandlerMissingError(StepwellError):
    """There is no such handler, it is somebody else's, or this API does not show it any more."""

    def __str__(self) -> str:
        return _NO_HANDLER


class HandlerBusyError(StepwellError):
    """A run is to continue one that has not ended."""

    def __str__(self) -> str:
        return f"Handler {self.args[0]!r} is already running"


class EndedError(StepwellError):
    """An event for a run that has ended."""

    def __str__(self) -> str:
        return "Workflow already completed"


class BodyError(StepwellError):
    """The body of a request is no JSON (`json`), or no object (`shape`). `of`: of a start, or of an event."""

    def __init__(self, fault: Literal["json", "shape"], text: str, *, of: Literal["start", "event"]) -> None:
        super().__init__(text)
        self.fault = fault
        self.text = text
        self.of = of

    def __str__(self) -> str:
        return self.text


class InvalidStartError(StepwellError):
    """What a start was given is not what the workflow takes; the text says what."""


class InvalidEventError(StepwellError):
    """An event that the run does not take; the text says why. `step`: it is the step that was named."""

    def __init__(self, text: str, *, step: bool = False) -> None:
        super().__init__(text)
        self.step = step


class QueryError(StepwellError):
    """A parameter of the query that cannot be read; the text names it."""


class UnreadableError(StepwellError):
    """A result is on record, but its class is not known here any more, or has changed."""

    def __str__(self) -> str:
        return f"the result cannot be read: {self.args[0]}"


def fault_text(fault: EventFault) -> str:
    """What is wrong with an event, in the words of this API."""
    match fault.code:
        case "not_an_object":
            return "Failed to deserialize event. Must be a json object, or stringified json object"
        case "untyped":
            return "Invalid client data. Must have a type or a qualified name, got {event}"
        case "unknown_type" if "." in fault.name:
            return (
                f"Event type {fault.name} is not declared by this workflow. "
                "Register it with add_workflow(..., additional_events=[...])."
            )
        case "unknown_type":
            return f"Invalid event type: {fault.name}. Expected one of {', '.join(fault.expected)}"
        case "not_a_start_event":
            return f"Start event must be an instance of {', '.join(fault.expected)}"
        case "invalid_fields":
            return f"Failed to deserialize event: {fault.detail}"
        case "unknown_step" | "step_refuses":
            return f"Failed to send event: {fault.detail}"
        case "invalid_context":
            return fault.detail


def error_table(dialect: Dialect) -> ErrorTable:
    """The table of one dialect."""

    def word(_scope: Scope, wrong: Wrong) -> Response:
        if dialect.errors_are_text:
            return PlainTextResponse(wrong.message, wrong.status, wrong.headers)
        return json_response(Reply(body=Failure(detail=wrong.message), status=wrong.status, headers=wrong.headers))

    def body(error: BodyError) -> Wrong:
        before = dialect.bad_body_text if error.fault == "json" else "Error processing request body: "
        before = before if error.of == "start" else "Error processing request: "
        return _text(dialect.bad_body_status, f"{before}{error.text}")

    def busy(error: HandlerBusyError) -> Wrong:
        return _text(404, _NO_HANDLER) if dialect.busy_is_missing else _wrong(409, error)

    def http(error: HTTPException) -> Wrong:
        """Starlette's own: this API answers a GET where only POST is known as if there was nothing."""
        posted = error.status_code == 405 and (error.headers or {}).get("Allow") == "POST"
        status = 404 if posted else error.status_code
        return Wrong(status=status, code="", message=_PHRASES.get(status, error.detail), headers=error.headers or {})

    return ErrorTable(
        {
            WorkflowMissingError: lambda error: _wrong(404, error),
            WorkflowNotFoundError: lambda _: _text(404, "Workflow not found"),
            HandlerMissingError: lambda error: _wrong(404, error),
            RunNotFoundError: lambda _: _text(404, _NO_HANDLER),
            MissingError: lambda _: _text(404, _NO_HANDLER),
            HandlerBusyError: busy,
            EndedError: lambda error: _wrong(409, error),
            BodyError: body,
            InvalidStartError: lambda error: _wrong(400, error),
            InvalidEventError: lambda error: _wrong(400, error),
            QueryError: lambda error: _wrong(400, error),
            UnreadableError: lambda error: _wrong(422, error),
            InvalidRequestError: lambda error: _wrong(400, error),
            InvalidDefinitionError: lambda error: _wrong(400, error),
            InvalidInputError: lambda error: _wrong(400, error),
            NotJsonError: lambda error: _wrong(400, error),
            MediaTypeError: lambda error: _wrong(415, error, Accept=", ".join(error.expected)),
            KeyReusedError: lambda error: _wrong(422, error),
            KeyPendingError: lambda error: _wrong(409, error, **{"Retry-After": str(error.retry_after_s)}),
            RefusedError: lambda error: _wrong(409, error),
            AccessError: _access,
            HTTPException: http,
            StorageError: lambda error: _wrong(503, error, **{"Retry-After": "1"}),
            Exception: lambda _: _text(500, "the server failed to answer this request; its log says why"),
        },
        word=word,
    )


_PHRASES: Final = {404: "Not Found", 405: "Method Not Allowed"}


def _text(status: int, message: str) -> Wrong:
    return Wrong(status=status, code="", message=message)


def _wrong(status: int, error: Exception, **headers: str) -> Wrong:
    return Wrong(status=status, code="", message=str(error), headers=headers)


def _access(error: AccessError) -> Wrong:
    refusal = error.refusal
    return Wrong(status=refusal.status, code="", message=refusal.detail, headers=refusal.headers)

"""What goes wrong between us and a provider, as the failure of an attempt: its code, and whether to try again."""

from typing import Any, Final

from stepwell.core.errors import ERROR_BASE, Problem, StepFailure
from stepwell.programs.flow.nodes.http_messages import retry_after_s
from stepwell.programs.http import HttpResponse

MAX_DETAIL: Final = 500
RETRYABLE: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which another try can help."""
NO_CREDIT: Final = "insufficient_quota"
"""Comes with 429, but waiting does not help."""


def failed(code: str, detail: str, *, status: int = 500, retryable: bool = False, **rest: Any) -> StepFailure:
    title = f"{code.replace('_', ' ').capitalize()} error"
    detail = detail[:MAX_DETAIL]
    return StepFailure(
        Problem(type=ERROR_BASE + code, title=title, status=status, detail=detail, retryable=retryable, **rest)
    )


def not_set_up(detail: str) -> StepFailure:
    """Something that the operator has to do first."""
    return failed("configuration", detail, status=400)


def failure(fault: Exception) -> StepFailure:
    """What the library raised, as the failure of an attempt."""
    import openai

    match fault:
        case openai.APIStatusError():
            answer = HttpResponse(status=fault.status_code, headers=dict(fault.response.headers))
            return _of_status(answer, _text(fault), _code(fault))
        case openai.APITimeoutError():
            return failed("http_timeout", "the model's endpoint did not answer in time", status=504, retryable=True)
        case openai.APIConnectionError():
            return _of_connection(fault)
        case openai.APIError():  # said in the middle of the stream
            return _of_status(HttpResponse(status=_number(_code(fault)) or 502), _text(fault), _code(fault))
    name = type(fault).__name__
    if _is_timeout(fault):
        return failed("http_timeout", "the model's answer paused for too long", status=504, retryable=True)
    return failed("network", f"the model's answer broke off: {fault or name}", status=502, retryable=True)


def _of_status(answer: HttpResponse, text: str, code: str) -> StepFailure:
    status = answer.status
    retryable = (status >= 500 or status in RETRYABLE) and code != NO_CREDIT
    return failed(
        f"http_{status}",
        f"the model's endpoint answered {status}: {text}",
        status=status,
        retryable=retryable,
        retry_after_s=retry_after_s(answer) if retryable else None,
    )


def _of_connection(fault: Exception) -> StepFailure:
    """No answer. What an egress guard refuses is refused again."""
    cause = fault.__cause__
    refused = isinstance(cause, ValueError)
    detail = f"the model's endpoint was not reached: {cause or fault}"
    return failed("network", detail, status=502, retryable=not refused)


def _text(fault: Any) -> str:
    body = fault.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or fault.message)


def _code(fault: Any) -> str:
    body = fault.body
    code = body.get("code") or body.get("type") if isinstance(body, dict) else None
    return str(code or "")


def _number(code: str) -> int | None:
    """An HTTP status that stands as the code of an error."""
    return int(code) if code.isascii() and code.isdigit() and 400 <= int(code[:6]) <= 599 else None


def _is_timeout(fault: Exception) -> bool:
    return "Timeout" in type(fault).__name__

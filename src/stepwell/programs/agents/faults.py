"""What goes wrong between us and a provider, as the failure of an attempt: its code, and whether to try again."""

from typing import Any, Final

from stepwell.core.errors import ERROR_BASE, Problem, StepFailure, StepwellError
from stepwell.programs.http import HttpResponse, retry_after_s

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
            return failed(
                "network",
                f"the model's endpoint was not reached: {fault.__cause__ or fault}",
                status=502,
                retryable=True,
            )
        case openai.APIError():  # said in the middle of the stream
            return _of_status(HttpResponse(status=_number(_code(fault)) or 502), _text(fault), _code(fault))
    return _of_transport(fault)


def _of_transport(fault: Exception) -> StepFailure:
    """What stands between us and the endpoint; an egress guard refuses the same address again."""
    if "Timeout" in type(fault).__name__:
        return failed("http_timeout", "the model's answer paused for too long", status=504, retryable=True)
    refused = isinstance(fault, StepwellError)
    what = "was not reached" if refused else "broke off its answer"
    return failed("network", f"the model's endpoint {what}: {fault}", status=502, retryable=not refused)


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

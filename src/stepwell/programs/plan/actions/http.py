"""`task` with `action: http.request`: one exchange in one step. A status beyond 299 is an error."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stepwell.core.errors import Problem, StepFailure
from stepwell.core.program import StepContext
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.failures import failure
from stepwell.programs.http import HttpClient, HttpError, HttpRequest, HttpResponse
from stepwell.programs.plan.actions.port import policy_of, problem
from stepwell.programs.plan.actions.working import Working
from stepwell.programs.plan.hiding import Veil
from stepwell.programs.plan.model import HttpTask
from stepwell.programs.plan.scope import Place


class HttpAction:
    BY_ITSELF = FAILS_BY_ITSELF = KEEPS_TIME = REPEATS = True

    def __init__(self, task: HttpTask, working: Working) -> None:
        self._task = task
        self._working = working

    async def perform(self, place: Place) -> Any:
        client = place.facts.services.client
        if client is None:
            raise failure("configuration", "there is no HTTP client to call with", place.at, status=400)
        request = self._request(place)

        async def work(step: StepContext) -> Any:
            sent = messages.with_key(request, step.idempotency_key)
            return _output(sent, await _answer(client, sent), place.veil)

        return await place.ctx.step(
            place.key,
            self._working.work(place, work),
            name=place.step.name,
            retry=policy_of(place.step),
            timeout_s=place.step.timeout_s,
            heartbeat_timeout_s=place.step.heartbeat_timeout_s,
            input=_shown(request, place.veil),
        )

    def _request(self, place: Place) -> HttpRequest:
        """Raises `ProgramError` for what cannot be part of a request."""
        task = self._task
        method = place.filled(task.method, "method")
        if not isinstance(method, str) or not method.isalpha():
            text = f"expected the name of a method, found {describe(method)}"
            raise failure("expression", text, place.pointer("method"), status=400)
        try:
            headers = messages.header_texts(place.filled(task.headers, "headers"))
            content, headers = messages.encoded_body(place.filled(task.body, "body"), headers)
            url = messages.full_url(place.filled(task.url, "url"), place.filled(task.query, "query"), None)
        except messages.BadRequestError as error:
            raise failure("expression", str(error), place.config_at, status=400) from None
        if not url.lower().startswith(("http://", "https://")):
            text = f"expected a URI of http or https, found {describe(url)}"
            raise failure("expression", text, place.pointer("url"), status=400)
        return HttpRequest(method=method.upper(), url=url, headers=headers, content=content)


async def _answer(client: HttpClient, request: HttpRequest) -> HttpResponse:
    try:
        return await client.send(request)
    except HttpError as error:
        code, status = ("http_timeout", 504) if error.timed_out else ("network", 502)
        detail = f"{messages.words(request)}: {error.detail}"
        raise StepFailure(problem(code, detail, status=status, retryable=error.retryable)) from None


def _output(request: HttpRequest, response: HttpResponse, veil: Veil) -> Mapping[str, Any]:
    """`{status, headers, body}`. Raises `StepFailure`."""
    if not 200 <= response.status <= 299:
        raise StepFailure(_refusal(request, response, veil))
    try:
        body = messages.decoded_body(response)
    except msgspec.DecodeError as error:
        detail = f"{messages.words(request)}: expected JSON as its content type says, found other text: {error}"
        raise StepFailure(problem("network", detail, status=502)) from None
    headers = messages.masked_headers(response.headers, veil.hidden)
    return {"status": response.status, "headers": headers, "body": body}


def _refusal(request: HttpRequest, response: HttpResponse, veil: Veil) -> Problem:
    found = messages.refusal(request, response, 299, veil.hidden)
    code = f"http_{response.status}"
    return problem(
        code,
        found.detail,
        status=found.status,
        data=found.data,
        retryable=found.retryable,
        retry_after_s=found.retry_after_s,
    )


def _shown(request: HttpRequest, veil: Veil) -> dict[str, Any]:
    """What a view shows of a request: no credentials, and the body as long as it is text."""
    shown: dict[str, Any] = {
        "method": request.method,
        "url": veil.hidden.text(request.url),
        "headers": messages.masked_headers(request.headers, veil.hidden),
    }
    if request.content is not None:
        shown["body"] = veil.value(_readable(request.content))
    return shown


def _readable(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode(errors="replace")

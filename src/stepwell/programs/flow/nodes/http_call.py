"""`call: http`: one step per call. What is asked is put together before the step, from the task's input; what is
answered is checked and decoded inside it, so that only the output is recorded."""

from typing import Any, Literal

import msgspec

from stepwell.core.errors import ProgramError, StepFailure, problem
from stepwell.core.program import StepContext
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.calls import placed
from stepwell.programs.flow.nodes.scope import Scope, evaluate, failure
from stepwell.programs.http import HttpClient, HttpError, HttpRequest, HttpResponse


class HttpCall(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled arguments."""

    method: str
    uri: Expression
    headers: Expression | None
    body: Expression | None
    query: Expression | None
    output: Literal["raw", "content", "response"]
    redirect: bool


class HttpNode:
    def __init__(self, call: HttpCall, client: HttpClient | None, *, name: str, at: str) -> None:
        self._call = call
        self._client = client
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if self._client is None:
            raise failure("configuration", "there is no HTTP client to call with", self._at, status=400)
        client = self._client
        request = await self._request(scope, value)

        async def work(step: StepContext) -> Any:
            return self._answer(request, await _send(client, messages.with_key(request, step.idempotency_key)))

        try:
            return await scope.strand.ctx.step(key, work, name=self._name)
        except ProgramError as error:
            raise placed(error, self._at) from None

    async def _request(self, scope: Scope, value: Any) -> HttpRequest:
        call = self._call
        try:
            uri = await self._part(call.uri, "endpoint", scope, value)
            query = await self._part(call.query, "query", scope, value)
            headers = messages.header_texts(await self._part(call.headers, "headers", scope, value))
            content, headers = messages.encoded_body(await self._part(call.body, "body", scope, value), headers)
            template = value if call.uri.constant else None
            return HttpRequest(method=call.method, url=messages.full_url(uri, query, template), headers=headers,
                               content=content)
        except messages.BadRequestError as error:
            raise failure("expression", str(error), f"{self._at}/with", status=400) from None

    async def _part(self, part: Expression | None, name: str, scope: Scope, value: Any) -> Any:
        if part is None:
            return None
        return await evaluate(part, value, scope.variables(part, value), f"{self._at}/with/{name}")

    def _answer(self, request: HttpRequest, response: HttpResponse) -> Any:
        """The output, or the failure of the attempt."""
        last = 399 if self._call.redirect else 299
        if not 200 <= response.status <= last:
            raise StepFailure(messages.refusal(request, response, last))
        if self._call.output == "raw":
            return messages.base64_text(response.content)
        try:
            content = messages.decoded_body(response)
        except msgspec.DecodeError as error:
            detail = f"{messages.words(request)}: expected JSON as its content type says, found other text: {error}"
            raise StepFailure(problem("communication", detail, status=502)) from None
        return content if self._call.output == "content" else messages.response_value(request, response, content)


async def _send(client: HttpClient, request: HttpRequest) -> HttpResponse:
    try:
        return await client.send(request)
    except HttpError as error:
        found = problem("communication", f"{messages.words(request)}: {error.detail}",
                        status=504 if error.timed_out else 500, retryable=error.retryable)
        raise StepFailure(found) from error

"""One HTTP exchange of a call, inside its step: credentials, the answer checked and decoded, failures in words.

What goes out of here (outputs, errors) is free of credentials.
"""

from typing import Any, Literal

import msgspec

from stepwell.core.errors import StepFailure, problem
from stepwell.core.program import StepContext
from stepwell.programs.flow.nodes import digest
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.authentication import Login
from stepwell.programs.flow.nodes.hiding import MASK, NOTHING, Hidden
from stepwell.programs.http import HttpClient, HttpError, HttpRequest, HttpResponse

OutputFormat = Literal["raw", "content", "response"]

_UNAUTHORIZED = 401


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request, ready to be sent as the work of a step, and what is wanted of the answer."""

    client: Any  # an HttpClient, which msgspec has no type for
    request: HttpRequest
    output: OutputFormat = "content"
    redirect: bool = False
    login: Login | None = None
    hidden: Any = NOTHING

    async def work(self, step: StepContext) -> Any:
        """The output. Raises `StepFailure`."""
        request = messages.with_key(self.request, step.idempotency_key)
        hidden = self.hidden.with_more(self.login.hidden) if self.login is not None else self.hidden
        response = await send(self.client, request, self.login, hidden)
        return self._output(request, response, hidden)

    def _output(self, request: HttpRequest, response: HttpResponse, hidden: Hidden) -> Any:
        last = 399 if self.redirect else 299
        if not 200 <= response.status <= last:
            raise StepFailure(messages.refusal(request, response, last, hidden))
        response = _without(response, hidden)
        if self.output == "raw":
            return messages.base64_text(response.content)
        try:
            content = messages.decoded_body(response)
        except msgspec.DecodeError as error:
            detail = f"{messages.words(request)}: expected JSON as its content type says, found other text: {error}"
            raise StepFailure(problem("communication", hidden.text(detail), status=502)) from None
        if self.output == "content":
            return content
        asked = self.request if self.login is None else _with_header(self.request, MASK)
        return messages.response_value(asked, response, content, hidden)


async def send(client: HttpClient, request: HttpRequest, login: Login | None, hidden: Hidden) -> HttpResponse:
    """The answer to a request with these credentials. Raises `StepFailure` when there is none."""
    if login is None:
        return await _send(client, request, hidden)
    if login.header is not None:
        return await _send(client, _with_header(request, login.header), hidden)
    if login.grant is not None:
        return await _send_with_token(client, request, login, hidden)
    response = await _send(client, request, hidden)
    challenge = digest.challenge_in(response.headers.get("www-authenticate", ""))
    if response.status != _UNAUTHORIZED or challenge is None:
        return response
    proof = digest.answer(
        challenge,
        method=request.method,
        url=request.url,
        username=login.username,
        password=login.password,
        content=request.content or b"",
    )
    return await _send(client, _with_header(request, proof), hidden)


async def _send_with_token(client: HttpClient, request: HttpRequest, login: Login, hidden: Hidden) -> HttpResponse:
    """A token that was kept may have been withdrawn: then a new one is asked for, once."""

    async def ask(question: HttpRequest, hiding: Hidden) -> HttpResponse:
        return await _send(client, question, hiding)

    assert login.grant is not None, "its caller looked"
    for fresh in (False, True):
        token = await login.tokens.token(login.grant, ask, fresh=fresh)
        response = await _send(client, _with_header(request, f"Bearer {token}"), hidden.with_more([token]))
        if response.status != _UNAUTHORIZED:
            break
    return _without(response, hidden.with_more([token]))


async def _send(client: HttpClient, request: HttpRequest, hidden: Hidden) -> HttpResponse:
    try:
        return await client.send(request)
    except HttpError as error:
        found = problem(
            "communication",
            hidden.text(f"{messages.words(request)}: {error.detail}"),
            status=504 if error.timed_out else 500,
            retryable=error.retryable,
        )
        raise StepFailure(found) from None


def _with_header(request: HttpRequest, authorization: str) -> HttpRequest:
    """The task's authentication wins over a header of the same name."""
    others = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    return msgspec.structs.replace(request, headers={**others, "Authorization": authorization})


def _without(response: HttpResponse, hidden: Hidden) -> HttpResponse:
    content = hidden.data(response.content)
    return response if content == response.content else msgspec.structs.replace(response, content=content)

"""`call: http`: one step per call. What is asked is put together before the step, from the task's input; what is
answered is checked and decoded inside it, so that only the output is recorded."""

from typing import Any

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.authentication import Authorizer
from stepwell.programs.flow.nodes.exchange import Exchange, OutputFormat
from stepwell.programs.flow.nodes.failures import failure, placed
from stepwell.programs.flow.nodes.hiding import hidden_in
from stepwell.programs.flow.nodes.scope import Scope, evaluate
from stepwell.programs.http import HttpClient, HttpRequest


class HttpCall(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled arguments: all expressions of the call as one, so that they go out in one message.

    `arguments` gives an object of `endpoint`, `headers`, `body`, `query`, `authentication`, as far as they are there.
    """

    method: str
    arguments: Expression
    is_template: bool
    """Whether the URI was written down, so that `{name}` in it is a property of the input."""
    output: OutputFormat
    redirect: bool
    authorizer: Any = None


class HttpNode:
    def __init__(self, call: HttpCall, client: HttpClient | None, *, name: str, at: str) -> None:
        self._call = call
        self._client = client
        self._authorizer: Authorizer | None = call.authorizer
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if self._client is None:
            raise failure("configuration", "there is no HTTP client to call with", self._at, status=400)
        call = self._call
        variables = scope.variables(call.arguments, value)
        found = await evaluate(call.arguments, value, variables, f"{self._at}/with")
        login = self._authorizer.login(scope, found["authentication"]) if self._authorizer is not None else None
        hidden = hidden_in(variables.get("secrets"))
        try:
            request = self._request(found, value)
        except messages.BadRequestError as error:
            raise failure("expression", hidden.text(str(error)), f"{self._at}/with", status=400) from None
        exchange = Exchange(
            client=self._client,
            request=request,
            output=call.output,
            redirect=call.redirect,
            login=login,
            hidden=hidden,
        )
        try:
            return await scope.strand.ctx.step(key, exchange.work, name=self._name)
        except ProgramError as error:
            raise placed(error, self._at) from None

    def _request(self, found: dict[str, Any], value: Any) -> HttpRequest:
        headers = messages.header_texts(found.get("headers"))
        content, headers = messages.encoded_body(found.get("body"), headers)
        template = (value or {}) if self._call.is_template else None
        url = messages.full_url(found["endpoint"], found.get("query"), template)
        return HttpRequest(method=self._call.method, url=url, headers=headers, content=content)

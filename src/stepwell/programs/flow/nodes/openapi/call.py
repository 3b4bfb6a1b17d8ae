"""`call: openapi`: a step for the operation, a step for the call.

The operation is a fact. A document can change while a run waits or is down, and the call that was in flight must be
asked again exactly as it was the first time, under the same idempotency key. So what was found in the document is
recorded (the operation only, some hundred bytes) before the call starts; every later call of the task on the same
strand uses that record.
"""

from typing import Any

import msgspec

from stepwell.core.errors import ProgramError
from stepwell.core.program import StepContext
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.authentication import Authorizer
from stepwell.programs.flow.nodes.exchange import Exchange, OutputFormat
from stepwell.programs.flow.nodes.failures import failure, placed
from stepwell.programs.flow.nodes.hiding import Hidden, hidden_in
from stepwell.programs.flow.nodes.openapi.documents import Documents
from stepwell.programs.flow.nodes.openapi.operation import Operation
from stepwell.programs.flow.nodes.openapi.requests import ParameterError, request_of
from stepwell.programs.flow.nodes.scope import Scope, evaluate
from stepwell.programs.http import HttpClient


class OpenApiCall(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled arguments: `arguments` gives an object of `document`, `parameters`, `authentication` and
    `documentAuthentication`, as far as they are there."""

    operation_id: str
    arguments: Expression
    is_template: bool
    """Whether the document's URI was written down, so that `{name}` in it is a property of the input."""
    output: OutputFormat
    redirect: bool
    authorizer: Any = None
    document_authorizer: Any = None


class OpenApiNode:
    def __init__(
        self, call: OpenApiCall, client: HttpClient | None, documents: Documents | None, *, name: str, at: str
    ) -> None:
        self._call = call
        self._client = client
        self._documents = documents
        self._name = name
        self._at = at

    async def perform(self, scope: Scope, key: str, value: Any) -> Any:
        if self._client is None or self._documents is None:
            raise failure("configuration", "there is no HTTP client to call with", self._at, status=400)
        call = self._call
        variables = scope.variables(call.arguments, value)
        found = await evaluate(call.arguments, value, variables, f"{self._at}/with")
        hidden = hidden_in(variables.get("secrets"))
        operation = await self._operation(scope, key, self._documents, (found, value, hidden))
        authorizer: Authorizer | None = call.authorizer
        login = authorizer.login(scope, found["authentication"]) if authorizer is not None else None
        try:
            request = request_of(operation, found.get("parameters", {}))
        except (ParameterError, messages.BadRequestError) as error:
            raise failure(
                "configuration",
                hidden.text(f"the operation {call.operation_id!r}: {error}"),
                f"{self._at}/with/parameters",
                status=400,
            ) from None
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

    async def _operation(
        self, scope: Scope, key: str, documents: Documents, evaluated: tuple[dict[str, Any], Any, Hidden]
    ) -> Operation:
        found, value, hidden = evaluated
        call, strand, at = self._call, scope.strand, f"{self._at}/with/document"
        try:
            url = messages.full_url(found["document"], None, (value or {}) if call.is_template else None)
        except messages.BadRequestError as error:
            raise failure("expression", hidden.text(str(error)), at, status=400) from None
        known = f"{self._at} {url}"
        if known not in strand.known:
            authorizer: Authorizer | None = call.document_authorizer
            login = authorizer.login(scope, found["documentAuthentication"]) if authorizer is not None else None

            async def work(_step: StepContext) -> Any:
                return msgspec.to_builtins(await documents.operation(call.operation_id, url, login, hidden))

            try:
                record = await strand.ctx.step(f"{key}/operation", work, name=f"{self._name}: API document")
            except ProgramError as error:
                raise placed(error, at) from None
            strand.known = {**strand.known, known: msgspec.convert(record, Operation)}
        operation: Operation = strand.known[known]
        return operation

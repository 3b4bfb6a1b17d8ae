"""The arguments of calls: what stands under `with`, by what is called."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from stepwell.core.approvals import ApprovalRequest, faults_by_field
from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.binding import Part, Reader, reader_of, text
from stepwell.programs.flow.check import BROKEN, Check, describe, hint
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.model.data import (
    AnyEndpoint,
    ExternalResource,
    HttpEndpoint,
    read_http_endpoint,
    read_http_uri,
)
from stepwell.programs.flow.model.durations import MAX_S, TimeSpan
from stepwell.programs.flow.model.schemas import check_document
from stepwell.programs.flow.model.security import Authentication
from stepwell.programs.flow.model.text import Condition, Fields, Text, Value, read_fields, read_value

OutputFormat = Literal["raw", "content", "response"]


def valued(kind: Any) -> Reader:
    """A reader of a literal of this kind, or of an expression in `${ }` that gives one."""

    def read(value: Any, at: str, check: Check) -> Any:
        if isinstance(value, str) and jq.expression_text(value) is not None:
            return read_value(value, at, check)
        literal = reader_of(kind)(value, at, check)
        return BROKEN if literal is BROKEN else jq.constant(value)

    return read


def read_headers(value: Any, at: str, check: Check) -> Any:
    """Names to text; numbers and booleans are taken as text."""
    for name, item in value.items() if isinstance(value, dict) else ():
        if item is None or isinstance(item, list | dict):
            check.fault(f"{at}/{name}", f"expected text, found {describe(item)}")
    return read_fields(value, at, check)


class HttpArguments(Part, frozen=True, kw_only=True):
    """`call: http`. A status outside 200-299 is an error; with `redirect`, outside 200-399."""

    method: Annotated[str, text(r"[A-Za-z]{1,20}", "an HTTP method")]
    endpoint: Annotated[HttpEndpoint, read_http_endpoint]
    headers: Annotated[Expression, read_headers] | None = None
    body: Value | None = None
    query: Fields | None = None
    output: OutputFormat = "content"
    redirect: bool = False


class ApprovalArguments(Part, frozen=True, kw_only=True):
    """`call: approval`: asks people to decide."""

    prompt: Annotated[Expression, valued(str)] | None = None
    title: Annotated[Expression, valued(str)] | None = None
    schema: Value | None = None
    context: Value | None = None
    approvers: Annotated[Expression, valued(tuple[str, ...])] | None = None
    required: Annotated[Expression, valued(int)] | None = None
    timeout_seconds: Annotated[Expression, valued(float)] | None = None
    on_timeout: Literal["fail", "reject", "approve", "escalate"] = "fail"
    allow_self_approval: Annotated[Expression, valued(bool)] | None = None
    escalate_to: Annotated[Expression, valued(tuple[str, ...])] | None = None


_COMPUTED = {"approvers": ("role:any",), "escalate_to": ("role:any",), "required": 1, "timeout_s": 1.0}
"""What stands for an argument that only the run knows: a value that nothing can be wrong with."""


def read_approval(value: Any, at: str, check: Check) -> Any:
    """The arguments, with what is written in them possible: the run checks what it computes itself."""
    found = reader_of(ApprovalArguments)(value, at, check)
    if not isinstance(found, ApprovalArguments):
        return found
    known: dict[str, Any] = {}
    for name, computed in _COMPUTED.items():
        argument = getattr(found, _WRITTEN.get(name, name))
        if argument is not None:
            known[name] = argument.run(None, {}) if argument.constant else computed
    faults = faults_by_field(ApprovalRequest(on_timeout=found.on_timeout, **known))
    for name, message in faults.items():
        written = _WRITTEN.get(name, name)
        if written in value:
            check.fault(f"{at}/{written}", message)
        else:
            check.fault(at, f"{written}: {message}")
    return BROKEN if faults else found


_WRITTEN = {"timeout_s": "timeout_seconds"}


def read_seconds(value: Any, at: str, check: Check) -> Any:
    """A number above 0, or an expression in `${ }` that gives one."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value <= MAX_S:
        return check.fault(at, f"expected a number of seconds above 0, at most 100 years, found {describe(value)}")
    return valued(float)(value, at, check)


class CallbackArguments(Part, frozen=True, kw_only=True):
    """`call: callback`: waits until somebody completes the task. Without `url` the token is only issued."""

    url: Annotated[Expression, read_http_uri] | None = None
    payload: Value | None = None
    timeout_seconds: Annotated[Expression, read_seconds] | None = None


MAX_TURNS = 1_000


class LanguageModelArguments(Part, frozen=True, kw_only=True):
    """`call: agent`: asks a language model, which may call `tools` (registered functions) before it answers."""

    prompt: Annotated[Expression, valued(str)]
    system: Annotated[Expression, valued(str)] | None = None
    model: Annotated[Expression, valued(str)] | None = None
    tools: tuple[str, ...] = ()
    max_turns: int = 10
    output_schema: Any = None


def read_language_model(value: Any, at: str, check: Check) -> Any:
    """The arguments, with tools that there are, and an answer that a schema can be asked of."""
    found = reader_of(LanguageModelArguments)(value, at, check)
    if not isinstance(found, LanguageModelArguments):
        return found
    before = len(check.faults)
    if not 1 <= found.max_turns <= MAX_TURNS:
        check.fault(f"{at}/max_turns", f"expected 1 to {MAX_TURNS:,}, found {describe(found.max_turns)}")
    known = None if check.functions is None else check.functions.names()
    for place, name in enumerate(found.tools):
        if known is not None and name not in known:
            words = f"expected a function that is registered, found {describe(name)}{hint(name, known)}"
            check.fault(f"{at}/tools/{place}", words)
    if found.output_schema is not None:
        check_document(found.output_schema, f"{at}/output_schema", check)
    return found if len(check.faults) == before else BROKEN


class GrpcService(Part, frozen=True, kw_only=True):
    name: str
    host: str
    port: int | None = None
    authentication: Authentication | None = None


class GrpcArguments(Part, frozen=True, kw_only=True):
    proto: ExternalResource
    service: GrpcService
    method: str
    arguments: Fields | None = None


class ApiDocument(Part, frozen=True, kw_only=True):
    """An OpenAPI or Swagger document, which is fetched."""

    endpoint: Annotated[HttpEndpoint, read_http_endpoint]
    name: str | None = None


class OpenApiArguments(Part, frozen=True, kw_only=True):
    """`call: openapi`. `parameters` are by name, wherever the operation wants them; the body is `body`."""

    document: ApiDocument
    operation_id: str = field(name="operationId")
    parameters: Fields | None = None
    authentication: Authentication | None = None
    output: OutputFormat = "content"
    redirect: bool = False


class AsyncApiServer(Part, frozen=True, kw_only=True):
    name: str
    variables: Fields | None = None


class AsyncApiMessage(Part, frozen=True, kw_only=True):
    payload: Fields | None = None
    headers: Fields | None = None


class Consumption(Part, frozen=True, kw_only=True):
    """How many messages to take from a subscription, and for how long."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("amount", "while", "until")

    for_: TimeSpan | None = field(name="for", default=None)
    amount: int | None = None
    while_: Condition | None = field(name="while", default=None)
    until: Condition | None = None


class AgentArguments(Part, frozen=True, kw_only=True):
    """`call: a2a`."""

    method: Literal[
        "message/send",
        "message/stream",
        "tasks/get",
        "tasks/list",
        "tasks/cancel",
        "tasks/resubscribe",
        "tasks/pushNotificationConfig/set",
        "tasks/pushNotificationConfig/get",
        "tasks/pushNotificationConfig/list",
        "tasks/pushNotificationConfig/delete",
        "agent/getAuthenticatedExtendedCard",
    ]
    agent_card: ExternalResource | None = field(name="agentCard", default=None)
    server: AnyEndpoint | None = None
    parameters: Value | None = None


class McpHttp(Part, frozen=True, kw_only=True):
    endpoint: AnyEndpoint
    headers: Fields | None = None


class McpProcess(Part, frozen=True, kw_only=True):
    command: Text
    arguments: tuple[Text, ...] = ()
    environment: Fields | None = None


class McpTransport(Part, frozen=True, kw_only=True):
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("http", "stdio")

    http: McpHttp | None = None
    stdio: McpProcess | None = None
    options: Mapping[str, Any] | None = None


class McpClient(Part, frozen=True, kw_only=True):
    name: str
    version: str
    description: str | None = None


class McpArguments(Part, frozen=True, kw_only=True):
    method: Literal[
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/read",
        "resources/templates/list",
    ]
    transport: McpTransport
    protocol_version: str = field(name="protocolVersion", default="2025-06-18")
    parameters: Value | None = None
    timeout: TimeSpan | None = None
    client: McpClient | None = None

"""What many parts of a definition share: transforms, time-outs, endpoints, errors, retries."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import field

from stepwell.programs.flow import expressions as jq
from stepwell.programs.flow.binding import Names, Part, reader_of
from stepwell.programs.flow.check import Check, describe
from stepwell.programs.flow.expressions import Expression
from stepwell.programs.flow.model.durations import TimeSpan
from stepwell.programs.flow.model.schemas import DataSchema
from stepwell.programs.flow.model.security import Authentication
from stepwell.programs.flow.model.text import Condition, Text, Transform, read_text

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*://.*", re.DOTALL)


class Input(Part, frozen=True, kw_only=True):
    """`input` of a workflow or task: `from` reads the raw input."""

    schema: DataSchema | None = None
    from_: Transform | None = field(name="from", default=None)


class Output(Part, frozen=True, kw_only=True):
    """`output` of a workflow or task: `as` reads the raw output, `schema` is for what it gives."""

    schema: DataSchema | None = None
    as_: Transform | None = field(name="as", default=None)


class Export(Part, frozen=True, kw_only=True):
    """`export` of a task: `as` reads the transformed output and gives the new `$context`."""

    schema: DataSchema | None = None
    as_: Transform | None = field(name="as", default=None)

    @classmethod
    def local_names(cls, _value: Mapping[str, Any]) -> Names:
        return {"as": ("output",)}


class Timeout(Part, frozen=True, kw_only=True):
    after: TimeSpan


def read_uri(value: Any, at: str, check: Check) -> Any:
    """An absolute URI, a template of one, or an expression."""
    is_text = isinstance(value, str)
    if is_text and jq.expression_text(value) is None and not _URI.fullmatch(value):
        return check.fault(at, f"expected a URI with its scheme (https://...), found {describe(value)}")
    return read_text(value, at, check)


def read_http_uri(value: Any, at: str, check: Check) -> Any:
    """As `read_uri`, for what is fetched by HTTP."""
    if isinstance(value, str) and _URI.fullmatch(value) and not value.lower().startswith(("http://", "https://")):
        return check.fault(at, f"expected a URI of http or https, found {describe(value)}")
    return read_uri(value, at, check)


class Endpoint(Part, frozen=True, kw_only=True):
    uri: Annotated[Expression, read_uri]
    authentication: Authentication | None = None


class HttpEndpoint(Part, frozen=True, kw_only=True):
    """An endpoint that is called. Its `uri` may be a template: `{name}` is a property of the task's input."""

    uri: Annotated[Expression, read_http_uri]
    authentication: Authentication | None = None


def read_endpoint(value: Any, at: str, check: Check) -> Any:
    """An endpoint as object, or its URI alone."""
    if not isinstance(value, str):
        return reader_of(Endpoint)(value, at, check)
    uri = read_uri(value, at, check)
    return Endpoint(at=at, uri=uri) if isinstance(uri, Expression) else uri


def read_http_endpoint(value: Any, at: str, check: Check) -> Any:
    if not isinstance(value, str):
        return reader_of(HttpEndpoint)(value, at, check)
    uri = read_http_uri(value, at, check)
    return HttpEndpoint(at=at, uri=uri) if isinstance(uri, Expression) else uri


AnyEndpoint = Annotated[Endpoint, read_endpoint]


class ExternalResource(Part, frozen=True, kw_only=True):
    endpoint: AnyEndpoint
    name: str | None = None


class Catalog(Part, frozen=True, kw_only=True):
    endpoint: AnyEndpoint


def read_status(value: Any, at: str, check: Check) -> Any:
    """A status as answers over HTTP have it (RFC 9110 §15): other doors give it on as theirs."""
    status = reader_of(int)(value, at, check)
    if isinstance(status, int) and not 100 <= status <= 599:
        return check.fault(at, f"expected a status from 100 to 599, found {describe(value)}")
    return status


def read_wanted_status(value: Any, at: str, check: Check) -> Any:
    """A status that an error can have: above 599 it is invalid (RFC 9110 §15), but servers answer so."""
    status = reader_of(int)(value, at, check)
    if isinstance(status, int) and not 100 <= status <= 999:
        return check.fault(at, f"expected the status of an error, from 100 to 999, found {describe(value)}")
    return status


def read_count(value: Any, at: str, check: Check) -> Any:
    """An amount of retries; elsewhere -1 often means "without end", which here would be none at all."""
    count = reader_of(int)(value, at, check)
    if isinstance(count, int) and count < 0:
        return check.fault(at, f"expected a number of retries, 0 or more, found {describe(value)}")
    return count


class ErrorDefinition(Part, frozen=True, kw_only=True):
    """An error to raise, as RFC 9457 has it; its `type` stays as it is written."""

    type: Annotated[Expression, read_uri]
    status: Annotated[int, read_status]
    instance: Text | None = None
    title: Text | None = None
    detail: Text | None = None


class ErrorFilter(Part, frozen=True, kw_only=True):
    """The errors to catch: those that have all the values given. Types are compared by their last segment."""

    type: str | None = None
    status: Annotated[int, read_wanted_status] | None = None
    instance: str | None = None
    title: str | None = None
    details: str | None = None
    detail: str | None = None


class Backoff(Part, frozen=True, kw_only=True):
    """How the delay grows: not at all, by itself each time, or twofold."""

    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ("constant", "exponential", "linear")

    constant: Mapping[str, Any] | None = None
    exponential: Mapping[str, Any] | None = None
    linear: Mapping[str, Any] | None = None


class AttemptLimit(Part, frozen=True, kw_only=True):
    """`count` retries (the first try is none), each at most `duration` long."""

    count: Annotated[int, read_count] | None = None
    duration: TimeSpan | None = None


class RetryLimit(Part, frozen=True, kw_only=True):
    """`duration` is for all attempts together, from the start of the first."""

    attempt: AttemptLimit | None = None
    duration: TimeSpan | None = None


class Jitter(Part, frozen=True, kw_only=True):
    """Added to a delay: something between the two."""

    from_: TimeSpan = field(name="from")
    to: TimeSpan


class RetryPolicy(Part, frozen=True, kw_only=True):
    when: Condition | None = None
    except_when: Condition | None = field(name="exceptWhen", default=None)
    delay: TimeSpan | None = None
    backoff: Backoff | None = None
    limit: RetryLimit | None = None
    jitter: Jitter | None = None

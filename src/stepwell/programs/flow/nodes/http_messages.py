"""Requests and responses of `call: http` to and from JSON values: templates, queries, bodies, errors. Pure but for
the clock that a dated `Retry-After` is measured against, which is read inside an activity only."""

import codecs
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec

from stepwell.core.errors import Problem, problem
from stepwell.programs.flow.check import describe
from stepwell.programs.flow.nodes.hiding import Hidden
from stepwell.programs.http import HttpRequest, HttpResponse, retry_after_s

# Statuses below 500 that can pass by themselves: time-out, conflict, too early, too many requests.
RETRYABLE_BELOW_500 = {408, 409, 425, 429}
MAX_ERROR_CONTENT = 2_000

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
"""RFC 9110 §5.1 and §5.5, without the octets above ASCII that nobody agrees upon."""
_FORM = "application/x-www-form-urlencoded"


class BadRequestError(Exception):
    """An argument that cannot be part of a request."""


def full_url(uri: Any, query: Any, template: Any) -> str:
    """The address to call. `template` is the task's input, for a URI that was written down; None for one that an
    expression gave. Only simple expansion (RFC 6570 §3.2.2): top-level names, values percent-encoded."""
    if not isinstance(uri, str) or not uri.strip():
        raise BadRequestError(f"expected the text of a URI, found {describe(uri)}")
    values = template if isinstance(template, dict) else {}
    url = uri if template is None else _PLACEHOLDER.sub(lambda found: _expanded(values, found.group(1)), uri)
    pairs = _query_pairs(query)
    if not pairs:
        return url.strip()
    parts = urlsplit(url.strip())
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(pairs)]))))


def _expanded(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if isinstance(value, dict | list):
        raise BadRequestError(f"expected text, a number or a boolean for {{{name}}}, found {describe(value)}")
    return quote(scalar_text(value), safe="")


def _query_pairs(query: Any) -> list[tuple[str, str]]:
    """A list repeats its name; null leaves it out."""
    if query is None:
        return []
    if not isinstance(query, dict):
        raise BadRequestError(f"expected an object of query parameters, found {describe(query)}")
    pairs = [
        (name, item) for name, value in query.items() for item in (value if isinstance(value, list) else [value])
    ]
    for name, item in pairs:
        if isinstance(item, dict | list):
            raise BadRequestError(f"expected text for the query parameter {name!r}, found {describe(item)}")
    return [(name, scalar_text(item)) for name, item in pairs if item is not None]


def scalar_text(value: Any) -> str:
    """A scalar as it stands in a URI or a header."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def header_texts(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise BadRequestError(f"expected an object of headers, found {describe(headers)}")
    for name, value in headers.items():
        if isinstance(value, dict | list):
            raise BadRequestError(f"expected text for the header {name!r}, found {describe(value)}")
    texts = {name: scalar_text(value) for name, value in headers.items() if value is not None}
    for name, text in texts.items():
        check_header(name, text)
    return texts


def check_header(name: str, text: str) -> None:
    """The value may be a secret: it is not repeated. Raises `BadRequestError`."""
    if not _HEADER_NAME.fullmatch(name):
        raise BadRequestError(f"expected the name of a header, found {describe(name)}")
    if not _HEADER_VALUE.fullmatch(text):
        raise BadRequestError(
            f"expected one line of ASCII for the header {name!r}, found other signs, or spaces around"
        )


def encoded_body(body: Any, headers: dict[str, str]) -> tuple[bytes | None, dict[str, str]]:
    """The bytes to send and the headers with their content type: JSON, unless the author's own says otherwise."""
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    if body is None:
        return None, headers
    if kind is None:
        return json_bytes(body), {**headers, "Content-Type": "application/json"}
    if isinstance(body, dict) and kind.startswith(_FORM):
        return urlencode(_query_pairs(body)).encode(), headers
    return (body.encode() if isinstance(body, str) and not _is_json(kind) else json_bytes(body)), headers


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def with_key(request: HttpRequest, key: str) -> HttpRequest:
    """The request with its idempotency key: the same on every attempt. An author's own stays."""
    if any(name.lower() == "idempotency-key" for name in request.headers):
        return request
    headers = {**request.headers, "Idempotency-Key": quote(key, safe="/@^~:.-_")}
    return msgspec.structs.replace(request, headers=headers)


def decoded_body(response: HttpResponse) -> Any:
    """JSON as its value, text as text, all else in base64; null when there is nothing.

    Raises `msgspec.DecodeError`: what could not be written into a history again is no JSON here.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not response.content:
        return None
    if _is_json(kind):
        return msgspec.json.decode(response.content)
    if kind.startswith("text/") or kind.endswith(("+xml", "/xml", "/yaml", "/javascript")) or kind == _FORM:
        return response.content.decode(_charset(response), errors="replace")
    return base64_text(response.content)


def _is_json(kind: str) -> bool:
    bare = kind.partition(";")[0].strip().lower()
    return bare in ("application/json", "text/json") or bare.endswith("+json")


def _charset(response: HttpResponse) -> str:
    found = re.search(r"charset=\"?([\w.:-]+)", response.headers.get("content-type", ""))
    try:
        return codecs.lookup(found.group(1)).name if found else "utf-8"
    except LookupError:
        return "utf-8"


def base64_text(content: bytes) -> str:
    return b64encode(content).decode()


def response_value(request: HttpRequest, response: HttpResponse, content: Any, hidden: Hidden) -> dict[str, Any]:
    """The standard's HTTP response. Credentials in headers are masked: outputs are kept and shown."""
    asked = {
        "method": request.method,
        "uri": hidden.text(request.url),
        "headers": masked_headers(request.headers, hidden),
    }
    return {
        "request": asked,
        "statusCode": response.status,
        "headers": masked_headers(response.headers, hidden),
        "content": content,
    }


def masked_headers(headers: Mapping[str, str], hidden: Hidden) -> dict[str, str]:
    """Without credentials, by name and by value."""
    return {name: "***" if name.lower() in _SECRET_HEADERS else hidden.text(value) for name, value in headers.items()}


def refusal(request: HttpRequest, response: HttpResponse, last: int, hidden: Hidden) -> Problem:
    """The failure that a status stands for."""
    detail = hidden.text(f"{words(request)}: expected a status from 200 to {last}, found {response.status}")
    # Hidden first: half a secret at the end of what is kept would not be found.
    text = hidden.text(response.content[: 2 * MAX_ERROR_CONTENT].decode(errors="replace"))[:MAX_ERROR_CONTENT]
    return problem(
        "communication",
        detail,
        status=response.status,
        data={"content": text} if text else None,
        retryable=response.status >= 500 or response.status in RETRYABLE_BELOW_500,
        retry_after_s=retry_after_s(response),
    )


def words(request: HttpRequest) -> str:
    """A request in the words of a message; user names, queries and fragments are left out."""
    try:
        parts = urlsplit(request.url)
        place = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        place = request.url.partition("?")[0]
    return f"{request.method.upper()} {place}"

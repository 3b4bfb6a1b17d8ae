"""Parameters of a task, and what an operation says about them, into one HTTP request."""

import json
from typing import Any
from urllib.parse import quote, urlencode

from stepwell.programs.flow.check import describe, hint
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.openapi.operation import BODY, Operation, Parameter
from stepwell.programs.http import HttpRequest

_FORM = "application/x-www-form-urlencoded"
_DELIMITERS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t"}

Pairs = list[tuple[str, str]]


class ParameterError(Exception):
    """A parameter that is missing, unknown, or cannot be sent."""


def request_of(operation: Operation, given: Any) -> HttpRequest:
    """Raises `ParameterError`, `BadRequestError`."""
    if not isinstance(given, dict):
        raise ParameterError(f"expected an object of parameters, found {describe(given)}")
    given = {name: value for name, value in given.items() if value is not None}
    _check_names(operation, given)
    places: dict[str, Pairs] = {"path": [], "query": [], "header": [], "cookie": [], "form": []}
    for parameter in operation.parameters:
        if parameter.name in given:
            places[parameter.place] += _pairs(parameter, given[parameter.name])
    url = operation.url
    for name, text in places["path"]:
        url = url.replace(f"{{{name}}}", quote(text, safe=","))
    if places["query"]:
        # Delimiters stay as they are: a server splits before it decodes.
        url += ("&" if "?" in url else "?") + urlencode(places["query"], quote_via=quote, safe=",|[]")
    content, headers = _body(operation, given, places["form"])
    headers = {**_accept(operation), **headers, **dict(places["header"]), **_cookies(places["cookie"])}
    for name, text in headers.items():
        messages.check_header(name, text)
    return HttpRequest(method=operation.method, url=url, content=content, headers=headers)


def _check_names(operation: Operation, given: dict[str, Any]) -> None:
    names = {parameter.name for parameter in operation.parameters} | {*operation.body}
    for name in given:
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise ParameterError(f"expected parameters of the operation ({known}), found {name!r}{hint(name, names)}")
    for parameter in operation.parameters:
        if parameter.required and parameter.name not in given:
            raise ParameterError(f"expected the {parameter.place} parameter {parameter.name!r}, found none")
    if operation.body_required and not any(name in given for name in operation.body):
        raise ParameterError(f"expected the body as parameter {operation.body[0]!r}, found none")


def _pairs(parameter: Parameter, value: Any) -> Pairs:
    """A value by its style (OpenAPI 3.1, "Style Values"); usually one pair of name and text."""
    name = parameter.name
    if parameter.style == "json":
        return [(name, json.dumps(value, ensure_ascii=False, separators=(",", ":")))]
    if parameter.style == "deepObject":
        return [(f"{name}[{key}]", _text(parameter, item)) for key, item in _members(parameter, value).items()]
    delimiter = _DELIMITERS[parameter.style]
    if isinstance(value, list):
        texts = [_text(parameter, item) for item in value]
        return [(name, text) for text in texts] if _repeats(parameter) else [(name, delimiter.join(texts))]
    if not isinstance(value, dict):
        return [(name, _text(parameter, value))]
    members = [(str(key), _text(parameter, item)) for key, item in value.items()]
    if _repeats(parameter):
        return members
    joint = "=" if parameter.explode else delimiter
    return [(name, delimiter.join(f"{key}{joint}{text}" for key, text in members))]


def _repeats(parameter: Parameter) -> bool:
    return parameter.explode and parameter.place in ("query", "cookie", "form")


def _members(parameter: Parameter, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ParameterError(f"expected an object for the parameter {parameter.name!r}, found {describe(value)}")
    return value


def _text(parameter: Parameter, value: Any) -> str:
    if isinstance(value, dict | list):
        raise ParameterError(
            f"expected text, a number or a boolean in the {parameter.place} parameter "
            f"{parameter.name!r}, found {describe(value)}"
        )
    return messages.scalar_text(value)


def _body(operation: Operation, given: dict[str, Any], fields: Pairs) -> tuple[bytes | None, dict[str, str]]:
    if fields:
        if operation.kinds and _FORM not in operation.kinds:
            raise ParameterError(f"the content type {operation.kinds[0]} of the body is not supported")
        return urlencode(fields).encode(), {"Content-Type": _FORM}
    declared = {parameter.name for parameter in operation.parameters}
    name = next((name for name in operation.body if name in given and name not in declared), None)
    if name is None and BODY in given and operation.body:
        name = BODY
    return (None, {}) if name is None else messages.encoded_body(given[name], {"Content-Type": _kind(operation)})


def _kind(operation: Operation) -> str:
    """The content type to send: JSON where the operation takes it."""
    kinds = operation.kinds or ("application/json",)
    bare = [kind.partition(";")[0].strip().lower() for kind in kinds]
    chosen = next((kind for kind in bare if kind == "application/json" or kind.endswith("+json")), None)
    if chosen is None:
        chosen = _FORM if _FORM in bare else "application/json" if "*/*" in bare else bare[0]
    if chosen.startswith("multipart/"):
        raise ParameterError(f"the content type {chosen} of the body is not supported")
    return chosen


def _accept(operation: Operation) -> dict[str, str]:
    """Some servers answer in XML unless they are asked for JSON."""
    return {"Accept": "application/json"} if "application/json" in operation.accepts else {}


def _cookies(pairs: Pairs) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={quote(text)}" for name, text in pairs)} if pairs else {}

"""One operation of an API document: what must be known to call it, and how it is found (OpenAPI 3.x, Swagger 2.0).

Pure: documents are JSON values. References are followed inside of a document only; nothing else is fetched.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from stepwell.programs.flow.check import describe, hint
from stepwell.programs.flow.expressions.templates import unescape

Place = Literal["path", "query", "header", "cookie", "form"]
Style = Literal["form", "simple", "spaceDelimited", "pipeDelimited", "tabDelimited", "deepObject", "json"]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
MAX_REFERENCES = 32
BODY = "body"

_STYLES: Mapping[str, Style] = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
# Swagger 2.0 "Parameter Object", collectionFormat
_COLLECTIONS: Mapping[str, tuple[Style, bool]] = {
    "csv": ("simple", False),
    "ssv": ("spaceDelimited", False),
    "tsv": ("tabDelimited", False),
    "pipes": ("pipeDelimited", False),
    "multi": ("form", True),
}


class DocumentFaultError(Exception):
    """What is wrong with a document, or missing in it."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    place: Place
    required: bool = False
    style: Style = "form"
    explode: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """`url` has its server, and `{names}` of path parameters. `body` are the names that the body may be given by,
    none when there is no body; `kinds` are the content types it may have, `accepts` those of the answers."""

    method: str
    url: str
    parameters: tuple[Parameter, ...] = ()
    body: tuple[str, ...] = ()
    body_required: bool = False
    kinds: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()


def find_operation(document: Any, operation_id: str, document_url: str) -> Operation:
    """The operation of this id. Raises `DocumentFaultError`."""
    version = document.get("openapi", document.get("swagger")) if isinstance(document, dict) else None
    major = str(version).partition(".")[0]
    if major not in ("2", "3"):
        found = "no version" if version is None else f"the version {describe(version)}"
        raise DocumentFaultError(f"expected an OpenAPI 3 or Swagger 2.0 document, found {found}")
    reader = (_OpenApi if major == "3" else _Swagger)(document, document_url)
    return reader.operation(operation_id)


class _Reader:
    """What both formats have in common."""

    def __init__(self, document: dict[str, Any], url: str) -> None:
        self.document = document
        self.document_url = url

    def operation(self, operation_id: str) -> Operation:
        known = []
        for path, item, method, operation in self._operations():
            if operation.get("operationId") == operation_id:
                return self.build(path, item, method, operation)
            known.append(str(operation.get("operationId", "")))
        raise DocumentFaultError(
            f"expected the operation {operation_id!r}, found {len(known)} others"
            f"{hint(operation_id, filter(None, known))}"
        )

    def build(self, path: str, item: dict[str, Any], method: str, operation: dict[str, Any]) -> Operation:
        """The operation as the version of the document words it; each version has a class of its own."""
        raise NotImplementedError

    def _operations(self) -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
        for path, item in _object(self.document.get("paths")).items():
            resolved = _object(self.resolved(item))
            for method in METHODS:
                if isinstance(operation := resolved.get(method), dict):
                    yield str(path), resolved, method, operation

    def parameters(self, item: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
        """Those of the path and of the operation; the latter win."""
        listed = [
            _object(self.resolved(one))
            for one in [*_list(item.get("parameters")), *_list(operation.get("parameters"))]
        ]
        return list({(str(one.get("in")), str(one.get("name"))): one for one in listed}.values())

    def keys(self, operation: dict[str, Any], schemes: Any) -> Iterator[Parameter]:
        """API keys that the operation may ask for are parameters: the task has no other place for them."""
        wanted = operation.get("security", self.document.get("security"))
        for name in {name for one in _list(wanted) for name in _object(one)}:
            scheme = _object(self.resolved(_object(schemes).get(name)))
            if scheme.get("type") == "apiKey":
                key, place = _name_and_place(scheme)
                yield Parameter(name=key, place=place, style=_STYLES[place])

    def resolved(self, value: Any) -> Any:
        """What a reference stands for. Raises `DocumentFaultError`."""
        for _ in range(MAX_REFERENCES):
            if not isinstance(value, dict) or not isinstance(reference := value.get("$ref"), str):
                return value
            if not reference.startswith("#/"):
                raise DocumentFaultError(f"the reference {describe(reference)} to another document is not supported")
            value = self._at(reference)
        raise DocumentFaultError("expected references that lead somewhere, found some that lead to each other")

    def _at(self, reference: str) -> Any:
        found: Any = self.document
        for segment in reference[2:].split("/"):
            name = unescape(unquote(segment))
            if isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise DocumentFaultError(f"the reference {describe(reference)} leads nowhere")
        return found


class _OpenApi(_Reader):
    """OpenAPI 3.x."""

    def build(self, path: str, item: dict[str, Any], method: str, operation: dict[str, Any]) -> Operation:
        parameters = [_parameter(one) for one in self.parameters(item, operation)]
        keys = self.keys(operation, _object(self.document.get("components")).get("securitySchemes"))
        body = _object(self.resolved(operation.get("requestBody")))
        return Operation(
            method=method,
            url=self._server(item, operation) + path,
            parameters=_once(parameters, keys),
            body=(BODY,) if body else (),
            body_required=body.get("required") is True,
            kinds=tuple(_object(body.get("content"))),
            accepts=tuple(self._accepts(operation)),
        )

    def _server(self, item: dict[str, Any], operation: dict[str, Any]) -> str:
        """The first server of the operation, the path or the document; a relative one is beside the document."""
        listed = [_list(one.get("servers")) for one in (operation, item, self.document)]
        servers = next((servers for servers in listed if servers), [])
        server = _object(servers[0]) if servers else {}
        url = str(server.get("url", "/"))
        for name, variable in _object(server.get("variables")).items():
            url = url.replace(f"{{{name}}}", str(_object(variable).get("default", "")))
        return urljoin(self.document_url, url).rstrip("/")

    def _accepts(self, operation: dict[str, Any]) -> Iterator[str]:
        for response in _object(operation.get("responses")).values():
            yield from _object(_object(self.resolved(response)).get("content"))


class _Swagger(_Reader):
    """Swagger 2.0: the body and form fields are parameters too."""

    def build(self, path: str, item: dict[str, Any], method: str, operation: dict[str, Any]) -> Operation:
        listed = self.parameters(item, operation)
        body = next((one for one in listed if one.get("in") == BODY), None)
        fields = [one for one in listed if one.get("in") == "formData"]
        kinds = tuple(map(str, _list(operation.get("consumes", self.document.get("consumes")))))
        if any(one.get("type") == "file" for one in fields):
            kinds = ("multipart/form-data",)
        parameters = [_swagger_parameter(one) for one in listed if one is not body]
        keys = self.keys(operation, self.document.get("securityDefinitions"))
        return Operation(
            method=method,
            url=self._base() + path,
            parameters=_once(parameters, keys),
            body=tuple({str(body.get("name", BODY)), BODY}) if body else (),
            body_required=body is not None and body.get("required") is True,
            kinds=kinds,
            accepts=tuple(map(str, _list(operation.get("produces", self.document.get("produces"))))),
        )

    def _base(self) -> str:
        """`https` where the document offers it; what it does not say is as for the document itself."""
        parts = urlsplit(self.document_url)
        schemes = [scheme for scheme in _list(self.document.get("schemes")) if scheme in ("https", "http")]
        scheme = "https" if "https" in schemes else schemes[0] if schemes else parts.scheme
        host = str(self.document.get("host") or parts.netloc)
        return f"{scheme}://{host}{str(self.document.get('basePath') or '').rstrip('/')}"


def _parameter(given: dict[str, Any]) -> Parameter:
    name, place = _name_and_place(given)
    if "content" in given:
        return Parameter(name=name, place=place, required=given.get("required") is True, style="json")
    style = given.get("style", _STYLES[place])
    if style not in ("form", "simple", "spaceDelimited", "pipeDelimited", "deepObject"):
        raise DocumentFaultError(f"the style {describe(style)} of the parameter {name!r} is not supported")
    return Parameter(
        name=name,
        place=place,
        required=given.get("required") is True,
        style=style,
        explode=bool(given.get("explode", style == "form")),
    )


def _swagger_parameter(given: dict[str, Any]) -> Parameter:
    name, place = _name_and_place({**given, "in": "form" if given.get("in") == "formData" else given.get("in")})
    style, explode = _COLLECTIONS.get(str(given.get("collectionFormat", "csv")), ("simple", False))
    return Parameter(name=name, place=place, required=given.get("required") is True, style=style, explode=explode)


def _name_and_place(given: dict[str, Any]) -> tuple[str, Place]:
    name, place = given.get("name"), given.get("in")
    if not isinstance(name, str) or not isinstance(place, str) or place not in (*_STYLES, "form"):
        raise DocumentFaultError(
            f"expected parameters with a name and a place, found {describe(name)} in {describe(place)}"
        )
    return name, place  # type: ignore[return-value]  # one of the places, as checked


def _once(parameters: list[Parameter], keys: Iterator[Parameter]) -> tuple[Parameter, ...]:
    taken = {(one.place, one.name) for one in parameters}
    more = [key for key in keys if (key.place, key.name) not in taken]
    return (*parameters, *sorted(more, key=lambda key: key.name))


def _object(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

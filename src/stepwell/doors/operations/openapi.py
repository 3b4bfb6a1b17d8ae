"""`/openapi.json`, `/openapi/<door>.json` and `/docs`: what the doors understand, made once when somebody asks."""

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from stepwell.doors.kit import Api
from stepwell.doors.kit.openapi import Document, document

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td{border-top:1px solid #ddd;padding:.4rem;vertical-align:top}"
    "code{font-family:ui-monospace,monospace}summary{cursor:pointer}h2{margin-top:2.5rem}"
)


class Documents:
    """The documents of a server's doors, written as JSON once."""

    def __init__(self, doors: Sequence[Api]) -> None:
        self._doors = {door.name: door for door in doors}
        self.whole = cache(self._whole)
        self.one = cache(self._one)

    def document(self) -> Document:
        """Of all doors."""
        return document(list(self._doors.values()), title="Stepwell", version=version("stepwell"))

    def _whole(self) -> bytes:
        return msgspec.json.encode(self.document())

    def _one(self, name: str) -> bytes | None:
        """Of one door; None when there is none of that name."""
        door = self._doors.get(name)
        if door is None:
            return None
        title = f"Stepwell: {door.title}"
        return msgspec.json.encode(document([door], title=title, version=version("stepwell")))


async def all_doors(request: Request) -> Response:
    return Response(_documents(request).whole(), media_type="application/json")


async def one_door(request: Request) -> Response:
    body = _documents(request).one(request.path_params["door"])
    if body is None:
        raise HTTPException(404)
    return Response(body, media_type="application/json")


async def page(request: Request) -> Response:
    """One page without scripts, and without a request to any other host."""
    whole = _documents(request).document()
    tags = "".join(_of_tag(tag, whole) for tag in whole["tags"])
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Stepwell: API</title><style>{_STYLE}</style>"
        f"<h1>Stepwell {escape(whole['info']['version'])}</h1>"
        f'<p>As one document: <a href="/openapi.json">/openapi.json</a></p>{tags}</html>'
    )


def _of_tag(tag: dict[str, str], whole: Document) -> str:
    rows = [
        _row(method, path, operation)
        for path, methods in whole["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    ]
    name = escape(tag["name"])
    return (
        f"<h2>{name}</h2><p>{escape(tag['description'])} "
        f'(<a href="/openapi/{name}.json">/openapi/{name}.json</a>)</p><table>{"".join(rows)}</table>'
    )


def _row(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = ", ".join(
        f"<code>{escape(parameter['name'])}</code>"
        for parameter in operation["parameters"]
        if parameter["in"] != "path"
    )
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    )
    more = f"<p>{escape(operation['description'])}<p>{parameters}<ul>{answers}</ul>"
    return (
        f"<tr><td><code>{method.upper()}</code><td><code>{escape(path)}</code>"
        f"<td><details><summary>{escape(operation['summary'])}</summary>{more}</details>"
    )


def _documents(request: Request) -> Documents:
    documents: Documents = request.app.state.documents
    return documents

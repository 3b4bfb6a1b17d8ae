"""API documents: fetched once for a definition and an address, read for the operations that the definition calls."""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec

from stepwell.core.errors import Problem, StepFailure, problem
from stepwell.programs.flow.nodes import http_messages as messages
from stepwell.programs.flow.nodes.authentication import Login
from stepwell.programs.flow.nodes.exchange import send
from stepwell.programs.flow.nodes.hiding import Hidden
from stepwell.programs.flow.nodes.openapi.operation import DocumentFaultError, Operation, find_operation
from stepwell.programs.http import HttpClient, HttpRequest, HttpResponse

MAX_KEPT = 64
MAX_YAML_BYTES = 2_000_000
"""Reading YAML takes about 10 s for this much, in a thread of its own."""
LARGE_BYTES = 50_000

Address = tuple[str, Login | None]
Found = dict[str, Operation | str]
"""By operation id: the operation, or what is wrong with it."""


class Documents:
    """What one definition knows of API documents. `wanted` are the ids of all operations that it calls.

    Only the operations are kept: a document can be large. What could not be found is looked for again.
    """

    def __init__(self, client: HttpClient, wanted: Collection[str]) -> None:
        self._client = client
        self._wanted = wanted
        self._found: dict[Address, Found] = {}
        self._fetching: dict[Address, asyncio.Lock] = {}

    async def operation(self, operation_id: str, url: str, login: Login | None, hidden: Hidden) -> Operation:
        """Raises `StepFailure`."""
        address = url, login
        lock = self._fetching.setdefault(address, asyncio.Lock())
        try:
            async with lock:  # two branches that call the same API fetch its document once
                found = self._found.get(address) or await self._fetched(url, login, hidden)
        finally:
            if not lock.locked():
                self._fetching.pop(address, None)
        operation = found[operation_id]
        if isinstance(operation, str):
            raise StepFailure(_fault(f"the document {_words(url)}: {operation}"))
        self._keep(address, found)
        return operation

    def _keep(self, address: Address, found: Found) -> None:
        if len(self._found) >= MAX_KEPT:
            self._found.clear()
        self._found[address] = found

    async def _fetched(self, url: str, login: Login | None, hidden: Hidden) -> Found:
        hidden = hidden.with_more(login.hidden) if login is not None else hidden
        request = HttpRequest(method="get", url=url, headers={"Accept": "application/json, application/yaml, */*"})
        response = await send(self._client, request, login, hidden)
        if not 200 <= response.status <= 299:
            raise StepFailure(messages.refusal(request, response, 299, hidden))
        if len(response.content) > LARGE_BYTES:
            return await asyncio.to_thread(self._read, response, url)
        return self._read(response, url)

    def _read(self, response: HttpResponse, url: str) -> Found:
        try:
            document = read_document(response.content)
            return {wanted: _operation(document, wanted, url) for wanted in self._wanted}
        except DocumentFaultError as error:
            raise StepFailure(_fault(f"the document {_words(url)}: {error}")) from None


def read_document(content: bytes) -> Any:
    """JSON or YAML. Raises `DocumentFaultError`."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        pass
    if len(content) > MAX_YAML_BYTES:
        raise DocumentFaultError(f"expected JSON, or at most {MAX_YAML_BYTES} bytes of YAML, found {len(content)}")
    # Not the reader of definitions: such documents have numbers as keys, and dates.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    try:
        return yaml.load(content)
    except (YAMLError, ValueError, TypeError, AttributeError, LookupError, AssertionError, RecursionError) as error:
        words = str(getattr(error, "problem", None) or "text that is neither")
        raise DocumentFaultError(f"expected JSON or YAML, found {words}") from None


def _operation(document: Any, wanted: str, url: str) -> Operation | str:
    try:
        return find_operation(document, wanted, url)
    except DocumentFaultError as error:
        return str(error)


def _fault(detail: str) -> Problem:
    return problem("configuration", detail, status=400, retryable=False)


def _words(url: str) -> str:
    return messages.words(HttpRequest(method="get", url=url)).partition(" ")[2]

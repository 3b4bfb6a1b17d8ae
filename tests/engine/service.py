"""What flows of the corpus call over HTTP: a service at the resolver, so that nothing else of a call is replaced.

It stands outside of the engine: what it was told survives every crash. Its answers depend on the request alone, but
for `/weak`, which has no time at first.
"""

import asyncio
import hashlib
import json
import re
from base64 import b64encode
from typing import Any, Final
from urllib.parse import parse_qs

import httpx

from stepwell.programs.http import HttpxClient

TAKES_S: Final = 0.02
TOKEN: Final = "token-of-the-authority"
USER, PASSWORD = "ann", "pass word"
BASIC: Final = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
CHALLENGE: Final = 'Digest realm="well", qop="auth", algorithm=SHA-256, nonce="once"'
PETS: Final = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://service.test/store"}],
    "paths": {
        "/pets/{id}": {
            "get": {
                "operationId": "getPet",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                "responses": {"200": {"description": "a pet"}},
            }
        }
    },
}


class Service:
    """`callbacks`: run id to the token of the callback that the run asked for."""

    def __init__(self) -> None:
        self.callbacks: dict[str, str] = {}
        self._weak: dict[str, int] = {}

    def client(self) -> HttpxClient:
        return HttpxClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(TAKES_S)
        status, found, headers = self._answered(request)
        return httpx.Response(status, json=found, headers=headers)

    def _answered(self, request: httpx.Request) -> tuple[int, Any, dict[str, str]]:
        given = request.headers.get("Authorization", "")
        match request.url.path:
            case "/weak":
                return self._weakly(request)
            case "/basic":
                return _let_in(given == BASIC)
            case "/bearer":
                return _let_in(given == "Bearer secret")
            case "/digest":
                return _let_in(_digest_is_right(given)) if given else (401, {}, {"WWW-Authenticate": CHALLENGE})
            case "/oauth/token":
                fields = parse_qs(request.content.decode())
                right = fields.get("client_id") == ["well"] and fields.get("grant_type") == ["client_credentials"]
                return 200 if right else 400, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}, {}
            case "/oauth":
                return _let_in(given == f"Bearer {TOKEN}")
            case "/pets.json":
                return 200, PETS, {}
            case "/store/pets/7":
                return 200, {"id": 7, "name": "Rex"}, {}
            case "/hook":
                body = json.loads(request.content)
                self.callbacks[body["run_id"]] = body["callback"]["token"]
                return 202, {}, {}
        return 200, _echo(request), {}

    def _weakly(self, request: httpx.Request) -> tuple[int, Any, dict[str, str]]:
        """Twice in a run it has no time."""
        run_id = request.headers["Idempotency-Key"].partition("/")[0]
        self._weak[run_id] = self._weak.get(run_id, 0) + 1
        return (200, {"done": True}, {}) if self._weak[run_id] > 2 else (503, {}, {})


def _let_in(right: bool) -> tuple[int, Any, dict[str, str]]:
    return (200, {"welcome": True}, {}) if right else (403, {}, {})


def _echo(request: httpx.Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "query": dict(request.url.params),
        "x": request.headers.get("X-Sent", ""),
        "key": request.headers.get("Idempotency-Key", ""),
        "body": json.loads(request.content) if request.content else None,
    }


def _digest_is_right(given: str) -> bool:
    """RFC 7616 §3.4.1, computed anew."""
    parts = dict(re.findall(r'(\w+)="?([^",]+)"?', given))

    def hashed(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    first, second = hashed(f"{USER}:well:{PASSWORD}"), hashed(f"GET:{parts['uri']}")
    middle = f"{parts['nonce']}:{parts['nc']}:{parts['cnonce']}:{parts['qop']}"
    return hashed(f"{first}:{middle}:{second}") == str(parts["response"])

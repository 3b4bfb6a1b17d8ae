"""The whole server on a real socket: an `App` behind uvicorn, as `stepwell serve` runs it, by a clock of the test."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from doors.served import served
from stepwell import App
from stepwell.security.keys import ApiKeys, new_key
from stepwell.security.limits.protocol import BoundedHeaders
from stepwell.settings import Settings
from stepwell.store.model import Record

from .tokens import AUDIENCE, ISSUER, NOW, jwks

TOKENS: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": (AUDIENCE,)}
EVENT = {"specversion": "1.0", "id": "1", "source": "/test", "type": "test"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}


class TestClock:
    """Stands still until a test moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


class Server:
    """A running server: `url`, its app, its clock, and clients of it."""

    def __init__(self, app: App, clock: TestClock, url: str) -> None:
        self.app = app
        self.clock = clock
        self.url = url

    def client(self, *, source: str | None = None, **headers: str) -> httpx.AsyncClient:
        """Sends these headers with every request (`x_api_key` for x-api-key), from a loopback address."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            transport=httpx.AsyncHTTPTransport(local_address=source),
            timeout=20,
        )

    async def key(self, name: str, **options: Any) -> str:
        """The text of a new API key."""
        made, text = new_key(name, now=self.clock.now(), **options)
        await self.keys.create(made)
        return text

    @property
    def keys(self) -> ApiKeys[Record]:
        return ApiKeys(self.app.engine.store, row=Record)


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """A server with these settings, its database and key set in `folder`; it accepts the tokens of the issuer of
    tests when `jwt_jwks` is True.
    """
    clock = TestClock()
    if settings.get("jwt_jwks") is True:
        (folder / "jwks.json").write_text(json.dumps(jwks()))
        settings = {**TOKENS, **settings, "jwt_jwks": str(folder / "jwks.json")}
    app = App(settings=Settings(**{"db": f"sqlite:///{folder}/runs.db", **settings}), clock=clock)
    async with app, served(app.asgi(), http=BoundedHeaders) as url:
        yield Server(app, clock, url)

"""Real keys, real tokens and the real store behind the middleware, as the server puts them together."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from stepwell.security.authentication import AccessRules, Authenticator
from stepwell.security.claims import TokenRules
from stepwell.security.jwks import KeySet, reader_of
from stepwell.security.keys import ApiKeys, new_key
from stepwell.security.middleware import Authentication
from stepwell.security.tokens import TokenVerifier
from stepwell.store.model import Record
from stepwell.store.sqlite.store import SqliteStore

from .apps import DOORS, Clock, show
from .tokens import AUDIENCE, ISSUER, NOW, jwks, token


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[ApiKeys[Record]]:
    store = SqliteStore(str(tmp_path / "a.db"))
    await store.open()
    yield ApiKeys(store, row=Record)
    await store.close()


@pytest.fixture
def served(keys: ApiKeys[Record], tmp_path: Path) -> httpx.AsyncClient:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks()))
    tokens = TokenVerifier(TokenRules(issuer=ISSUER, audiences=(AUDIENCE,)), keys=KeySet(reader_of(str(file))))
    authenticator = Authenticator(AccessRules(bind="0.0.0.0", configured=True), tokens=tokens, keys=keys)
    layer = Middleware(Authentication, authenticator_of=lambda _scope: authenticator, doors=DOORS, clock=Clock())
    app = Starlette(routes=[Route("/{rest:path}", show)], middleware=[layer])
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://api.example")


async def test_person_and_program_of_one_owner_are_one_actor(
    served: httpx.AsyncClient, keys: ApiKeys[Record]
) -> None:
    key, text = new_key("ada's laptop", now=NOW, owner="ada")
    await keys.create(key)
    by_token = await served.get("/api/v1/workflows", headers={"Authorization": f"Bearer {token()}"})
    by_key = await served.get("/api/v1/workflows", headers={"X-API-Key": text})
    assert by_token.json()["id"] == by_key.json()["id"] == "ada"


async def test_foreign_token_and_revoked_key_stay_out(served: httpx.AsyncClient, keys: ApiKeys[Record]) -> None:
    key, text = new_key("ci", now=NOW)
    await keys.create(key)
    await keys.revoke(key.id, NOW)
    foreign = token(iss="https://elsewhere.example")
    for headers in (
        {"Authorization": f"Bearer {foreign}"},
        {"X-API-Key": text},
        {"Authorization": f"Bearer {text}"},
        {},
    ):
        assert (await served.get("/api/v1/workflows", headers=headers)).status_code == 401

"""Every token that only looks like one, sent to a real server with all that is in front of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from .test_tokens import FORGED
from .tokens import SECRET, ec_key, ed_key, rsa_key, token
from .whole import EVENT, STRUCTURED, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    options = {"jwt_jwks": True, "jwt_secret": SECRET.decode(), "auth_failures_per_minute": 0}
    async with serving(tmp_path_factory.mktemp("tokens"), **options) as server, server.client() as client:
        yield client


@pytest.mark.parametrize(
    ("kid", "alg"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA"), ("none of the set", "HS256")]
)
async def test_honest_token_is_let_in(client: httpx.AsyncClient, kid: str, alg: str) -> None:
    keys: dict[str, Any] = {"RS256": rsa_key(), "ES256": ec_key(), "EdDSA": ed_key(), "HS256": SECRET}
    text = token(key=keys[alg], alg=alg, header={"kid": kid})
    assert (await client.get("/ready", headers={"Authorization": f"Bearer {text}"})).status_code == 200


IN_A_HEADER = [name for name in FORGED if name not in ("empty", "with a line break")]
"""HTTP trims the others before anybody sees them."""


@pytest.mark.parametrize("name", IN_A_HEADER)
async def test_no_forged_expired_confused_or_foreign_token_is(client: httpx.AsyncClient, name: str) -> None:
    make, reason = FORGED[name]
    headers = {"Authorization": f"Bearer {make()}"}
    read = await client.get("/ready", headers=headers)
    sent = await client.post("/api/v1/cloudevents", json=EVENT, headers={**STRUCTURED, **headers})
    assert (read.status_code, sent.status_code) == (401, 401)
    assert (read.json()["reason"], sent.json()["reason"]) == (reason, reason)
    assert read.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


async def test_without_a_token_nobody_is_let_in(client: httpx.AsyncClient) -> None:
    assert (await client.get("/ready")).json()["reason"] == "missing_credential"
    assert (await client.get("/health")).status_code == 200

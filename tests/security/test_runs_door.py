"""Who is let in at the runs API: cookie, query, header and internal callers, over real HTTP.

`RUN` is nobody's, so being let in looks like 404 (or 400 for a bad body), and being kept out like 401 or 403.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

from .tokens import rsa_key, token
from .whole import serving

RUNS = "/api/v1/workflow-runs"
RUN = f"{RUNS}/01900000-0000-7000-8000-000000000001"
STREAM = f"{RUN}/stream"
CANCEL = f"{RUNS}/cancel"
GOOD = token()
ORIGIN = "https://app.example"
TRUSTED = ("127.9.0.0/16",)
INTERNAL = "127.9.1.1"


def outcome(answer: httpx.Response) -> str:
    """ "in", or the status with which it was kept out."""
    return str(answer.status_code) if answer.status_code in (401, 403, 429) else "in"


async def asked(method: str, path: str, headers: dict[str, str], tmp_path: Path, **settings: Any) -> str:
    source = settings.pop("source", None)
    async with serving(tmp_path, jwt_jwks=True, **settings) as server, server.client(source=source) as client:
        return outcome(await client.request(method, path, headers=headers, json={} if method == "POST" else None))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Cookie": f"token={GOOD}"}, "in"),
        ({"Cookie": f"a=b; token={GOOD}; c=d"}, "in"),
        ({"Authorization": f"Bearer {GOOD}"}, "in"),
        ({"Cookie": f"token={GOOD}", "Authorization": f"Bearer {GOOD}"}, "in"),
        ({"Cookie": f"token={GOOD}", "Authorization": f"Bearer {token(sub='eve')}"}, "401"),
        ({"Cookie": f"token={GOOD}; token={token(sub='eve')}"}, "401"),
        ({"Cookie": "token=bad"}, "401"),
        ({"Cookie": f"session={GOOD}"}, "401"),
        ({"Api-Key": GOOD}, "401"),
        ({"Authorization": f"Basic {GOOD}"}, "401"),
        ({}, "401"),
    ],
)
async def test_credentials_of_a_reader(headers: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert await asked("GET", RUN, headers, tmp_path) == expected


async def test_name_of_the_cookie_is_a_setting(tmp_path: Path) -> None:
    assert await asked("GET", RUN, {"Cookie": f"__Host-id={GOOD}"}, tmp_path, auth_cookie="__Host-id") == "in"


async def test_cookie_is_nothing_at_other_doors(tmp_path: Path) -> None:
    for path in ("/api/v1/workflows", "/ready"):
        assert await asked("GET", path, {"Cookie": f"token={GOOD}"}, tmp_path) == "401"


async def test_key_works_here_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.client(x_api_key=await server.key("ci")) as client:
        assert outcome(await client.get(RUN)) == "in"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "403"),
        ({"Origin": "https://evil.example"}, "403"),
        ({"Origin": "null"}, "403"),
        ({"Origin": "https://evil.example", "X-Requested-With": "fetch"}, "403"),
        ({"Sec-Fetch-Site": "cross-site"}, "403"),
        ({"Sec-Fetch-Site": "same-site"}, "403"),
        ({"Sec-Fetch-Site": "same-origin"}, "in"),
        ({"X-Requested-With": "fetch"}, "in"),
        ({"Origin": ORIGIN}, "in"),
        ({"Origin": "https://flows.example"}, "in"),
    ],
)
async def test_cookie_changes_something_from_our_own_pages_only(
    headers: dict[str, str], expected: str, tmp_path: Path
) -> None:
    settings = {"cors_origins": (ORIGIN,), "public_url": "https://flows.example"}
    assert await asked("POST", CANCEL, {"Cookie": f"token={GOOD}", **headers}, tmp_path, **settings) == expected


async def test_page_of_the_server_itself_may_use_the_cookie(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True) as server, server.client(cookie=f"token={GOOD}") as client:
        own = await client.post(CANCEL, json={}, headers={"Origin": server.url})
        assert outcome(own) == "in"


async def test_header_needs_no_origin(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {GOOD}", "Origin": "https://evil.example"}
    assert await asked("POST", CANCEL, headers, tmp_path) == "in"


@pytest.mark.parametrize(
    ("on", "method", "path", "expected"),
    [
        (True, "GET", STREAM, "in"),
        (False, "GET", STREAM, "401"),
        (True, "GET", RUN, "401"),
        (True, "GET", RUNS, "401"),
        (True, "POST", f"{RUNS}/execute/stream", "401"),
        (True, "POST", CANCEL, "401"),
    ],
)
async def test_token_in_the_query_is_for_streams_and_behind_a_setting(
    on: bool, method: str, path: str, expected: str, tmp_path: Path
) -> None:
    assert await asked(method, f"{path}?token={GOOD}", {}, tmp_path, auth_query_tokens=on) == expected


async def test_token_in_the_query_and_another_elsewhere_are_two(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {token(sub='eve')}"}
    assert await asked("GET", f"{STREAM}?token={GOOD}", headers, tmp_path, auth_query_tokens=True) == "401"


async def test_bad_token_in_the_query_is_refused(tmp_path: Path) -> None:
    bad = token(key=rsa_key("other"))
    assert await asked("GET", f"{STREAM}?token={bad}", {}, tmp_path, auth_query_tokens=True) == "401"


# --- internal callers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "headers", "expected"),
    [
        (INTERNAL, {"X-Active-Org": "acme"}, "in"),
        (INTERNAL, {}, "403"),
        (INTERNAL, {"X-Active-Org": ""}, "403"),
        ("127.8.1.1", {"X-Active-Org": "acme"}, "401"),
        ("127.0.0.1", {"X-Active-Org": "acme"}, "401"),
        (INTERNAL, {"X-Active-Org": "acme", "X-Forwarded-For": INTERNAL}, "401"),
        ("127.0.0.1", {"X-Active-Org": "acme", "X-Forwarded-For": INTERNAL}, "401"),
        (INTERNAL, {"X-Active-Org": "acme", "Via": "1.1 proxy"}, "401"),
        (INTERNAL, {"X-Active-Org": "acme", "Origin": "http://127.0.0.1"}, "401"),
        (INTERNAL, {"X-Active-Org": "acme", "Sec-Fetch-Site": "same-origin"}, "401"),
        (INTERNAL, {"X-Active-Org": "acme", "Authorization": "Bearer bad"}, "401"),
        (INTERNAL, {"X-Active-Org": "acme", "Cookie": "token=bad"}, "401"),
    ],
)
async def test_internal_caller_is_known_by_its_network_alone(
    source: str, headers: dict[str, str], expected: str, tmp_path: Path
) -> None:
    assert await asked("GET", RUN, headers, tmp_path, source=source, trusted_networks=TRUSTED) == expected


async def test_internal_callers_are_off_unless_set(tmp_path: Path) -> None:
    assert await asked("GET", RUN, {"X-Active-Org": "acme"}, tmp_path, source=INTERNAL) == "401"


async def test_internal_callers_are_let_in_at_this_door_only(tmp_path: Path) -> None:
    for path in ("/api/v1/workflows", "/ready", "/api/v1/cloudevents/1"):
        headers = {"X-Active-Org": "acme"}
        assert await asked("GET", path, headers, tmp_path, source=INTERNAL, trusted_networks=TRUSTED) == "401"

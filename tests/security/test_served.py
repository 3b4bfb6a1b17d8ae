"""Security as a server has it in force: from settings to answers, over real HTTP, through all that guards a door."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from doors.served import served as served_by_uvicorn
from logged import logged
from stepwell import App
from stepwell.core.errors import StorageUnavailableError
from stepwell.security.headers import HEADERS
from stepwell.security.keys import ApiKeys, new_key
from stepwell.settings import Settings
from stepwell.store.model import Record
from stepwell.store.sqlite import SqliteStore

from .servers import Served
from .tokens import NOW, jwks, rsa_key, token
from .whole import EVENT, STRUCTURED, TOKENS, Server, serving

JSON = "application/json"
EVENTS = "/api/v1/cloudevents"
WAITING = "document: {dsl: '1.0.3', namespace: test, name: wait, version: '1.0.0'}\ndo: [{ask: {call: approval}}]"
HEARING = (
    "document: {dsl: '1.0.3', namespace: test, name: hear, version: '1.0.0'}\n"
    "do: [{l: {listen: {to: {one: {with: {type: test}}}}}}]"
)
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "/api/v1/workflow-templates": (JSON, {"name": "ask", "steps": [{"key": "ask", "type": "approval"}]}),
    "/api/v1/workflow-definitions": (
        JSON,
        {"name": "ask", "steps": [{"name": "ask", "type": "human_review", "inputs": {"prompt": "Go on?"}}]},
    ),
    EVENTS: (STRUCTURED["Content-Type"], EVENT),
}
"""Requests of doors that write to the database: media type and body."""
STREAM = {"Accept": "text/event-stream"}


async def send(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(EVENTS, content=json.dumps(EVENT), headers={**STRUCTURED, **named})


async def started(server: Server, owner: str, text: str = WAITING) -> str:
    """A run of an owner that waits."""
    saved = await server.app.engine.save(kind="flow", name=text[50:54], version="1.0.0", text=text)
    return (await server.app.engine.start(saved.name, owner=owner)).run_id


# --- who is let in --------------------------------------------------------------------------------------------------


async def test_key_made_by_another_process_closes_the_anonymous_way_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        assert (await client.get("/ready")).status_code == 200
        other = SqliteStore(str(tmp_path / "runs.db"))
        await other.open()
        made, text = new_key("ci", now=NOW)
        await ApiKeys(other, row=Record).create(made)
        await other.close()

        server.clock.time += 0.2

        assert (await client.get("/ready")).status_code == 401
        assert (await client.get("/ready", headers={"X-API-Key": text})).status_code == 200
        await server.keys.revoke(made.id, NOW)
        assert (await client.get("/ready")).status_code == 401  # revoking the last one opens nothing


async def test_store_that_is_away_does_not_lock_this_machine_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> list[Record]:
        raise StorageUnavailableError("away")

    async with serving(tmp_path) as server, server.client() as client:
        assert (await client.get("/ready")).status_code == 200
        monkeypatch.setattr(server.app.engine.store, "get_records", away)
        server.clock.time += 1
        assert (await client.get("/ready")).status_code == 200
        refused = await client.get("/ready", headers={"X-API-Key": new_key("x", now=NOW)[1]})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("local", [True, False], ids=["this machine", "a key"])
async def test_only_this_machine_is_told_where_the_database_is(tmp_path: Path, *, local: bool) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        headers = {} if local else {"X-API-Key": await server.key("remote")}
        store = server.app.engine.store
        assert isinstance(store, SqliteStore)
        store._writing.execute("PRAGMA query_only = 1")
        with logged() as lines:
            answers = [
                await client.post(path, content=json.dumps(body), headers={**headers, "Content-Type": kind})
                for path, (kind, body) in WRITES.items()
            ]
            answers.append(await client.get("/ready", headers=headers))
        store._writing.execute("PRAGMA query_only = 0")
        well = (await client.get("/ready", headers=headers)).json()
    assert {answer.status_code for answer in answers} == {503}
    assert {"cannot be written" in answer.text for answer in answers} == {True}
    assert {str(tmp_path) in answer.text for answer in answers} == {local}
    assert well["database"] == (server.app.settings.db if local else "sqlite")
    said = {line["path"]: line["error"] for line in lines if line["event"] == "request.store_failed"}
    assert said.keys() == (set() if local else WRITES.keys()), "the log has what the caller was not told"
    assert all(str(tmp_path) in error for error in said.values())


@pytest.mark.parametrize("way", ["x-api-key", "authorization"])
async def test_key_works_until_it_expires_or_is_revoked(tmp_path: Path, way: str) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        made, text = new_key("ci", now=NOW, expires_at=NOW + 60)
        await server.keys.create(made)
        headers = {way: text if way == "x-api-key" else f"Bearer {text}"}

        async def asked() -> tuple[int, Any]:
            found = await client.get("/ready", headers=headers)
            return found.status_code, found.json().get("reason")

        assert await asked() == (200, None)
        server.clock.time += 60
        assert await asked() == (401, "api_key_expired")
        server.clock.time -= 60
        await server.keys.revoke(made.id, NOW)
        assert await asked() == (401, "api_key_revoked")


async def test_key_acts_within_its_scopes(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        reader = await server.key("reader", scopes=("read",))
        writer = await server.key("writer", scopes=("write",))
        assert (await client.get("/ready", headers={"X-API-Key": reader})).status_code == 200
        refused = await send(client, x_api_key=reader)
        assert (refused.status_code, refused.json()["reason"]) == (403, "insufficient_scope")
        assert (await send(client, x_api_key=writer)).status_code == 202
        assert (await client.get("/ready", headers={"X-API-Key": writer})).status_code == 403


async def test_two_credentials_that_differ_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True) as server, server.client() as client:
        key = await server.key("ada", owner="ada")
        both = {"Authorization": f"Bearer {token()}", "X-API-Key": key}
        refused = await client.get("/ready", headers=both)
        assert (refused.status_code, refused.json()["reason"]) == (401, "ambiguous_credentials")
        same = {"Authorization": f"Bearer {key}", "X-API-Key": key}
        assert (await client.get("/ready", headers=same)).status_code == 200


async def test_token_expires_while_the_server_runs(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, jwt_jwks=True, jwt_leeway_s=5) as server,
        server.client(authorization=f"Bearer {token(exp=NOW + 10)}") as client,
    ):
        assert (await client.get("/ready")).status_code == 200
        server.clock.time += 14
        assert (await client.get("/ready")).status_code == 200
        server.clock.time += 1
        assert (await client.get("/ready")).json()["reason"] == "token_expired"


async def test_scopes_of_a_token_count_when_a_claim_is_set(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True, jwt_scopes_claim="scope") as server, server.client() as client:
        reads = {"authorization": f"Bearer {token(scope='openid read')}"}
        assert (await client.get("/ready", headers=reads)).status_code == 200
        assert (await send(client, **reads)).status_code == 403
        assert (await send(client, authorization=f"Bearer {token(scope='read write')}")).status_code == 202
        none = await client.get("/ready", headers={"authorization": f"Bearer {token()}"})
        assert none.status_code == 403


@pytest.mark.parametrize(
    ("named", "status", "reason"),
    [
        (["acme"], 200, None),
        (["beta"], 403, "organisation_not_allowed"),
        (["acme", "beta"], 400, "organisation_ambiguous"),
    ],
)
async def test_organisation_is_one_of_the_tokens(
    tmp_path: Path, named: list[str], status: int, reason: str | None
) -> None:
    async with serving(tmp_path, jwt_jwks=True) as server, server.client() as client:
        headers = [("Authorization", f"Bearer {token()}"), *(("X-Active-Org", one) for one in named)]
        found = await client.get("/ready", headers=headers)
        assert (found.status_code, found.json().get("reason")) == (status, reason)


async def test_issuer_that_is_away_is_our_fault_and_comes_back(tmp_path: Path, served: Served) -> None:
    async with (
        serving(tmp_path, **TOKENS, jwt_jwks=f"{served.url}/keys") as server,
        server.client(authorization=f"Bearer {token()}") as client,
    ):
        away = await client.get("/ready")
        assert (away.status_code, away.headers["retry-after"]) == (503, "60")
        served.answers["/keys"] = (200, {}, json.dumps(jwks()).encode())
        server.clock.time += 60
        assert (await client.get("/ready")).status_code == 200
        assert (await client.get("/ready")).status_code == 200
    assert served.asked == ["/keys", "/keys"]


async def test_wrong_credentials_are_bounded_per_address(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True, auth_failures_per_minute=3) as server:
        wrong = {"Authorization": f"Bearer {token(key=rsa_key('other'))}"}
        good = {"Authorization": f"Bearer {token()}"}
        async with server.client() as client, server.client(source="127.0.0.9") as neighbour:
            found = [(await client.get("/ready", headers=wrong)).status_code for _ in range(5)]
            assert found == [401, 401, 401, 429, 429]
            locked = await client.get("/ready", headers=good)
            assert (locked.status_code, locked.headers["retry-after"]) == (429, "20")
            assert (await client.get("/health")).status_code == 200
            assert (await neighbour.get("/ready", headers=good)).status_code == 200
            server.clock.time += 20
            assert (await client.get("/ready", headers=good)).status_code == 200


async def test_asking_without_a_credential_locks_nobody_out(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True, auth_failures_per_minute=1) as server, server.client() as client:
        found = [(await client.get("/ready")).status_code for _ in range(3)]
        assert found == [401, 401, 401]
        assert (await client.get("/ready", headers={"Authorization": f"Bearer {token()}"})).status_code == 200


# --- whose runs they are --------------------------------------------------------------------------------------------


async def test_life_of_a_run_is_its_owners(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True, jwt_admin_role="chief") as server:
        run_id = await started(server, "ada")
        ada, eve = ({"Authorization": f"Bearer {token(sub=name)}"} for name in ("ada", "eve"))
        chief = {"Authorization": f"Bearer {token(sub='eve', roles=['chief'])}"}
        async with server.client() as client:
            unknown = await client.get(f"{EVENTS}/01900000-0000-7000-8000-000000000001", headers=eve)
            for accept in ({}, STREAM):
                foreign = await client.get(f"{EVENTS}/{run_id}", headers={**eve, **accept})
                assert (foreign.status_code, foreign.json()["title"]) == (404, unknown.json()["title"])
            for headers in (ada, chief):
                assert (await client.get(f"{EVENTS}/{run_id}", headers=headers)).status_code == 200


async def test_totals_are_those_of_the_owners_runs(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True) as server, server.client() as client:
        await started(server, "ada")
        await started(server, "ada")
        for name, number in (("ada", 2), ("eve", 0)):
            headers = {"Authorization": f"Bearer {token(sub=name)}"}
            assert (await client.get("/ready", headers=headers)).json()["open_runs"] == number
            assert ("stepwell_runs{" in (await client.get("/metrics", headers=headers)).text) == (number > 0)


async def test_event_of_one_owner_does_not_reach_runs_of_another(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True) as server, server.client() as client:
        runs = {owner: await started(server, owner, HEARING) for owner in ("ada", "eve", "")}
        assert (await send(client, authorization=f"Bearer {token(sub='eve')}")).status_code == 202
        for owner in ("eve", ""):
            assert (await server.app.engine.result(runs[owner], timeout_s=20)).status == "completed"
        assert not (await server.app.engine.state(runs["ada"])).ended_at
        assert (await send(client, authorization=f"Bearer {token(sub='ada')}")).status_code == 202
        assert (await server.app.engine.result(runs["ada"], timeout_s=20)).status == "completed"


# --- how much may be sent -------------------------------------------------------------------------------------------


async def test_sizes_are_settings(tmp_path: Path) -> None:
    limits = {"max_body_bytes": 2000, "max_header_bytes": 3000, "max_json_depth": 5}
    async with serving(tmp_path, **limits) as server, server.client() as client:

        async def posted(content: bytes, **headers: str) -> int:
            return (await client.post(EVENTS, content=content, headers={**STRUCTURED, **headers})).status_code

        assert await posted(json.dumps({**EVENT, "data": "x" * 1500}).encode()) == 202
        assert await posted(json.dumps({**EVENT, "data": "x" * 2000}).encode()) == 413
        assert await posted(json.dumps({**EVENT, "data": [[[1]]]}).encode()) == 202
        assert await posted(json.dumps({**EVENT, "data": [[[[[1]]]]]}).encode()) == 400
        assert await posted(b'{"a": 1, "a": 2}') == 400
        assert await posted(b"{}", **{"X-Long": "x" * 3000}) == 431


async def test_rate_limit_is_off_unless_set(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        found = await client.get("/ready")
        assert not [name for name in found.headers if name.startswith("x-ratelimit")]


async def test_rate_limit_counts_each_principal(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True, rate_limit=2) as server, server.client() as client:
        ada, eve = ({"Authorization": f"Bearer {token(sub=name)}"} for name in ("ada", "eve"))
        left = [(await client.get("/ready", headers=ada)).headers["x-ratelimit-remaining"] for _ in range(2)]
        assert left == ["1", "0"]
        refused = await client.get("/ready", headers=ada)
        assert (refused.status_code, refused.json()["reason"]) == (429, "rate_limited")
        assert (refused.headers["x-ratelimit-limit"], refused.headers["retry-after"]) == ("2", "30")
        assert (await client.get("/ready", headers=eve)).status_code == 200
        server.clock.time += 30
        assert (await client.get("/ready", headers=ada)).status_code == 200


async def test_streams_of_one_principal_are_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True, max_streams=2) as server, server.client() as client:
        run_id = await started(server, "ada")
        ada = {**STREAM, "Authorization": f"Bearer {token(sub='ada')}"}
        async with client.stream("GET", f"{EVENTS}/{run_id}", headers=ada):
            async with client.stream("GET", f"{EVENTS}/{run_id}", headers=ada) as second:
                assert second.status_code == 200
                refused = await client.get(f"{EVENTS}/{run_id}", headers=ada)
                assert (refused.status_code, refused.json()["reason"]) == (429, "rate_limited")
                assert (await client.get("/ready", headers={**ada, "Accept": "*/*"})).status_code == 200
            assert await _opened(client, run_id, ada) == 200


async def _opened(client: httpx.AsyncClient, run_id: str, headers: dict[str, str]) -> int:
    """The status of a stream once the server has noticed that another one was closed."""
    async with asyncio.timeout(20):
        while True:
            async with client.stream("GET", f"{EVENTS}/{run_id}", headers=headers) as stream:
                if stream.status_code != 429:
                    return stream.status_code


async def test_local_principal_has_as_many_streams_as_it_likes(tmp_path: Path) -> None:
    async with serving(tmp_path, max_streams=1) as server, server.client(accept=STREAM["Accept"]) as client:
        run_id = await started(server, "")
        async with client.stream("GET", f"{EVENTS}/{run_id}"), client.stream("GET", f"{EVENTS}/{run_id}") as second:
            assert second.status_code == 200


# --- browsers -------------------------------------------------------------------------------------------------------


async def test_every_answer_tells_browsers_what_not_to_do(tmp_path: Path) -> None:
    async with serving(tmp_path, jwt_jwks=True) as server, server.client() as client:
        for path in ("/health", "/ready", "/nowhere"):
            found = (await client.get(path)).headers
            assert {name: found[name] for name in HEADERS} == HEADERS


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,idempotency-key"}


async def test_other_origins_may_nothing_unless_named(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.client(origin="https://app.example") as client:
        found = [await client.options(EVENTS, headers=PREFLIGHT), await client.get("/ready"), await send(client)]
        assert not any(name.startswith("access-control") for one in found for name in one.headers)
        assert found[2].status_code == 403


async def test_named_origin_may_ask_and_read(tmp_path: Path) -> None:
    options: dict[str, Any] = {"jwt_jwks": True, "cors_origins": ("https://app.example",)}
    async with serving(tmp_path, **options) as server, server.client() as client:
        ours, other = {"Origin": "https://app.example"}, {"Origin": "https://evil.example"}
        asked = await client.options(EVENTS, headers={**PREFLIGHT, **ours})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert asked.headers["access-control-allow-credentials"] == "true"
        refused = await client.options(EVENTS, headers={**PREFLIGHT, **other})
        assert "access-control-allow-origin" not in refused.headers
        read = await client.get("/ready", headers=ours)  # also what is refused: a page must learn why
        assert (read.status_code, read.headers["access-control-allow-origin"]) == (401, "https://app.example")
        assert "X-Workflow-Run-Id" in read.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in (await client.get("/ready", headers=other)).headers


async def test_proxy_in_front_is_known_by_its_own_name(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, public_url="https://flows.example", jwt_jwks=True) as server,
        server.client(authorization=f"Bearer {token()}", x_forwarded_for="192.0.2.1") as client,
    ):
        assert (await client.get("/ready", headers={"Host": "flows.example"})).status_code == 200
        assert (await client.get("/ready", headers={"Host": "other.example"})).status_code == 421


async def test_forwarded_request_is_nobodys(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.client() as client:
        for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
            found = await client.get("/ready", headers={name: "127.0.0.1"})
            assert (found.status_code, found.json()["reason"]) == (401, "missing_credential")


# --- what is logged -------------------------------------------------------------------------------------------------


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def test_access_log_has_no_credentials(tmp_path: Path) -> None:
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))
    lines, log = Lines(), logging.getLogger("uvicorn.access")
    async with app, served_by_uvicorn(app.asgi(), access_log=True, log_level="info") as url:
        log.addHandler(lines)
        try:
            async with httpx.AsyncClient(base_url=url) as client:
                await client.post("/api/v1/workflow-callbacks/run-id.mac-of-it?x=1", content=b"{}")
                await client.get(f"/api/v1/workflow-runs/1/stream?after=2&token={token()}")
        finally:
            log.removeHandler(lines)
    assert len(lines.lines) == 2
    assert '"POST /api/v1/workflow-callbacks/***?x=1 HTTP/1.1"' in lines.lines[0]
    assert "after=2" in lines.lines[1]
    assert "eyJ" not in lines.lines[1]

"""Who sees and does what: what belongs to others does not exist, and refusals have this API's shape."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from stepwell.core.status import Status
from stepwell.engine.ids import workflow_uuid

from .serving import DEFINITIONS, FORMS, NOBODY, RUNS, House, housed, json_of, parse_events, review, step

SECRET = "a shared secret of more than thirty-two bytes"
TOKENS = {"jwt_issuer": "https://id.example", "jwt_audience": ("stepwell",), "jwt_secret": SECRET}


def token(subject: str, **claims: Any) -> str:
    honest = {"iss": "https://id.example", "aud": "stepwell", "sub": subject, "exp": time.time() + 600, **claims}
    return jwt.encode(honest, SECRET, "HS256")


def bearer(subject: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(subject, **claims)}"}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[House]:
    """A server that knows its callers by token; its client is Ann."""
    async with housed(tmp_path, auth_query_tokens=True, **TOKENS) as house:
        house.client.headers.update(bearer("ann"))
        yield house


async def test_what_belongs_to_others_is_not_there_on_any_path(guarded: House) -> None:
    house, bob = guarded, bearer("bob")
    id = await house.define(review(), inputs=[{"name": "paper", "type": "file"}])
    json_of(await house.client.put(f"{DEFINITIONS}/{id}/schedule", json={"cron": "0 9 * * *"}))
    files: Any = {"workflowId": (None, id), "paper": ("a.txt", b"x")}
    prefer = {"Prefer": "respond-async"}
    run_id = (await house.client.post(f"{RUNS}/execute", files=files, headers=prefer)).headers["x-workflow-run-id"]
    await house.until(run_id, Status.WAITING)
    (form,) = json_of(await house.client.get(FORMS))["userForms"]
    version = json_of(await house.client.get(f"{DEFINITIONS}/{id}"))["workflow"]["versionId"]
    object_id = (await house.get(run_id))["inputs"][0]["value"]["objectId"]
    document = {"name": "x", "steps": [review()]}
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"{RUNS}/{run_id}", None),
        ("GET", f"{RUNS}/{run_id}/stream", None),
        ("GET", f"{RUNS}/{run_id}/files/{object_id}", None),
        ("GET", f"{RUNS}/dashboard/{id}", None),
        ("POST", f"{RUNS}/execute", {"workflowId": id}),
        ("POST", f"{RUNS}/execute/stream", {"workflowId": id}),
        ("POST", f"{RUNS}/cancel", {"workflowId": id}),
        ("GET", f"{FORMS}/{form['id']}", None),
        ("POST", f"{FORMS}/{form['id']}/submit", {"action": "approve"}),
        ("GET", f"{DEFINITIONS}/{id}", None),
        ("PUT", f"{DEFINITIONS}/{id}", document),
        ("DELETE", f"{DEFINITIONS}/{id}", None),
        ("GET", f"{DEFINITIONS}/{id}/versions", None),
        ("GET", f"{DEFINITIONS}/{id}/versions/{version}", None),
        ("POST", f"{DEFINITIONS}/{id}/versions/{version}/default", None),
        ("POST", f"{DEFINITIONS}/{id}/envs", {"envs": {}}),
        ("GET", f"{DEFINITIONS}/{id}/schedule", None),
        ("PUT", f"{DEFINITIONS}/{id}/schedule", {"paused": True}),
        ("DELETE", f"{DEFINITIONS}/{id}/schedule", None),
        ("GET", f"{DEFINITIONS}/{id}/upcoming-runs", None),
    ]
    for method, path, body in asked:
        theirs = await house.client.request(method, path, json=body, headers=bob)
        nobodys = await house.client.request(method, path.replace(id, NOBODY).replace(run_id, NOBODY).replace(
            form["id"], NOBODY), json={**body, "workflowId": NOBODY} if "workflowId" in (body or {}) else body,
            headers=bob)  # fmt: skip
        assert (theirs.status_code, nobodys.status_code) == (404, 404), (method, path, theirs.text)
        assert theirs.json().keys() == nobodys.json().keys()
    answer = await house.client.post(f"{RUNS}/cancel", json={"runIds": [run_id]}, headers=bob)
    assert json_of(answer)["results"] == [{"runId": run_id, "status": "not_found", "message": "There is no such run"}]
    for path in (RUNS, DEFINITIONS, FORMS, f"{RUNS}?workflowId={id}", f"{FORMS}?workflowRunId={run_id}"):
        assert json_of(await house.client.get(path, headers=bob))["pagination"]["total"] == 0
    assert (await house.get(run_id))["status"] == "waiting"


async def test_administrator_sees_the_runs_of_all(tmp_path: Path) -> None:
    async with housed(tmp_path, jwt_admin_role="boss", **TOKENS) as house:
        house.client.headers.update(bearer("ann"))
        run_id = await house.begin(await house.define(review()))
        boss = bearer("bob", roles=["boss"])
        assert json_of(await house.client.get(RUNS, headers=boss))["pagination"]["total"] == 1
        assert (await house.client.get(f"{RUNS}/{run_id}", headers=boss)).status_code == 200


async def test_operators_workflows_are_everybodys_and_their_runs_are_not(guarded: House) -> None:
    id = workflow_uuid("double")
    await guarded.run(id, inputs={"n": 1})
    theirs = await guarded.client.post(
        f"{RUNS}/execute", json={"workflowId": id, "inputs": {"n": 2}}, headers=bearer("bob")
    )
    assert json_of(theirs)["workflowRun"]["outputs"] == 4
    for headers in (bearer("ann"), bearer("bob")):
        assert json_of(await guarded.client.get(f"{RUNS}/dashboard/{id}", headers=headers))["total"] == 1


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}/execute", DEFINITIONS, FORMS])
async def test_who_is_not_let_in_is_told_in_this_shape(guarded: House, path: str) -> None:
    async with httpx.AsyncClient(base_url=guarded.url) as client:
        for headers in ({}, {"Authorization": "Bearer x"}):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "Not authenticated")
            assert answer.json().keys() == {"success", "error", "details"}
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_reader_may_not_execute(tmp_path: Path) -> None:
    async with housed(tmp_path, jwt_scopes_claim="scope", **TOKENS) as house:
        headers = bearer("ann", scope="read")
        assert (await house.client.get(RUNS, headers=headers)).status_code == 200
        answer = await house.client.post(f"{RUNS}/execute", json={"workflowId": NOBODY}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "Not allowed")


async def test_cookie_is_enough_to_read_and_needs_its_origin_to_execute(guarded: House) -> None:
    id = await guarded.define(step("echo", {"value": 1}))
    async with httpx.AsyncClient(base_url=guarded.url, cookies={"token": token("ann")}) as client:
        assert (await client.get(RUNS)).status_code == 200
        refused = await client.post(f"{RUNS}/execute", json={"workflowId": id})
        assert (refused.status_code, refused.json()["error"]) == (403, "Not allowed")
        own = {"Sec-Fetch-Site": "same-origin"}
        assert (await client.post(f"{RUNS}/execute", json={"workflowId": id}, headers=own)).status_code == 200
        assert (await client.get(RUNS, headers={"x-active-org": "acme"})).status_code == 403
    async with httpx.AsyncClient(base_url=guarded.url, cookies={"token": token("ann", org_id="acme")}) as client:
        assert (await client.get(RUNS, headers={"x-active-org": "acme"})).status_code == 200


async def test_token_in_the_query_is_for_streams_only(guarded: House) -> None:
    run = await guarded.run(await guarded.define(step("echo", {"value": 1})))
    async with httpx.AsyncClient(base_url=guarded.url) as client:
        query = {"token": token("ann")}
        streamed = await client.get(f"{RUNS}/{run['id']}/stream", params=query)
        assert parse_events(streamed.text)[-1].event == "result"
        assert (await client.get(f"{RUNS}/{run['id']}", params=query)).status_code == 401
        body = {"workflowId": run["workflowId"]}
        assert (await client.post(f"{RUNS}/execute/stream", params=query, json=body)).status_code == 401


async def test_streams_of_one_caller_are_bounded(tmp_path: Path) -> None:
    async with housed(tmp_path, max_streams=1, **TOKENS) as house:
        house.client.headers.update(bearer("ann"))
        run_id = await house.begin(await house.define(review()))
        async with house.client.stream("GET", f"{RUNS}/{run_id}/stream"):
            answer = await house.client.get(f"{RUNS}/{run_id}/stream")
            assert (answer.status_code, answer.json()["error"]) == (429, "Too many requests")
            assert answer.headers["retry-after"] == "1"


async def test_runs_of_internal_callers_belong_to_the_organisation_they_name(tmp_path: Path) -> None:
    async with housed(tmp_path, trusted_networks=("127.9.0.0/16",), **TOKENS) as house:
        house.client.headers.update(bearer("ann"))
        transport = httpx.AsyncHTTPTransport(local_address="127.9.1.1")
        async with httpx.AsyncClient(base_url=house.url, transport=transport) as internal:
            acme = {"x-active-org": "acme"}
            made = await internal.post(DEFINITIONS, json={"name": "x", "steps": [review()]}, headers=acme)
            id = json_of(made)["workflow"]["id"]
            prefer = {"Prefer": "wait=0", **acme}
            await internal.post(f"{RUNS}/execute", json={"workflowId": id}, headers=prefer)
            assert json_of(await internal.get(RUNS, headers=acme))["pagination"]["total"] == 1
            assert json_of(await internal.get(RUNS, headers={"x-active-org": "other"}))["pagination"]["total"] == 0
            assert (await internal.get(RUNS)).status_code == 403
        assert json_of(await house.client.get(RUNS))["pagination"]["total"] == 0

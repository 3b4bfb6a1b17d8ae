"""Whatever belongs to ada does not exist for eve: every route that the server documents, every kind of id.

The routes are read from the generated OpenAPI document: a new one fails here until it says whose ids it takes.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

import stepwell
from stepwell.core.principal import Scope
from stepwell.core.program import RunContext
from stepwell.engine.ids import workflow_uuid
from stepwell.security.keys import ApiKeys, new_key
from stepwell.settings import Settings
from stepwell.store.model import Record, RunQuery

from .served import served

Json = dict[str, Any]
Route = tuple[str, str]

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "only-ada-knows"
"""Stands in everything that ada makes."""
DAILY: Json = {"type": "recurring", "cron": "0 3 * * *"}
ASK: Json = {"key": "review", "type": "approval", "config": {"prompt": MARK}}
TEMPLATE: Json = {"name": f"{MARK} template", "steps": [ASK], "additional_variables": True}
DEFINITION: Json = {
    "name": f"{MARK} definition",
    "inputs": [{"name": "paper", "type": "file", "required": False}],
    "steps": [{"name": "review", "type": "human_review", "inputs": {"prompt": MARK}}],
}
PIPELINE: Json = {
    "id": "pipeline-of-ada",
    "messageType": "kafka",
    "producerName": "none",
    "topic": "t",
    "pipeline": [{"stage": "a", "source": "none", "emit": True, "set": {"x": MARK}}],
}
SCHEMA: Json = {"id": "schema-of-ada", "type": "json", "schema": '{"type": "object"}'}

EVENT: Json = {"event": {"type": "StopEvent", "value": {}}}

PUBLIC = {
    *("/health", "/llama/health", "/openapi.json", "/openapi/{door}.json", "/docs"),  # the same for everybody
    *("/ready", "/metrics"),  # totals of one's own runs: tests/security/test_served.py
    *("/api/v1/workflow-callbacks", "/api/v1/workflow-callbacks/{token}"),  # the token is the credential
}
OPERATORS = ("connectors/configurations", "/api/v1/remote/schedules")
"""Connections to brokers and databases, and schedules of the database, are the operator's: nobody but an admin has to
do with them.
"""
IDS = {
    "/api/v1/workflows/{id}": "run",
    "/api/v1/workflows/{id}/approvals/{approval_id}": "approval",
    "/api/v1/approvals/{id}": "approval",
    "/api/v1/workflow-templates/{id}": "template",
    "/api/v1/workflow-templates/{id}/versions/{version}": "template_version",
    "/api/v1/webhooks/{id}": "webhook",
    "/api/v1/webhooks/{id}/deliveries/{delivery_id}": "delivery",
    "/api/v1/workflow-definitions/{id}": "definition",
    "/api/v1/workflow-definitions/{id}/versions/{version_id}": "definition_version",
    "/api/v1/workflow-runs/{run_id}": "execution",
    "/api/v1/workflow-runs/{run_id}/files/{object_id}": "file",
    "/api/v1/workflow-runs/dashboard/{workflow_id}": "definition",
    "/api/v1/user-forms/{form_id}": "form",
    "/api/v1/cloudevents/{run_id}": "run",
    "/api/v1/remote/runs/{id}": "run",
    "/api/v1/remote/approvals/{id}": "approval",
    "/api/schemas/{id}": "schema",
    "/api/workflows/{id}": "pipeline",
    **{f"{prefix}/engine/runs/{{run_id}}": "pipeline_run" for prefix in ("", "/api")},
    **{f"{prefix}/workflows/{{name}}": "pipeline" for prefix in ("", "/llama")},
    **{f"/{of}/{{handler_id}}": "handler" for of in ("handlers", "results", "events")},
    **{f"/llama/{of}/{{handler_id}}": "new_handler" for of in ("handlers", "results", "events")},
}
"""Path up to a parameter to the kind of id it takes."""


class World:
    """A server, two people, and the ids of all that ada has."""

    def __init__(self, app: stepwell.App, client: httpx.AsyncClient) -> None:
        self.app = app
        self.client = client
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {"template_version": "1"}
        self.before: dict[str, str] = {}

    async def person(self, name: str, *scopes: Scope) -> None:
        key, text = new_key(name, now=self.app.engine.clock.now(), scopes=scopes or ("read", "write"))
        await ApiKeys(self.app.engine.store, row=Record).create(key)
        self.keys[name] = text

    async def ask(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer; of a stream its beginning only."""
        headers = {"X-API-Key": self.keys[who], **options.pop("headers", {})}
        async with self.client.stream(method, path, headers=headers, **options) as answer:
            if "event-stream" not in answer.headers.get("content-type", ""):
                await answer.aread()
            return answer

    async def made(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """What ada is answered."""
        answer = await self.ask("ada", method, path, **({} if body is None else {"json": body}), **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def path(self, template: str) -> str:
        """A path with ada's ids in it."""

        def id_of(found: re.Match[str]) -> str:
            place = template[: found.end()]
            assert place in IDS, f"whose id stands at the end of {place}? say so in IDS"
            return self.ids[IDS[place]]

        return re.sub(r"\{\w+\}", id_of, template)

    def body(self, method: str, path: str) -> Any:
        """A body that nothing is wrong with, where a route needs one."""
        prefix = "/api/v1/workflow-definitions/{id}"
        bodies: dict[Route, Any] = {
            ("POST", "/api/v1/workflows/{id}/rollback"): {"snapshot_id": self.ids["snapshot"]},
            ("PUT", "/api/v1/workflow-templates/{id}"): TEMPLATE,
            ("PUT", prefix): DEFINITION,
            ("POST", f"{prefix}/envs"): {"envs": {}},
            ("PUT", f"{prefix}/schedule"): DAILY,
            ("POST", "/api/v1/user-forms/{form_id}/submit"): {"action": "approve"},
            ("PUT", "/api/workflows/{id}"): PIPELINE,
            ("POST", "/api/schemas/{id}"): SCHEMA,
            ("PUT", "/api/schemas/{id}"): SCHEMA,
            ("POST", "/events/{handler_id}"): EVENT,
            ("POST", "/api/v1/remote/runs/{id}/commands"): {"command": "cancel"},
            ("POST", "/api/v1/remote/runs/{id}/signals"): {"signal": "stolen"},
            ("POST", "/api/v1/remote/approvals/{id}/decision"): {"approved": True},
            ("POST", "/llama/events/{handler_id}"): EVENT,
        }
        return bodies.get((method, path), {} if method in ("POST", "PATCH") else None)

    async def probe(self, who: str, method: str, path: str) -> httpx.Response:
        body = self.body(method, path)
        return await self.ask(who, method, self.path(path), **({} if body is None else {"json": body}))


# --- what ada has ---------------------------------------------------------------------------------------------------


async def _agents(world: World) -> None:
    ids = world.ids
    ids["template"] = (await world.made("POST", "/api/v1/workflow-templates", TEMPLATE))["id"]
    await world.made("POST", f"/api/v1/workflow-templates/{ids['template']}/publish")
    order = {"template_id": ids["template"], "input": {"note": MARK}, "metadata": {"note": MARK}}
    ids["run"] = (await world.made("POST", "/api/v1/workflows", order))["id"]
    ids["approval"] = await _approval(world, ids["run"])
    ids["snapshot"] = (await world.made("POST", f"/api/v1/workflows/{ids['run']}/snapshots", {"label": MARK}))["id"]
    hook = {"url": "http://127.0.0.1:1/hook", "events": ["*"], "description": MARK}
    ids["webhook"] = (await world.made("POST", "/api/v1/webhooks", hook))["id"]
    ids["delivery"] = (await world.made("POST", f"/api/v1/webhooks/{ids['webhook']}/test"))["id"]


async def _approval(world: World, run_id: str) -> str:
    """What a run asks, once it does."""
    async with asyncio.timeout(20):
        async for seen in world.app.engine.watch(run_id):
            if seen.event is not None and (view := await world.app.engine.view(run_id)).approvals:
                return view.approvals[0].id
    raise AssertionError("the run has ended")


async def _runs(world: World) -> None:
    ids = world.ids
    found = await world.made("POST", "/api/v1/workflow-definitions", DEFINITION)
    ids["definition"] = found["workflow"]["id"]
    ids["definition_version"] = found["workflow"]["versionId"]
    await world.made("PUT", f"/api/v1/workflow-definitions/{ids['definition']}/schedule", DAILY)
    form = {"data": {"workflowId": ids["definition"]}, "files": {"paper": ("paper.txt", MARK.encode())}}
    execute = await world.ask("ada", "POST", "/api/v1/workflow-runs/execute", headers={"Prefer": "wait=0"}, **form)
    ids["execution"] = execute.headers["x-workflow-run-id"]
    ids["form"] = await _approval(world, ids["execution"])
    view = await world.app.engine.view(ids["execution"])
    ids["file"] = _object_id(view.input)


def _object_id(value: Any) -> str:
    found = re.search(r'"objectId":"([^"]+)"', msgspec.json.encode(value).decode())
    assert found is not None
    return found[1]


async def _devset(world: World) -> None:
    await world.made("POST", "/api/workflows", PIPELINE)
    await world.made("POST", "/api/schemas", SCHEMA)
    world.ids |= {
        "pipeline": PIPELINE["id"],
        "schema": SCHEMA["id"],
        "pipeline_run": (await world.made("POST", "/engine/execute", PIPELINE))["runId"],
    }
    await world.app.engine.result(world.ids["pipeline_run"], timeout_s=20)
    row = next(row for row in await world.app.engine.list_runs() if row.run_id == world.ids["pipeline_run"])
    world.ids |= {"pipeline_name": row.workflow, "pipeline_uuid": workflow_uuid(row.workflow)}


async def _llama(world: World) -> None:
    for kind, prefix in (("handler", ""), ("new_handler", "/llama")):
        start = {"start_event": {"note": MARK}}
        made = await world.made("POST", f"{prefix}/workflows/stand_still/run-nowait", start)
        world.ids[kind] = made["handler_id"]


async def stand_still(ctx: RunContext, input: Any) -> Any:
    await ctx.sleep("/still", 3600)
    return input


def routes(folder: Path = Path("/nowhere")) -> list[Route]:
    """Every route that the server documents."""
    server = stepwell.App(settings=Settings(db=f"sqlite:///{folder}/none.db")).asgi()
    document = msgspec.json.decode(server.state.documents.whole())
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


ROUTES = [route for route in routes() if route[1] not in PUBLIC and not any(of in route[1] for of in OPERATORS)]
WITH_ID = [route for route in ROUTES if "{" in route[1]]
LISTS = [path for method, path in ROUTES if method == "GET" and "{" not in path]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("owners")
    app = stepwell.App(settings=Settings(db=f"sqlite:///{folder}/runs.db", egress_allow=("127.0.0.1",)))
    app.add_workflow("stand_still", stand_still)
    async with served(app.asgi()) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        world = World(app, client)
        await world.person("ada")
        await world.person("eve")
        await world.person("boss", "admin")
        await _agents(world)
        await _runs(world)
        await _devset(world)
        await _llama(world)
        world.before = {path: (await world.probe("ada", "GET", path)).text for path in _read_whole()}
        yield world


def _read_whole() -> list[str]:
    """What is read of ada's things, to be compared."""
    changing = ("/stream", "/upcoming-runs", "/deliveries", "/events/{handler_id}")
    return [path for method, path in WITH_ID if method == "GET" and not path.endswith(changing)]


# --- eve ------------------------------------------------------------------------------------------------------------


async def test_there_are_routes_of_every_door() -> None:
    assert len(WITH_ID) > 40
    assert {path.split("/")[3] for _, path in WITH_ID if path.startswith("/api/v1/")} == {
        *("workflows", "workflow-templates", "approvals", "webhooks", "cloudevents"),
        *("workflow-runs", "workflow-definitions", "user-forms", "remote"),
    }


@pytest.mark.parametrize(("method", "path"), WITH_ID)
async def test_id_of_somebody_else_is_unknown(method: str, path: str, world: World) -> None:
    found = await world.probe("eve", method, path)
    assert (found.status_code, MARK in found.text) == (404, False), found.text


@pytest.mark.parametrize("path", LISTS)
async def test_list_has_nothing_of_somebody_else(path: str, world: World) -> None:
    found = await world.ask("eve", "GET", path)
    assert found.status_code == 200
    assert not [id for id in (MARK, *world.ids.values()) if len(id) > 8 and id in found.text]


# --- ids in bodies and queries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["template", "definition", "pipeline_uuid"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/workflows", "template_id"),
        ("/api/v1/workflow-runs/execute", "workflowId"),
        ("/api/v1/workflow-runs/execute/stream", "workflowId"),
    ],
)
async def test_workflow_of_somebody_else_cannot_be_started(path: str, field: str, kind: str, world: World) -> None:
    found = await world.ask("eve", "POST", path, json={field: world.ids[kind]})
    assert (found.status_code, MARK in found.text) == (404, False), found.text


@pytest.mark.parametrize("kind", ["template", "definition", "pipeline_name", "pipeline_uuid"])
async def test_workflow_of_somebody_else_is_no_child_of_a_template(kind: str, world: World) -> None:
    for field in ("template_id", "workflow_id"):
        step = {"key": "steal", "type": "subworkflow", "config": {field: world.ids[kind], "input": {}}}
        found = await world.ask("eve", "POST", "/api/v1/workflows", json={"name": "thief", "steps": [step]})
        await _must_come_to_nothing(world, found, found.json().get("id", ""))


@pytest.mark.parametrize("kind", ["template", "definition", "pipeline_name", "pipeline_uuid"])
async def test_workflow_of_somebody_else_is_no_child_of_a_definition(kind: str, world: World) -> None:
    step = {"name": "steal", "type": "subworkflow", "inputs": {"workflow_id": world.ids[kind], "input": {}}}
    made = await world.ask("eve", "POST", "/api/v1/workflow-definitions", json={"name": "thief", "steps": [step]})
    if not made.is_success:
        await _must_come_to_nothing(world, made, "")
        return
    order = {"workflowId": made.json()["workflow"]["id"]}
    found = await world.ask("eve", "POST", "/api/v1/workflow-runs/execute", json=order)
    await _must_come_to_nothing(world, found, found.headers.get("x-workflow-run-id", ""))


async def _must_come_to_nothing(world: World, answer: httpx.Response, run_id: str) -> None:
    """Refused at once, or a run that fails for want of its child."""
    assert MARK not in answer.text
    if not answer.is_success or not run_id:
        assert answer.status_code in (400, 404, 422), answer.text
        return
    result = await world.app.engine.result(run_id, timeout_s=20)
    assert result.status == "failed"
    assert result.error is not None
    assert "there is no workflow" in result.error.detail
    assert not await world.app.engine.list_runs(RunQuery(parent_id=run_id))


async def test_run_of_somebody_else_is_not_found_to_be_cancelled(world: World) -> None:
    ids = [world.ids[kind] for kind in ("run", "execution")]
    found = await world.ask("eve", "POST", "/api/v1/workflow-runs/cancel", json={"runIds": ids})
    assert [one["status"] for one in found.json()["results"]] == ["not_found", "not_found"]
    of_workflow = {"workflowId": world.ids["definition"]}
    found = await world.ask("eve", "POST", "/api/v1/workflow-runs/cancel", json=of_workflow)
    assert world.ids["execution"] not in found.text


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/workflow-runs", "workflowId={definition}"),
        ("/api/v1/workflow-runs", "search={run}"),
        ("/api/v1/workflow-runs", "search=only-ada"),
        ("/api/v1/workflows", "template_id={template}"),
        ("/api/v1/user-forms", "workflowRunId={execution}"),
        ("/api/v1/workflow-templates", "search=only-ada"),
        ("/api/v1/workflow-definitions", "search=only-ada"),
        ("/engine/runs", "before={pipeline_run}"),
    ],
)
async def test_filter_finds_nothing_of_somebody_else(path: str, query: str, world: World) -> None:
    found = await world.ask("eve", "GET", f"{path}?{query.format(**world.ids)}")
    shown = [id for kind, id in world.ids.items() if len(id) > 8 and id in found.text and f"{{{kind}}}" not in query]
    assert (MARK in found.text, shown) == (False, [])
    assert found.status_code in (200, 404)


async def test_idempotency_keys_are_each_persons_own(world: World) -> None:
    order = {"template_id": world.ids["template"], "input": {"note": MARK}}
    key = {"Idempotency-Key": "the-same"}
    first = await world.made("POST", "/api/v1/workflows", order, headers=key)
    assert (await world.made("POST", "/api/v1/workflows", order, headers=key))["id"] == first["id"]
    found = await world.ask("eve", "POST", "/api/v1/workflows", json=order, headers=key)
    assert (found.status_code, first["id"] in found.text) == (404, False)
    mine = {"name": "mine", "steps": [{"key": "now", "type": "wait", "config": {"seconds": 0}}]}
    other = await world.ask("eve", "POST", "/api/v1/workflows", json=mine, headers={"Idempotency-Key": "another"})
    assert other.status_code == 201


async def test_admin_sees_what_is_adas(world: World) -> None:
    for path in ("/api/v1/workflows/{id}", "/api/v1/workflow-runs/{run_id}", "/api/v1/cloudevents/{run_id}"):
        assert (await world.probe("boss", "GET", path)).status_code == 200


async def test_admin_who_runs_somebodys_template_gets_its_children(world: World) -> None:
    now = {"key": "now", "type": "wait", "config": {"seconds": 0}}
    child = (await world.made("POST", "/api/v1/workflow-templates", {"name": "child", "steps": [now]}))["id"]
    await world.made("POST", f"/api/v1/workflow-templates/{child}/publish")
    steps = [{"key": "child", "type": "subworkflow", "config": {"template_id": child, "input": {}}}]
    parent = (await world.made("POST", "/api/v1/workflow-templates", {"name": "parent", "steps": steps}))["id"]
    await world.made("POST", f"/api/v1/workflow-templates/{parent}/publish")
    found = await world.ask("boss", "POST", "/api/v1/workflows", json={"template_id": parent})
    assert found.status_code == 201
    assert (await world.app.engine.result(found.json()["id"], timeout_s=20)).status == "completed"


# --- ada ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [route for route in routes() if OPERATORS[0] in route[1] and route[0] != "GET"]
)
async def test_connections_are_changed_by_admins_only(method: str, path: str, world: World) -> None:
    found = await world.ask(
        "eve", method, path.format(type="kafka", name="main"), json={"type": "kafka", "name": "main"}
    )
    assert found.status_code == 403


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if OPERATORS[1] in route[1]])
async def test_schedules_of_the_database_are_for_admins_only(method: str, path: str, world: World) -> None:
    body = {"workflow": "stand_still", "every_s": 1} if (method, path) == ("POST", OPERATORS[1]) else None
    found = await world.ask("eve", method, path.format(id="any"), json=body)
    assert (found.status_code, "admin" in found.text) == (403, True)


async def test_nothing_of_ada_has_changed(world: World) -> None:
    for path, text in world.before.items():
        assert (await world.probe("ada", "GET", path)).text == text, path


async def test_ada_herself_finds_everything(world: World) -> None:
    """Else every route above would say 404 for another reason."""
    first = [
        route for route in WITH_ID if route[1].startswith("/api/v1/user-forms")
    ]  # a form ends with its run's wait
    last = [route for route in WITH_ID if route[0] == "DELETE"]
    ordered = [*first, *(route for route in WITH_ID if route not in (*first, *last)), *reversed(last)]
    found = {f"{method} {path}": (await world.probe("ada", method, path)).status_code for method, path in ordered}
    failed = [route for route in found if route.startswith("POST") and route.endswith("/run")]
    assert {found.pop(route) for route in failed} == {500}, "that API tells so that a run failed: there is no broker"
    assert not [route for route, status in found.items() if status == 404 or status >= 500]

"""The operations door: health, readiness, metrics, and whatever lies outside every door."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import stepwell
from stepwell.core.errors import StorageUnavailableError
from stepwell.doors.hosts import is_loopback
from stepwell.settings import Settings

HERE = "http://127.0.0.1:8082"


async def nothing(_ctx: stepwell.RunContext, _input: Any) -> None: ...


@pytest.fixture
def app(tmp_path: Path) -> stepwell.App:
    app = stepwell.App(db=f"sqlite:///{tmp_path}/door.db")
    app.add_workflow("nothing", nothing)
    return app


@asynccontextmanager
async def served(app: stepwell.App) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app's server, whose lifespan runs meanwhile."""
    server = app.asgi()
    transport = httpx.ASGITransport(server, raise_app_exceptions=False)
    async with (
        server.router.lifespan_context(server),
        httpx.AsyncClient(transport=transport, base_url=HERE) as client,
    ):
        yield client


@pytest.fixture
async def client(app: stepwell.App) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/llama/health"])
async def test_health_is_exactly_this(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
    assert answer.headers["content-type"] == "application/json"


async def test_ready_says_what_it_works_with(client: httpx.AsyncClient, app: stepwell.App) -> None:
    answer = await client.get("/ready")

    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "database": app.settings.db, "driving": True, "active_runs": 0, "open_runs": 0},
    )


async def test_not_ready_while_the_store_cannot_write(
    client: httpx.AsyncClient, app: stepwell.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> bool:
        raise StorageUnavailableError("the disk that holds door.db is full")

    monkeypatch.setattr(app.engine.store, "put_record", full)

    answer = await client.get("/ready")

    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["reason"]) == ("not_ready", "the disk that holds door.db is full")
    assert (await client.get("/health")).status_code == 200


async def test_metrics_count_runs_and_commits(client: httpx.AsyncClient, app: stepwell.App) -> None:
    await app.engine.run("nothing")

    lines = (await client.get("/metrics")).text.splitlines()

    assert 'stepwell_runs{status="completed",workflow="nothing"} 1.0' in lines
    assert "stepwell_driving 1.0" in lines
    assert any(line.startswith("stepwell_filter_faults_total ") for line in lines)
    assert "stepwell_store_up 1.0" in lines
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["stepwell_commits_total"]) >= float(values["stepwell_commit_groups_total"]) >= 1


async def test_metrics_have_histograms_and_causes(client: httpx.AsyncClient, app: stepwell.App) -> None:
    await app.engine.run("nothing")

    lines = (await client.get("/metrics")).text.splitlines()

    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['stepwell_run_events_total{event="completed"}']) == 1
    assert float(values["stepwell_commit_seconds_count"]) >= 1
    assert values['stepwell_commit_batches_bucket{le="+Inf"}'] == values["stepwell_commit_batches_count"]
    assert float(values["stepwell_commit_batches_sum"]) == float(values["stepwell_commits_total"])


async def test_the_dashboard_shows_metrics_that_exist(client: httpx.AsyncClient, app: stepwell.App) -> None:
    await app.engine.run("nothing")
    found = (await client.get("/metrics")).text
    families = set(re.findall(r"^# TYPE (\S+)", found, re.MULTILINE))
    dashboard = (Path(__file__).parents[3] / "docs" / "grafana" / "stepwell.json").read_text()

    named = set(re.findall(r"\b((?:stepwell|process)_\w+)", dashboard))

    assert named
    for name in named:
        assert {name, re.sub(r"_(bucket|sum|count)$", "", name)} & families, name


async def test_root_leads_to_the_console(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "/console/")


async def test_path_outside_every_door_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is nothing at /nowhere",
    }


async def test_method_that_is_not_taken_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post("/ready")

    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_bug_is_a_problem_that_tells_nothing(
    client: httpx.AsyncClient, app: stepwell.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.engine, "count_runs", None)

    answer = await client.get("/metrics")

    assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
    assert "None" not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8082", "127.0.0.1", "[::1]:8082", "app.localhost", "127.9.9.9"]
)
async def test_loopback_hosts_are_answered(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "10.0.0.1"]
)
async def test_other_hosts_are_refused(client: httpx.AsyncClient, host: str) -> None:
    answer = await client.get("/health", headers={"Host": host})

    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")


async def test_no_host_is_asked_for_where_others_may_call(tmp_path: Path) -> None:
    settings = Settings(db=f"sqlite:///{tmp_path}/door.db", host="0.0.0.0")
    async with served(stepwell.App(settings=settings)) as client:
        assert (await client.get("/health", headers={"Host": "example.com"})).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "localhost.", "example.com", "127.1"])
def test_what_is_loopback(host: str) -> None:
    assert is_loopback(host) == (host == "localhost.")

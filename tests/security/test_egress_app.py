"""The two HTTP clients of an app: the operator's documents may call any address, what came through a door may not."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from stepwell import App
from stepwell.programs.http import HttpError, HttpRequest
from stepwell.settings import Settings

from .servers import Served
from .test_egress import VECTORS
from .whole import Server, serving

CALLING = """
document: {{dsl: '1.0.3', namespace: test, name: call, version: '1.0.0'}}
do: [{{ask: {{call: http, with: {{method: get, endpoint: '{url}/', output: raw}}}}}}]
"""
FETCHING = {
    "name": "fetch",
    "steps": [
        {
            "key": "fetch",
            "type": "task",
            "config": {"action": "http.request", "method": "GET", "url": "{{ input.url }}"},
        }
    ],
    "additional_variables": True,
}
NOW_STEP = {"key": "now", "type": "wait", "config": {"seconds": 0}}


async def test_document_of_the_operator_may_call_any_address(tmp_path: Path, served: Served) -> None:
    served.answers["/"] = (200, {"Content-Type": "text/plain"}, b"hello")
    (tmp_path / "call.yaml").write_text(CALLING.format(url=served.url))
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))
    app.load(tmp_path / "call.yaml")
    async with app:
        assert (await app.engine.run("call", timeout_s=20)).status == "completed"
    assert served.asked == ["/"]


class Door:
    """A server that allows http and the port of `target`, so that addresses alone decide."""

    def __init__(self, server: Server, client: httpx.AsyncClient, target: Served, template: str) -> None:
        self.server = server
        self.client = client
        self.target = target
        self.template = template


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    target = await Served().open()
    rules = {"egress_http": True, "egress_ports": (80, 443, target.port)}
    async with serving(tmp_path_factory.mktemp("egress"), **rules) as server, server.client() as client:
        made = (await client.post("/api/v1/workflow-templates", json=FETCHING)).json()
        await client.post(f"/api/v1/workflow-templates/{made['id']}/publish")
        yield Door(server, client, target, made["id"])
    await target.close()


URLS = [url for url, _reason in VECTORS]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("url", URLS)
async def test_step_of_a_template_calls_none_of_these(url: str, door: Door) -> None:
    """The address comes with the input, so nothing can be said about it before."""
    order = {"template_id": door.template, "input": {"url": url.format(port=door.target.port)}}
    started = await door.client.post("/api/v1/workflows", json=order)
    assert started.status_code == 201
    result = await door.server.app.engine.result(started.json()["id"], timeout_s=20)
    assert (result.status, door.target.connections) == ("failed", 0)
    assert result.error is not None
    assert result.error.retryable is False


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("url", URLS)
async def test_webhook_is_sent_to_none_of_these(url: str, door: Door) -> None:
    hook = {"url": url.format(port=door.target.port), "events": ["*"]}
    made = await door.client.post("/api/v1/webhooks", json=hook)
    if made.status_code == 201:  # a name, which nobody has resolved yet
        assert "localhost" in url.lower()
        tried = await door.client.post(f"/api/v1/webhooks/{made.json()['id']}/test")
        assert tried.json()["status"] == "failed"
        await door.client.delete(f"/api/v1/webhooks/{made.json()['id']}")
    else:
        assert (made.status_code, list(made.json()["errors"][0]["details"])) == (422, ["url"])
    assert door.target.connections == 0


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("url", URLS)
async def test_callback_of_a_run_is_sent_to_none_of_these(url: str, door: Door) -> None:
    order = {"name": "told", "steps": [NOW_STEP], "callback_url": url.format(port=door.target.port)}
    started = await door.client.post("/api/v1/workflows", json=order)
    assert started.status_code == (201 if "localhost" in url.lower() else 422), started.text
    assert door.target.connections == 0


@pytest.mark.parametrize("allow", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}"])
async def test_exception_of_the_operator_is_called(allow: str, tmp_path: Path, served: Served) -> None:
    served.answers["/"] = (200, {}, b"hello")
    settings = Settings(db=f"sqlite:///{tmp_path}/runs.db", egress_allow=(allow.format(port=served.port),))
    app = App(settings=settings)
    app.parts.check_url(f"{served.url}/")
    found = await app.parts.guarded_http.send(HttpRequest(method="get", url=f"{served.url}/"))
    await app.parts.guarded_http.aclose()
    assert found.content == b"hello"


async def test_client_of_an_app_is_guarded_again_after_it_was_closed(tmp_path: Path, served: Served) -> None:
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))
    for _ in range(2):
        async with app:
            with pytest.raises(HttpError):
                await app.parts.guarded_http.send(HttpRequest(method="get", url=f"{served.url}/"))
    assert served.connections == 0

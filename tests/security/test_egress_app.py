"""The two HTTP clients of an app: the operator's documents may call any address, what came through a door may not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from stepwell import App
from stepwell.programs.http import HttpError, HttpRequest, HttpxClient
from stepwell.settings import Settings

from .servers import Served
from .test_egress import VECTORS

CALLING = """
document: {{dsl: '1.0.3', namespace: test, name: call, version: '1.0.0'}}
do: [{{ask: {{call: http, with: {{method: get, endpoint: '{url}/', output: raw}}}}}}]
"""


async def test_document_of_the_operator_may_call_any_address(tmp_path: Path, served: Served) -> None:
    served.answers["/"] = (200, {"Content-Type": "text/plain"}, b"hello")
    (tmp_path / "call.yaml").write_text(CALLING.format(url=served.url))
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))
    app.load(tmp_path / "call.yaml")
    async with app:
        assert (await app.engine.run("call", timeout_s=20)).status == "completed"
    assert served.asked == ["/"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded() -> AsyncIterator[tuple[HttpxClient, Served]]:
    """The guarded client of an app that allows http and the port of a server, so that addresses alone decide."""
    served = await Served().open()
    app = App(settings=Settings(egress_http=True, egress_ports=(80, 443, served.port)))
    yield app.guarded_http, served
    await app.guarded_http.aclose()
    await served.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("url", [url for url, _reason in VECTORS])
async def test_what_came_through_a_door_may_not(url: str, guarded: tuple[HttpxClient, Served]) -> None:
    client, served = guarded
    with pytest.raises(HttpError) as refused:
        await client.send(HttpRequest(method="get", url=url.format(port=served.port)))
    assert (refused.value.retryable, served.connections) == (False, 0)


@pytest.mark.parametrize("allow", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}"])
async def test_exception_of_the_operator_is_called(allow: str, tmp_path: Path, served: Served) -> None:
    served.answers["/"] = (200, {}, b"hello")
    settings = Settings(db=f"sqlite:///{tmp_path}/runs.db", egress_allow=(allow.format(port=served.port),))
    app = App(settings=settings)
    app.check_url(f"{served.url}/")
    found = await app.guarded_http.send(HttpRequest(method="get", url=f"{served.url}/"))
    await app.guarded_http.aclose()
    assert found.content == b"hello"


async def test_client_of_an_app_is_guarded_again_after_it_was_closed(tmp_path: Path, served: Served) -> None:
    app = App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db"))
    for _ in range(2):
        async with app:
            with pytest.raises(HttpError):
                await app.guarded_http.send(HttpRequest(method="get", url=f"{served.url}/"))
    assert served.connections == 0

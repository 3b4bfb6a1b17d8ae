"""Who is let in by the server of an app: anybody of this machine until there is an API key, then who has one."""

from pathlib import Path

import httpx
import pytest

from stepwell import App
from stepwell.security.keys import ApiKeys, new_key
from stepwell.store.model import Record

EVENT = {"specversion": "1.0", "id": "1", "source": "/test", "type": "test"}
STRUCTURED = {"content-type": "application/cloudevents+json"}


async def test_anybody_of_this_machine_is_let_in_while_there_is_no_key(tmp_path: Path) -> None:
    app = App(db=f"sqlite:///{tmp_path}/a.db")
    server = app.asgi()
    transport = httpx.ASGITransport(server, client=("127.0.0.1", 1))
    async with (
        server.router.lifespan_context(server),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        answer = await client.post("/api/v1/cloudevents", json=EVENT, headers=STRUCTURED)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/health", "", 200),
        ("/ready", "", 401),
        ("/ready", "good", 200),
        ("/ready", "swk_not-a-key", 401),
        ("/nowhere", "", 401),
    ],
)
async def test_with_a_key_everybody_needs_one(tmp_path: Path, path: str, key: str, status: int) -> None:
    app = App(db=f"sqlite:///{tmp_path}/a.db")
    async with app:
        made, text = new_key(name="one", owner="alice", now=app.engine.clock.now())
        await ApiKeys(app.engine.store, row=Record).create(made)
        server = app.asgi()
        transport = httpx.ASGITransport(server, client=("127.0.0.1", 1))
        async with (
            server.router.lifespan_context(server),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            headers = {"authorization": f"Bearer {text if key == 'good' else key}"} if key else {}
            answer = await client.get(path, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_page_from_elsewhere_may_not_post(tmp_path: Path) -> None:
    app = App(db=f"sqlite:///{tmp_path}/a.db")
    server = app.asgi()
    transport = httpx.ASGITransport(server, client=("127.0.0.1", 1))
    async with (
        server.router.lifespan_context(server),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        answer = await client.post(
            "/api/v1/cloudevents", json=EVENT, headers={**STRUCTURED, "origin": "https://evil.example"}
        )
    assert answer.status_code == 403

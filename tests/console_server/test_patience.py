"""A page does not keep the browser waiting for a slow database: it comes without what it is to show, then with it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from doors.served import served
from stepwell.app import App
from stepwell.console import frame
from stepwell.settings import Settings
from stepwell.store.model import RunQuery, RunRow


async def test_a_page_comes_before_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, readable, asked = (
        App(settings=Settings(db=f"sqlite:///{tmp_path}/runs.db")),
        asyncio.Event(),
        asyncio.Event(),
    )

    async def slowly(_query: RunQuery) -> list[RunRow]:
        asked.set()
        await readable.wait()
        return []

    monkeypatch.setattr(frame, "PATIENCE_S", 0.01)
    async with app, served(app.asgi(), end_streams=app.engine.watchers.close) as url:
        monkeypatch.setattr(app.engine, "list_runs", slowly)
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            page = await client.get("/console/")
        assert page.status_code == 200
        assert asked.is_set()
        readable.set()

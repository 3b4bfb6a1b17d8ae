"""A server of the devset door over real HTTP, with a broker that records."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

import stepwell
from stepwell.settings import Settings

from ..served import served
from .recording import RecordingBrokers


class House:
    """`client` asks the server; `brokers` are what it sends to."""

    def __init__(self, app: stepwell.App, client: httpx.AsyncClient, brokers: RecordingBrokers) -> None:
        self.app = app
        self.client = client
        self.brokers = brokers

    async def execute(self, document: Any, **more: Any) -> str:
        """The id of a run."""
        answer = await self.client.post("/engine/execute", json=document, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["runId"])

    async def until(self, run_id: str, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The run, as soon as it is as wanted."""
        async with asyncio.timeout(30):
            while True:
                run: dict[str, Any] = (await self.client.get(f"/engine/runs/{run_id}")).json()
                if holds(run):
                    return run
                await asyncio.sleep(0.01)

    async def ended(self, run_id: str) -> dict[str, Any]:
        return await self.until(run_id, lambda run: not run["active"])

    async def events(self, run_id: str, **query: Any) -> Any:
        return (await self.client.get(f"/engine/runs/{run_id}/events", params=query)).json()


@asynccontextmanager
async def housed(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """A server on a database in `folder`; the same again on what was there."""
    app = stepwell.App(settings=Settings(db=f"sqlite:///{folder}/runs.db", **settings))
    brokers = RecordingBrokers(("kafka", "p"))
    app.parts.brokers = brokers  # type: ignore[assignment]  # in place of brokers, which are not ours
    async with (
        served(app.asgi(), end_streams=lambda: app.engine.watchers.close()) as url,  # noqa: PLW0108  not open yet
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield House(app, client, brokers)


def pipeline(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A document whose stages emit."""
    found = [{"stage": f"s{number}", "emit": True, **stage} for number, stage in enumerate(stages, 1)]
    return {"id": "orders", "producerName": "p", "topic": "t", "pipeline": found, **more}


ONE = {"set": {"n": {"$fn": "int(1,1000000)"}}}
"""A stage with a payload of its own in each execution."""

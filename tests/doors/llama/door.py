"""The llama door of a whole app, on a socket of its own, in both dialects."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

import stepwell
from stepwell.core.program import RunContext, StepContext
from stepwell.settings import Settings

from ..served import served

Json = dict[str, Any]

HELLO = """
document: {dsl: '1.0.3', namespace: tests, name: hello, version: '1.0.0'}
input: {schema: {document: {type: object, properties: {name: {type: string}}, required: [name]}}}
do:
  - greet: {set: {text: '${ "hello " + .name }'}}
"""
ASK = """
document: {dsl: '1.0.3', namespace: tests, name: ask, version: '1.0.0'}
do:
  - ask: {call: approval, with: {prompt: Send it?}}
"""
HEAR = """
document: {dsl: '1.0.3', namespace: tests, name: hear, version: '1.0.0'}
do:
  - hear: {listen: {to: {one: {with: {type: com.example.paid}}}}}
"""
SHOUT = {
    "id": "shout",
    "messageType": "kafka",
    "producerName": "none",
    "topic": "t",
    "pipeline": [{"stage": "a", "source": "none", "emit": True, "set": {"x": 1}}],
}


async def say(ctx: RunContext, input: Any) -> Any:
    """Says three things while it works."""

    async def work(step: StepContext) -> Any:
        step.think("well")
        step.progress(0.5)
        step.publish({"said": 1})
        return input.get("text", "done")

    return await ctx.step("/say", work)


async def fail(ctx: RunContext, _input: Any) -> Any:
    async def work(_step: StepContext) -> Any:
        raise ValueError("boom")

    return await ctx.step("/fail", work)


class Door:
    """One dialect of the door: `prefix` is "" or "/llama"."""

    def __init__(self, client: httpx.AsyncClient, app: stepwell.App, prefix: str) -> None:
        self.client = client
        self.app = app
        self.prefix = prefix

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(self.prefix + path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        sent = {} if body is None else {"json": body}
        return await self.client.post(self.prefix + path, **sent, **options)

    async def run(self, workflow: str, body: Any = None) -> httpx.Response:
        return await self.post(f"/workflows/{workflow}/run", body if body is not None else {})

    async def start(self, workflow: str, **start: Any) -> str:
        """The handler id of a run that goes on."""
        answer = await self.post(f"/workflows/{workflow}/run-nowait", {"start_event": start})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["handler_id"])

    async def events(self, handler_id: str, **params: Any) -> list[Json]:
        """Everything on the stream, as lines."""
        answer = await self.get(f"/events/{handler_id}", params={"sse": "false", "after_sequence": "-1", **params})
        return [json.loads(line) for line in answer.text.splitlines()]

    async def ended(self, handler_id: str) -> httpx.Response:
        """The result, once there is one."""
        answer = await self.get(f"/results/{handler_id}")
        if answer.status_code == 202:
            await self.app.engine.result(answer.json()["run_id"], timeout_s=20)
            answer = await self.get(f"/results/{handler_id}")
        return answer


def new_app(folder: Path) -> stepwell.App:
    """An app with flows and programs, but none of typed events."""
    for name, text in (("hello", HELLO), ("ask", ASK), ("hear", HEAR)):
        (folder / f"{name}.yaml").write_text(text)
    app = stepwell.App(settings=Settings(db=f"sqlite:///{folder}/runs.db"))
    app.add_workflow("say", say)
    app.add_workflow("fail", fail)
    app.load(folder)
    return app


@asynccontextmanager
async def opened(app: stepwell.App, prefix: str = "") -> AsyncIterator[Door]:
    """The door of an app that is served."""
    async with served(app.asgi()) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield Door(client, app, prefix)

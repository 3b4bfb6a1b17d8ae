"""The whole server on a socket, with functions to run, and a client that speaks the runs API."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from stepwell.app import App
from stepwell.core.errors import Problem, StepFailure
from stepwell.core.program import RunContext, StepContext
from stepwell.core.retry import RetryPolicy
from stepwell.core.status import Status
from stepwell.engine.clock import Clock
from stepwell.settings import Settings

from ..served import served

RUNS = "/api/v1/workflow-runs"
DEFINITIONS = "/api/v1/workflow-definitions"
FORMS = "/api/v1/user-forms"
NOBODY = "00000000-0000-7000-8000-000000000000"
QUICK = {"maxAttempts": 3, "initialInterval": "PT0.01S", "jitter": 0}


def step(function: str, args: dict[str, Any] | None = None, *, id: str = "work", **more: Any) -> dict[str, Any]:
    """A step that calls a function."""
    inputs = {"function": function, "args": args or {}}
    return {"id": id, "type": "activity", "action": "function", "inputs": inputs, **more}


def review(id: str = "review", **inputs: Any) -> dict[str, Any]:
    """A step that asks people."""
    return {"id": id, "name": "Review", "type": "human_review", "inputs": {"prompt": "Go on?", **inputs}}


def json_of(answer: httpx.Response) -> Any:
    """The body of an answer that must be a success."""
    assert answer.status_code < 400, (answer.status_code, answer.text)
    return answer.json()


def details_of(answer: httpx.Response, status: int = 400) -> dict[str, str]:
    """The faults that a refusal tells, by path; its shape is that of every refusal."""
    body = answer.json()
    assert (answer.status_code, body["success"]) == (status, False), answer.text
    assert body.keys() == {"success", "error", "details"}
    return {one["path"]: one["message"] for one in body["details"]}


class Gates:
    """Where functions wait until a test lets them go on."""

    def __init__(self) -> None:
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def wait_at(self, name: str) -> None:
        self._reached[name].set()
        await self._open[name].wait()

    async def reached(self, name: str) -> None:
        async with asyncio.timeout(10):
            await self._reached[name].wait()

    def open(self, name: str) -> None:
        self._open[name].set()

    def open_all(self) -> None:
        """Whoever still waits at the end of a test would keep the server from stopping."""
        for event in self._open.values():
            event.set()


class House:
    """A server at work."""

    def __init__(self, app: App, url: str, client: httpx.AsyncClient, gates: Gates) -> None:
        self.app = app
        self.url = url
        self.client = client
        self.gates = gates

    async def define(self, *steps: dict[str, Any], name: str = "Work", **more: Any) -> str:
        """The id of a new definition."""
        answer = await self.client.post(DEFINITIONS, json={"name": name, "steps": list(steps), **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["workflow"]["id"])

    async def execute(self, workflow_id: str, **more: Any) -> httpx.Response:
        """Blocking; `more` are members of the body, or `headers`."""
        headers = more.pop("headers", {})
        return await self.client.post(f"{RUNS}/execute", json={"workflowId": workflow_id, **more}, headers=headers)

    async def run(self, workflow_id: str, **more: Any) -> Any:
        """The run that a blocking execution shows."""
        return json_of(await self.execute(workflow_id, **more))["workflowRun"]

    async def begin(self, workflow_id: str, **more: Any) -> str:
        """The id of a run that is not waited for."""
        answer = await self.execute(workflow_id, headers={"Prefer": "respond-async"}, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer.headers["x-workflow-run-id"]

    async def get(self, run_id: str) -> Any:
        return json_of(await self.client.get(f"{RUNS}/{run_id}"))["workflowRun"]

    async def until(self, run_id: str, *statuses: Status) -> None:
        """Wait until a run stands like this."""
        async with asyncio.timeout(10):
            async for _ in self.app.engine.watch(run_id):
                if (await self.app.engine.state(run_id)).status in statuses:
                    return

    async def ended(self, run_id: str) -> Any:
        """Wait for the end of a run; the run."""
        await self.app.engine.result(run_id, timeout_s=10)
        return await self.get(run_id)


def new_app(folder: Path, gates: Gates, *, clock: Clock | None = None, **settings: Any) -> App:
    """An app with the functions of the tests."""
    app = App(settings=Settings(db=f"sqlite:///{folder}/runs.db", **settings), clock=clock)
    tries: Counter[str] = Counter()

    @app.function
    async def add(a: float, b: float) -> float:
        return a + b

    @app.function
    async def echo(value: Any) -> Any:
        return value

    @app.function
    async def fail(text: str) -> None:
        raise StepFailure(Problem(type="https://example.com/out-of-stock", detail=text, retryable=False))

    @app.function(retry=RetryPolicy(max_attempts=3, initial_s=0.01, jitter=0))
    async def flaky(ctx: StepContext) -> int:
        tries[ctx.run_id] += 1
        if tries[ctx.run_id] < 3:
            raise StepFailure(Problem(type="busy", detail=f"busy {tries[ctx.run_id]}"))
        return tries[ctx.run_id]

    @app.function
    async def think(ctx: StepContext, texts: list[str]) -> int:
        for text in texts:
            ctx.think(text)
        return len(texts)

    @app.function
    async def ponder(ctx: StepContext, times: int, size: int) -> int:
        for n in range(times):
            ctx.think(f"{n} {'x' * size}")
        return times

    @app.function
    async def gate(name: str) -> str:
        await gates.wait_at(name)
        return name

    @app.function
    async def read(file: dict[str, Any]) -> str:
        assert app.files is not None
        return app.files.path(file).read_text()  # small, and on this machine

    @app.function
    async def host_env(name: str) -> str | None:
        return os.environ.get(name)

    @app.workflow(name="double")
    async def double(ctx: RunContext, input: Any) -> Any:
        async def work(_step: StepContext) -> Any:
            return 2 * input["n"]

        return await ctx.step("twice", work, name="Twice")

    return app


@asynccontextmanager
async def housed(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """A server on a new database."""
    gates = Gates()
    app = new_app(folder, gates, **settings)
    async with (
        app,
        served(app.asgi(), end_streams=app.engine.watchers.close) as url,
        httpx.AsyncClient(base_url=url, timeout=20) as client,
    ):
        try:
            yield House(app, url, client, gates)
        finally:
            gates.open_all()


# --- streams --------------------------------------------------------------------------------------------------------


class Sent(msgspec.Struct, frozen=True):
    """A message of a stream."""

    event: str
    data: Any
    id: str


def parse_events(text: str) -> list[Sent]:
    """Server-sent events (HTML §9.2), as this API writes them: one line of data each."""
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        if "data" in lines:
            found.append(Sent(lines["event"], msgspec.json.decode(lines["data"]), lines.get("id", "")))
    return found


def without_pings(messages: list[Sent]) -> list[Sent]:
    return [message for message in messages if message.event != "ping"]


class Listener:
    """Reads one stream, message by message."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.text = ""
        self._chunks = response.aiter_text()

    async def until(self, *events: str) -> list[Sent]:
        """All messages so far, as soon as one of these events is among them (or the stream has ended)."""
        async with asyncio.timeout(20):
            while not any(message.event in events for message in parse_events(self.text)):
                try:
                    self.text += await anext(self._chunks)
                except StopAsyncIteration:
                    break
        return parse_events(self.text)

    async def whole(self) -> list[Sent]:
        """Every message, to the end of the stream."""
        return await self.until("no such event")


@asynccontextmanager
async def listening(
    house: House, method: str, path: str, *, client: httpx.AsyncClient | None = None, **request: Any
) -> AsyncIterator[Listener]:
    """A stream, open."""
    async with (client or house.client).stream(method, path, **request) as response:
        if response.status_code != 200:
            await response.aread()
        assert response.status_code == 200, response.text
        yield Listener(response)


async def heard(house: House, run_id: str, last_id: str = "") -> list[Sent]:
    """All messages of a run's stream behind an id, without pings."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with listening(house, "GET", f"{RUNS}/{run_id}/stream", headers=headers) as stream:
        return without_pings(await stream.whole())

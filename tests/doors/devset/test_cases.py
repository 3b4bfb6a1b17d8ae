"""Every shared case of the devset API, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

import stepwell
from stepwell.brokers.port import Outgoing
from stepwell.settings import Settings

from ..served import served
from .cases import Comparison, cases
from .recording import RecordingBrokers

CASES = cases()
ENDED = ("COMPLETED", "FAILED", "STOPPED")
LIMITED = "executions above maximum on execute"
"""The case that is about a server with a limit of 10 executions."""

pytestmark = [
    pytest.mark.skipif(not CASES, reason="the shared cases are not beside this repository"),
    pytest.mark.asyncio(loop_scope="module"),
]


class Server:
    def __init__(self, client: httpx.AsyncClient, brokers: RecordingBrokers) -> None:
        self.client = client
        self.brokers = brokers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One for all cases but one."""
    async for found in _serve(tmp_path_factory, limit=10_000_000):
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async for found in _serve(tmp_path_factory, limit=10):
        yield found


async def _serve(folders: pytest.TempPathFactory, *, limit: int) -> AsyncIterator[Server]:
    database = folders.mktemp("cases") / "cases.db"
    app = stepwell.App(settings=Settings(db=f"sqlite:///{database}", max_executions_per_run=limit))
    brokers = RecordingBrokers(("kafka", "p"))
    app.parts.brokers = brokers  # type: ignore[assignment]  # in place of brokers, which are not ours
    async with served(app.asgi()) as url, httpx.AsyncClient(base_url=url) as client:
        yield Server(client, brokers)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_case(case: dict[str, Any], server: Server, limited: Server) -> None:
    chosen = limited if case["name"] == LIMITED else server
    chosen.brokers.forget()
    await _Player(chosen.client, chosen.brokers, case).play()


class _Player:
    def __init__(self, client: httpx.AsyncClient, brokers: RecordingBrokers, case: dict[str, Any]) -> None:
        self.client = client
        self.brokers = brokers
        self.case = case
        self.expected = case["expect"]
        self.compare = Comparison()

    async def play(self) -> None:
        match self.case["op"]:
            case "simulate":
                self._check(await self.client.post("/engine/simulate", json=self.case["workflow"]), self.expected)
            case "http":
                await self._http()
            case "execute":
                await self._execute()
            case "stop":
                await self._stop()
            case other:
                raise AssertionError(f"there is no operation {other}")

    def _check(self, response: httpx.Response, wanted: dict[str, Any]) -> None:
        assert response.status_code == wanted["status"], response.text
        if "body" in wanted:
            body = response.json()
            if response.status_code >= 400:
                body = {"message": body["message"]}  # more members are allowed in errors
            self.compare.check(body, wanted["body"])

    async def _http(self) -> None:
        request = self.case["request"]
        content = request["raw"] if "raw" in request else json.dumps(request["json"]) if "json" in request else None
        headers = {"content-type": "application/json"} if content is not None else {}
        self._check(
            await self.client.request(request["method"], request["path"], content=content, headers=headers),
            self.expected,
        )

    async def _submit(self) -> str | None:
        """The id of the run; None when it is refused as expected."""
        response = await self.client.post("/engine/execute", json=self.case["workflow"])
        if "status" in self.expected:
            self._check(response, self.expected)
            return None
        if "submit" in self.expected:
            self._check(response, self.expected["submit"])
        return str(response.json()["runId"])

    async def _execute(self) -> None:
        run_id = await self._submit()
        if run_id is None:
            return
        await self._finish(run_id)
        if "sent" in self.expected:
            self._check_sent()

    async def _finish(self, run_id: str) -> None:
        """The run at its end, and its events."""
        run = await self._until(run_id, lambda run: run["status"] in ENDED)
        assert run.pop("runId") == run_id
        self.compare.check(run, self.expected["final"], "final")
        if "events" in self.expected:
            events = (await self.client.get(f"/engine/runs/{run_id}/events")).json()
            assert events.pop("runId") == run_id
            self.compare.check(events, self.expected["events"], "events")

    async def _until(self, run_id: str, holds: Any) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                run: dict[str, Any] = (await self.client.get(f"/engine/runs/{run_id}")).json()
                if holds(run):
                    return run
                await asyncio.sleep(0.01)

    async def _stop(self) -> None:
        run_id = await self._submit()
        assert run_id is not None
        after = self.case["stopAfter"]
        if "events" in after:
            async with asyncio.timeout(20):
                await self.brokers.posted(after["events"])
        else:
            await self._until(run_id, lambda run: run["status"] in ENDED)
        self._check(await self.client.post(f"/engine/runs/{run_id}/stop"), self.expected["stop"])
        if "final" in self.expected:
            await self._finish(run_id)

    def _check_sent(self) -> None:
        found = [
            _sent(type, name, message)
            for (type, name), broker in self.brokers.by_name.items()
            for message in broker.taken
        ]
        wanted = self.expected["sent"]
        if self.expected.get("sentUnordered"):
            found, wanted = sorted(found, key=json.dumps), sorted(wanted, key=json.dumps)
        self.compare.check(found, wanted, "sent")


def _sent(type: str, name: str, message: Outgoing) -> dict[str, Any]:
    headers = {name: _header(value) for name, value in message.headers}
    shown = {"topic": message.topic, "key": message.key, "headers": headers, "json": json.loads(message.body)}
    return {"type": type, "producer": name, **shown}


def _header(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value.decode()

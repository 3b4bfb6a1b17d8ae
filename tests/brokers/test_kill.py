"""A server that is killed while it sends: everything arrives, and what arrives twice is the same with the same id."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import aio_pika
import httpx
import pytest

from ports import free_ports

from .kafka import KafkaCluster
from .rabbit import Rabbit

PIPELINE: dict[str, Any] = {
    "id": "orders",
    "producerName": "local",
    "topic": "orders",
    "pipeline": [
        {
            "stage": "created",
            "emit": True,
            "key": {"$ref": "id"},
            "headers": {"step": "1"},
            "set": {"id": {"$fn": "uuid()"}, "amount": {"$fn": "int(1,1000)"}, "at": {"$fn": "now()"}},
        },
        {"stage": "paid", "source": "previous-stage", "emit": True, "key": {"$ref": "id"}, "set": {"paid": True}},
    ],
}

pytestmark = pytest.mark.slow


class Peer(Protocol):
    """A broker, and a way to read it that is not ours."""

    connector: dict[str, Any]
    executions: int
    """As many as take it a second or two."""

    async def prepare(self) -> None: ...
    async def read(self) -> list[tuple[str, bytes]]: ...


class KafkaPeer:
    executions = 6_000

    def __init__(self) -> None:
        self._cluster = KafkaCluster()
        self.connector = {"type": "kafka", "bootstrapServers": self._cluster.bootstrap_servers}

    async def prepare(self) -> None: ...

    async def read(self) -> list[tuple[str, bytes]]:
        """Id and value of every message, in the order of each key."""
        found = await asyncio.to_thread(self._cluster.read, "orders", 10**9, timeout_s=3.0)
        return [(dict(message.headers())["message-id"].decode(), message.value()) for message in found]


class RabbitPeer:
    executions = 1_000

    def __init__(self, node: Rabbit) -> None:
        self._url = f"amqp://guest:guest@127.0.0.1:{node.port}/"
        self.connector = {"type": "rabbit", "host": "127.0.0.1", "port": node.port}

    async def prepare(self) -> None:
        async with await aio_pika.connect(self._url) as connection:
            await (await connection.channel()).declare_queue("orders", durable=True)

    async def read(self) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("orders", durable=True)
            count = queue.declaration_result.message_count
            async with asyncio.timeout(60), queue.iterator(no_ack=True) as incoming:
                async for message in incoming:
                    assert message.message_id is not None
                    found.append((message.message_id, message.body))
                    if len(found) == count:
                        return found
        return found


@pytest.fixture(params=["kafka", "rabbit"])
def peer(request: pytest.FixtureRequest) -> Peer:
    return KafkaPeer() if request.param == "kafka" else RabbitPeer(request.getfixturevalue("node"))


@contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "STEPWELL_DB": f"sqlite:///{folder}/runs.db", "STEPWELL_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "stepwell", "serve"], env=environment, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get("/health")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def until(client: httpx.AsyncClient, run_id: str, completed: int) -> dict[str, Any]:
    """The run, when so many executions have completed or it has ended."""
    async with asyncio.timeout(120):
        while True:
            run: dict[str, Any] = (await client.get(f"/engine/runs/{run_id}")).json()
            if run["completedExecutions"] >= completed or not run["active"]:
                return run
            await asyncio.sleep(0.01)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    (port,) = free_ports(1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


async def test_a_kill_loses_and_changes_no_message(peer: Peer, client: httpx.AsyncClient, tmp_path: Path) -> None:
    port, executions = int(client.base_url.port or 0), peer.executions
    await peer.prepare()
    with server(tmp_path, port) as process:
        await ready(client)
        answer = await client.post("/connectors/configurations", json={**peer.connector, "name": "local"})
        assert answer.status_code == 200
        document = {**PIPELINE, "messageType": peer.connector["type"], "executions": executions}
        run_id = (await client.post("/engine/execute", json=document)).json()["runId"]
        run = await until(client, run_id, completed=executions // 6)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert run["active"], "it was killed while it ran"
    with server(tmp_path, port):
        await ready(client)
        (connector,) = (await client.get("/connectors/configurations")).json()
        assert connector["name"] == "local"
        run = await until(client, run_id, completed=executions + 1)  # its end
        counts = run["status"], run["completedExecutions"], run["failedExecutions"]
        assert counts == ("COMPLETED", executions, 0)
        compare(run_id, executions, await peer.read(), await acknowledged(client, run_id))


async def acknowledged(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Payloads by message id, as the server says they were acknowledged."""
    found: dict[str, Any] = {}
    since: int | None = 0
    while since is not None:
        query = {"details": True, "since": since, "limit": 7_000}
        page = (await client.get(f"/engine/runs/{run_id}/events", params=query)).json()
        for group in page["executions"]:
            for event in group["events"]:
                assert event["messageId"] not in found, "a message is on record once"
                found[event["messageId"]] = event["payload"]
        since = page.get("next")
    return found


def compare(run_id: str, executions: int, arrived: list[tuple[str, bytes]], on_record: dict[str, Any]) -> None:
    """What came, its repeats dropped, is exactly what was acknowledged; each execution's messages in their order."""
    by_id: dict[str, bytes] = {}
    for id, body in arrived:
        assert by_id.setdefault(id, body) == body, f"{id} was sent twice, and differed"
    assert set(by_id) == {f"{run_id}/{index}/{n}" for index in range(1, executions + 1) for n in (1, 2)}
    assert on_record == {id: json.loads(body) for id, body in by_id.items()}
    place = {id: number for number, id in reversed(list(enumerate(by_id)))}
    assert all(place[f"{run_id}/{n}/1"] < place[f"{run_id}/{n}/2"] for n in range(1, executions + 1))

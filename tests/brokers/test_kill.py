"""A server that is killed while it sends: everything arrives, and what arrives twice is the same with the same id."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .kafka import KafkaCluster

EXECUTIONS = 4_000
PIPELINE: dict[str, Any] = {
    "id": "orders",
    "messageType": "kafka",
    "producerName": "local",
    "topic": "orders",
    "seed": "a seed",
    "executions": EXECUTIONS,
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
MESSAGES = 2 * EXECUTIONS

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


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
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/health")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def until(client: httpx.AsyncClient, run_id: str, completed: int) -> dict[str, Any]:
    """The run, when so many executions have completed or it has ended."""
    async with asyncio.timeout(60):
        while True:
            run: dict[str, Any] = (await client.get(f"/engine/runs/{run_id}")).json()
            if run["completedExecutions"] >= completed or not run["active"]:
                return run
            await asyncio.sleep(0.01)


async def test_a_kill_loses_and_changes_no_message(tmp_path: Path) -> None:
    cluster, port = KafkaCluster(), free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        with server(tmp_path, port) as process:
            await ready(client)
            connector = {"type": "kafka", "name": "local", "bootstrapServers": cluster.bootstrap_servers}
            assert (await client.post("/connectors/configurations", json=connector)).status_code == 200
            run_id = (await client.post("/engine/execute", json=PIPELINE)).json()["runId"]
            run = await until(client, run_id, completed=EXECUTIONS // 4)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert run["active"], "it was killed while it ran"
        with server(tmp_path, port):
            await ready(client)
            run = await until(client, run_id, completed=EXECUTIONS + 1)  # its end
            assert (run["status"], run["completedExecutions"], run["failedExecutions"]) == (
                "COMPLETED",
                EXECUTIONS,
                0,
            )
            events = (await client.get(f"/engine/runs/{run_id}/events", params={"details": True})).json()
    _compare(run_id, cluster, events)


def _compare(run_id: str, cluster: KafkaCluster, events: dict[str, Any]) -> None:
    """What an independent consumer reads, against what the server says was acknowledged."""
    by_id: dict[str, bytes] = {}
    seen = 0
    for message in cluster.read("orders", 2 * MESSAGES, timeout_s=3.0):
        seen += 1
        id = dict(message.headers())["message-id"].decode()
        assert by_id.setdefault(id, message.value()) == message.value(), f"{id} was sent twice, and differed"
    assert set(by_id) == {f"{run_id}/{index}/{n}" for index in range(1, EXECUTIONS + 1) for n in (1, 2)}
    assert seen >= MESSAGES
    acknowledged = {
        event["messageId"]: event["payload"] for group in events["executions"] for event in group["events"]
    }
    assert acknowledged == {id: json.loads(body) for id, body in by_id.items()}

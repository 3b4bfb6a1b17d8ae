"""Restate's server and one Python service, on loopback. `-m bench.rivals.restate_peer FOLDER AT_ONCE SINGLES SERVER`.

A run is one HTTP request to the server's ingress, which answers with the result.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.rivals.clock import measure

PATIENCE_S = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(command: list[str], log: Path, **more: str) -> Iterator[None]:
    """A process, ended when the block ends."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**os.environ, **more}, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


async def until_answered(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> None:
    for _ in range(PATIENCE_S * 5):
        try:
            if (await client.request(method, url, **more)).is_success:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)
    raise TimeoutError(f"{url} did not answer")


async def main(folder: Path, at_once: int, singles: int, server: str) -> None:
    service, ingress, admin, node = (free_port() for _ in range(4))
    environment = {
        "RESTATE_BASE_DIR": str(folder / "restate"),
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_LOG_FILTER": "warn",
        "DO_NOT_TRACK": "1",
    }
    hypercorn = [
        sys.executable,
        "-m",
        "hypercorn",
        "--bind",
        f"127.0.0.1:{service}",
        "bench.rivals.restate_service:app",
    ]
    limits = httpx.Limits(max_connections=at_once)
    with started(hypercorn, folder / "service.log"), started([server], folder / "server.log", **environment):
        async with httpx.AsyncClient(limits=limits, timeout=300, trust_env=False) as client:
            await until_answered(client, "GET", f"http://127.0.0.1:{admin}/health")
            await until_answered(client, "GET", f"http://127.0.0.1:{ingress}/restate/health")
            deployment = {"uri": f"http://127.0.0.1:{service}", "force": True}
            await until_answered(client, "POST", f"http://127.0.0.1:{admin}/deployments", json=deployment)

            async def run(steps: int) -> object:
                answer = await client.post(f"http://127.0.0.1:{ingress}/bench/steps_of", json=steps)
                return answer.raise_for_status()

            await measure(run, at_once=at_once, singles=singles)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))

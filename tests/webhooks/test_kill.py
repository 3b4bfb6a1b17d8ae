"""Real SIGKILL between the commit and the delivery: nothing that was acknowledged stays untold, ids are kept."""

import json
import multiprocessing
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from stepwell.webhooks.signing import new_secret

from . import told

PATIENCE_S = 30.0
SECRET = new_secret()

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["stepwell.engine", "stepwell.store.sqlite", "httpx"])


class Receiver(ThreadingHTTPServer):
    """Keeps the body and the id of every message that came whole; that of the endpoint is verified."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, bytes, dict[str, str]]] = []
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the kill was between the head and the body of a request: nobody was told anything
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((headers["webhook-id"], body, headers))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.shutdown()
    receiver.server_close()


def live(folder: Path, receiver: Receiver, failpoint: str = "") -> int:
    """One life; its exit code."""
    process = processes.Process(target=told.main, args=(str(folder), receiver.url, SECRET, failpoint))
    process.start()
    process.join(PATIENCE_S)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert not alive, "webhooks stay pending"
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", [f"after_commit:{n}" for n in (1, 2, 3, 5)])
def test_a_kill_right_after_a_commit_loses_no_webhook(tmp_path: Path, receiver: Receiver, failpoint: str) -> None:
    assert live(tmp_path, receiver, failpoint) == -9
    assert live(tmp_path, receiver) == 0
    told_of: dict[str, set[str]] = defaultdict(set)
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for id, body, _ in receiver.got:
        told_of[json.loads(body)["data"]["run_id"]].add(id)
        bodies[id].add(body)
    acknowledged = {json.loads(line) for line in (tmp_path / "acknowledged").read_text().splitlines()}
    assert acknowledged == told_of.keys()
    assert len(acknowledged) == told.RUNS
    assert all(len(ids) == 1 for ids in told_of.values()), "a run's end was told under two ids"
    assert all(len(texts) == 1 for texts in bodies.values())
    signed = [(body, headers) for _, body, headers in receiver.got if _is_signed(body, headers)]
    assert {json.loads(body)["data"]["run_id"] for body, _ in signed} == acknowledged


def _is_signed(body: bytes, headers: dict[str, str]) -> bool:
    """Whether the endpoint's secret signed it; the callback address has another."""
    try:
        Webhook(SECRET).verify(body, headers)
    except Exception:  # noqa: BLE001  # whatever the library says, it does not verify
        return False
    return True

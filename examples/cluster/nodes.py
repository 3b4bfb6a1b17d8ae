"""The nodes of the cluster demo: three `stepwell serve` processes, which are killed, frozen, and started again."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stage import WAIT_S, DemoError, say, since_start_s
from take_overs import Lost, TakeOver

HERE = Path(__file__).parent
NODES = 3


class Node:
    """One process. `on_take_over` is called, in a thread, for each run that it says it has taken over."""

    def __init__(self, name: str, db: str, packed: Path, on_take_over: Callable[[TakeOver], None]) -> None:
        self.name = name
        self.url = ""
        self._on_take_over = on_take_over
        environ = {key: text for key, text in os.environ.items() if not key.startswith("STEPWELL_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stepwell", "serve", "--port", "0", "--app", "packing:app", "--db", db],
            cwd=HERE,
            env={**environ, "PACKED": str(packed), "STEPWELL_LOG_FORMAT": "json", "STEPWELL_LOG_LEVEL": "info"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read_log, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_it_serves(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise DemoError(f"{self.name} did not start")
        self.url = line.rpartition(" ")[2]
        say(f"{self.name} (process {self.pid}) serves {self.url}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait(timeout=WAIT_S)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for text in self._process.stderr:
            line = json.loads(text) if text.startswith("{") else {}
            if line.get("event") == "run.taken_over":
                self._on_take_over(TakeOver(at_s=since_start_s(), by=self.name, run_id=line["run_id"]))
            elif line.get("level") in ("error", "critical"):
                say(f"{self.name} says: {text.strip()}")


class Cluster:
    """All nodes, by their numbers from 0; a node that was killed is replaced under its number."""

    def __init__(self, db: str, packed: Path, at_end: ExitStack) -> None:
        self.take_overs: list[TakeOver] = []
        """As they happen."""
        self.names: dict[int, str] = {}
        """Of all nodes that there ever were, by process."""
        self._db = db
        self._packed = packed
        self._at_end = at_end
        self.nodes = [self._started(f"node {number}") for number in range(1, NODES + 1)]
        for node in self.nodes:
            node.wait_until_it_serves()

    def url(self, number: int) -> str:
        """Of a node, counted round and round."""
        return self.nodes[number % NODES].url

    @contextmanager
    def killed(self, number: int) -> Iterator[Lost]:
        """Kill a node and start it again at once; on return it serves."""
        node = self.nodes[number]
        lost = self._lose(number, signal.SIGKILL, "killed")
        node.wait()
        self.nodes[number] = self._started(f"new {node.name}")
        yield lost
        self.nodes[number].wait_until_it_serves()

    @contextmanager
    def frozen(self, number: int) -> Iterator[Lost]:
        """Freeze a node, and let it go on."""
        node = self.nodes[number]
        yield self._lose(number, signal.SIGSTOP, "frozen")
        node.send(signal.SIGCONT)
        say(f"{node.name} wakes up (SIGCONT)")

    def stop(self) -> None:
        """Stop all nodes as a service manager does."""
        for node in self.nodes:
            node.send(signal.SIGTERM)
        codes = [node.wait() for node in self.nodes]
        if any(codes):
            raise DemoError(f"expected the nodes to end with 0, found {codes}")
        say("the nodes have ended")

    def _lose(self, number: int, by: signal.Signals, how: str) -> Lost:
        node = self.nodes[number]
        node.send(by)
        lost = Lost(at_s=since_start_s(), number=number, node=node.name, how=how)
        say(f"{node.name} is {how} ({by.name})", at_s=lost.at_s)
        return lost

    def _started(self, name: str) -> Node:
        node = Node(name, self._db, self._packed, self.take_overs.append)
        self.names[node.pid] = name
        self._at_end.callback(node.end)
        return node

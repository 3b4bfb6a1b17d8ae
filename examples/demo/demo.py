"""`make demo`: an order goes through the shop, and the process that runs it is killed in the middle.

Real processes, real HTTP, real SIGKILL. Ends with 0 when everything came out as it should, else says what did not.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from services import Services

HERE = Path(__file__).parent
WAIT_S = 20.0
ITEMS = [
    {"sku": "rope", "quantity": 1, "price": 1250},
    {"sku": "bucket", "quantity": 2, "price": 800},
    {"sku": "lamp", "quantity": 1, "price": 3400},
]
EXPECTED = [
    ("customer", "completed", 1),
    ("price", "completed", 3),
    ("askStock", "completed", 1),
    ("askStock", "completed", 2),  # in flight when the process was killed: asked again, under the same key
    ("askStock", "failed", 1),
    ("", "completed", 1),  # the delay before the flow tries again
    ("askStock", "failed", 1),
    ("", "completed", 1),
    ("askStock", "completed", 1),
    ("invoice", "completed", 1),
    ("label", "completed", 1),
    ("release", "completed", 1),
    ("ship", "completed", 1),
]
"""Name, status and attempts of every step; branches of a fork in the order of their names."""


class DemoError(Exception):
    """Something did not come out as it should."""


class Demo:
    """One order, from its start to the table of its steps."""

    def __init__(self, folder: Path, services: Services, at_end: ExitStack) -> None:
        self._options = ["--db", f"sqlite:///{folder}/demo.db"]
        self._services = services
        self._at_end = at_end
        self._began = time.monotonic()

    def play(self) -> None:
        run_id = self._start_and_kill()
        server = self._serve()
        self._approve(run_id)
        run = self._until(run_id, lambda run: run["ended_at"], what="the end of the run")
        self._stop(server)
        self._show(run)
        self._check(run)

    def _start_and_kill(self) -> str:
        addresses = {name: self._services.url(name) for name in ("customer", "stock", "shipments")}
        order = json.dumps({"items": ITEMS, "services": addresses})
        process = self._begin("run", "order.yaml", "--app", "shop:app", "--input", order, *self._options)
        assert process.stderr is not None
        run_id = process.stderr.readline().removeprefix("run ").strip()
        self._say(f"run {run_id} started: stepwell run order.yaml --app shop:app")
        if not self._services.reached.wait(WAIT_S):
            raise DemoError(f"the run did not come to {self._services.slow_sku}")
        process.kill()
        process.wait()
        self._say(f"killed with SIGKILL while stock reserves {self._services.slow_sku}")
        self._services.go_on.set()
        return run_id

    def _serve(self) -> "subprocess.Popen[str]":
        server = self._begin("serve", "--port", "0", "--app", "shop:app", *self._options)
        assert server.stdout is not None
        self._say(f"a new process takes it up: {server.stdout.readline().strip()}")
        return server

    def _approve(self, run_id: str) -> None:
        self._until(run_id, lambda run: run["waiting_for"] == "approval", what="the approval")
        self._stepwell("runs", "approve", run_id, "--comment", "have a good trip")
        self._say("approved beside the server: stepwell runs approve")

    def _stop(self, server: "subprocess.Popen[str]") -> None:
        server.terminate()
        _, errors = server.communicate(timeout=WAIT_S)
        if server.returncode != 0 or errors:
            raise DemoError(f"expected the server to end with 0 and no message, found {server.returncode}: {errors}")

    def _show(self, run: dict[str, Any]) -> None:
        self._say(f"run {run['id']} is {run['status']}\n")
        wide = max(len(step["key"]) for step in run["steps"])
        print(f"{'step':{wide}}  status     attempts     began     ended")
        for step in run["steps"]:
            began, ended = (seconds_between(run["created_at"], step[name]) for name in ("started_at", "ended_at"))
            print(f"{step['key']:{wide}}  {step['status']:9} {len(step['attempts']):9} {began:7.3f} s {ended:7.3f} s")
        print(f"\noutput: {json.dumps(run['output'])}\n")

    def _check(self, run: dict[str, Any]) -> None:
        found = [(step["name"], step["status"], len(step["attempts"])) for step in run["steps"]]
        expect("status", run["status"], "completed")
        expect("steps", sorted(found), sorted(EXPECTED))
        expect("output", run["output"], {"shipment": "S-1", "total": 6250})
        expect(
            "requests",
            dict(self._services.asked),
            {"/customer": 1, "rope": 1, "bucket": 2, "lamp": 3, "/shipments": 1},
        )
        expect("reservations", sorted(self._services.reserved.values()), ["bucket", "lamp", "rope"])
        self._say("as expected: no recorded step ran again, nothing was reserved twice")

    # --- commands ---------------------------------------------------------------------------------------------------

    def _begin(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "stepwell", *arguments],
            cwd=HERE,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._at_end.callback(process.kill)
        return process

    def _stepwell(self, *arguments: str) -> Any:
        process = self._begin(*arguments, *self._options, "--json")
        out, errors = process.communicate(timeout=WAIT_S)
        if process.returncode != 0:
            raise DemoError(f"stepwell {' '.join(arguments)} ended with {process.returncode}: {errors}")
        return json.loads(out)

    def _until(self, run_id: str, condition: Callable[[dict[str, Any]], Any], *, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            run: dict[str, Any] = self._stepwell("runs", "show", run_id)
            if condition(run):
                return run
        raise DemoError(f"waited {WAIT_S:g} s for {what}; the run is {run['status']}")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise DemoError(f"{what}: expected {expected}\n{' ' * len(what)}  found    {found}")


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def main() -> int:
    for name in [name for name in os.environ if name.startswith("STEPWELL_")]:
        del os.environ[name]  # the demo is the same on every machine
    with tempfile.TemporaryDirectory(prefix="stepwell-demo-") as folder, ExitStack() as at_end:
        services = Services(slow_sku="bucket", busy_sku="lamp")
        at_end.callback(services.close)
        try:
            Demo(Path(folder), services, at_end).play()
        except DemoError as fault:
            print(f"\nthe demo failed: {fault}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

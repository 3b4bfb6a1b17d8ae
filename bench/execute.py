"""Blocking execution over HTTP: `python -m bench.execute [--quick] [--runs N] [--passes N]`.

A definition of one step, 64 connections, the server and its floor (`bench.floor_server`) in processes of their own,
by turns; a form, as the source of this API says, and JSON. What counts is the ratio to the floor.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import uvloop

from bench import report
from bench.floor import shape_of
from bench.gauge import machine, median, percentile
from bench.load import Load, load, post
from bench.serving import Served, serving, stepwell_on

CONNECTIONS: Final = 64
GOAL_PER_S: Final = 3_000
RESULTS: Final = Path(__file__).parent / "results"
PATH: Final = "/api/v1/workflow-runs/execute"
STEP: Final = {"id": "work", "type": "activity", "action": "function", "inputs": {"function": "noop"}}
COMPLETED: Final = b'"status":"completed"'


def define(port: int) -> str:
    """A definition of one step."""
    body = {"name": "One step", "steps": [STEP]}
    answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/workflow-definitions", json=body).raise_for_status()
    return str(answer.json()["workflow"]["id"])


def requests_for(workflow_id: str) -> dict[str, bytes]:
    """The same execution as a form and as JSON."""
    form = f'--b\r\nContent-Disposition: form-data; name="workflowId"\r\n\r\n{workflow_id}\r\n--b--\r\n'
    return {
        "form": post(PATH, "multipart/form-data; boundary=b", form.encode()),
        "json": post(PATH, "application/json", json.dumps({"workflowId": workflow_id}).encode()),
    }


async def one_pass(server: Served, floor: Served, requests: dict[str, bytes], number: int) -> dict[str, Any]:
    """The rates of each kind of request, the floor's between them."""
    found: dict[str, Any] = {}
    for name, request in requests.items():
        for target, served in (("floor", floor), ("runs", server)):
            cpu_s = served.cpu_s
            took: Load = await load(
                served.port, request, expected=COMPLETED, connections=CONNECTIONS, requests=number
            )
            found[f"{name}_{target}_per_s"] = took.per_s
            found[f"{name}_{target}_cpu_us"] = (served.cpu_s - cpu_s) / number * 1e6
            found[f"{name}_{target}_p99_ms"] = percentile(took.latencies_s, 99) * 1e3
        found[f"{name}_ratio"] = found[f"{name}_floor_per_s"] / found[f"{name}_runs_per_s"]
    return found


async def measure(folder: Path, *, number: int, passes: int) -> dict[str, float]:
    database = folder / "engine.db"
    with serving(*stepwell_on(database)) as server:
        workflow_id = define(server.port)
        requests = requests_for(workflow_id)
        await load(server.port, requests["json"], expected=COMPLETED, connections=CONNECTIONS, requests=1_000)
        shape = folder / "shape.json"
        shape.write_bytes(msgspec.json.encode(shape_of(database, workflow_id)))
        with serving("-m", "bench.floor_server", str(shape), str(folder / "floor.db")) as floor:
            found = [await one_pass(server, floor, requests, number) for _ in range(passes)]
    return {name: median([one[name] for one in found]) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure blocking execution over HTTP.")
    parser.add_argument("--quick", action="store_true", help="few runs, to see that it works")
    parser.add_argument("--runs", type=int, default=20_000, help="of each kind in each pass")
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    number = 1_000 if options.quick else options.runs
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as scratch:
        figures: dict[str, Any] = dict(uvloop.run(measure(Path(scratch), number=number, passes=options.passes)))
    command = " ".join(["python -m bench.execute", *sys.argv[1:]])
    figures |= {"connections": CONNECTIONS, "runs_a_pass": number, "passes": options.passes, "command": command}
    figures |= machine()
    report.show(f"Blocking execution over HTTP; goal: {GOAL_PER_S:,} runs/s", figures)
    print(report.save(RESULTS, figures, kind="execute-partial" if options.quick else "execute"))


if __name__ == "__main__":
    main()

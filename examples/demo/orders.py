"""A flow on the command line: an order goes through the shop, and the process that runs it is killed half-way."""

import json
from datetime import datetime
from typing import Any

from services import Services
from stage import WAIT_S, DemoError, Stage, expect

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


def play(stage: Stage) -> None:
    """Starts the server of the stage: it takes up what the killed process has left."""
    services = Services(slow_sku="bucket", busy_sku="lamp")
    stage.at_end.callback(services.close)
    run_id = _start_and_kill(stage, services)
    stage.say(f"a new process takes it up: {stage.serve()}")
    _until(stage, run_id, "waiting_for", "approval")
    stage.stepwell("runs", "approve", run_id, "--comment", "have a good trip")
    stage.say("approved beside the server: stepwell runs approve")
    run = _until(stage, run_id, "status", "completed")
    stage.say(f"run {run['id']} is {run['status']}\n")
    _show(run)
    _check(run, services)
    stage.say("as expected: no recorded step ran again, nothing was reserved twice")


def _start_and_kill(stage: Stage, services: Services) -> str:
    addresses = {name: services.url(name) for name in ("customer", "stock", "shipments")}
    order = json.dumps({"items": ITEMS, "services": addresses})
    process = stage.begin("run", "order.yaml", "--app", "shop:app", "--input", order)
    assert process.stderr is not None
    run_id = process.stderr.readline().removeprefix("run ").strip()
    stage.say(f"run {run_id} started: stepwell run order.yaml --app shop:app")
    if not services.reached.wait(WAIT_S):
        raise DemoError(f"the run did not come to {services.slow_sku}")
    process.kill()
    process.wait()
    stage.say(f"killed with SIGKILL while stock reserves {services.slow_sku}")
    services.go_on.set()
    return run_id


def _until(stage: Stage, run_id: str, name: str, value: str) -> Any:
    return stage.until(
        lambda: stage.stepwell("runs", "show", run_id), lambda run: run[name] == value, what=f"{name} {value}"
    )


def _show(run: dict[str, Any]) -> None:
    wide = max(len(step["key"]) for step in run["steps"])
    print(f"{'step':{wide}}  status     attempts     began     ended")
    for step in run["steps"]:
        began, ended = (_seconds_between(run["created_at"], step[name]) for name in ("started_at", "ended_at"))
        print(f"{step['key']:{wide}}  {step['status']:9} {len(step['attempts']):9} {began:7.3f} s {ended:7.3f} s")
    print(f"\noutput: {json.dumps(run['output'])}\n")


def _check(run: dict[str, Any], services: Services) -> None:
    found = [(step["name"], step["status"], len(step["attempts"])) for step in run["steps"]]
    expect("steps", sorted(found), sorted(EXPECTED))
    expect("output", run["output"], {"shipment": "S-1", "total": 6250})
    requests = {"/customer": 1, "rope": 1, "bucket": 2, "lamp": 3, "/shipments": 1}
    expect("requests", dict(services.asked), requests)
    expect("reservations", sorted(services.reserved.values()), ["bucket", "lamp", "rope"])


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()

"""The APIs through which the cluster demo starts runs and follows them, each used as its own clients do.

The Devset API is not among them: its runs send messages to a broker.
"""

from typing import Any, NamedTuple, Protocol

import httpx
from stage import DemoError

BOXES = 4
"""Steps of a run."""
EVENT = {"specversion": "1.0", "source": "/shop", "type": "example.parcel.ordered"}


class Started(NamedTuple):
    """A run, and where every node shows how it goes."""

    run_id: str
    path: str


class Api(Protocol):
    """One API."""

    name: str

    def prepare(self, client: httpx.Client, url: str) -> None:
        """Bring what is run to one node, for all of them."""

    def start(self, client: httpx.Client, url: str, parcel: int) -> Started | None:
        """None where the API does not tell which run it has started."""

    def output(self, answer: httpx.Response) -> Any:
        """What the run came to, by an answer of its path; None while it goes on. Raises `DemoError`."""


class RunsApi:
    """A definition with a step for each box."""

    name = "the runs API"

    def prepare(self, client: httpx.Client, url: str) -> None:
        args = {"parcel": "{{ inputs.parcel }}"}
        document = {
            "name": "Pack",
            "inputs": [{"name": "parcel", "type": "number", "required": True}],
            "steps": [
                {
                    "id": f"box{box}",
                    "type": "activity",
                    "action": "function",
                    "inputs": {"function": "pack", "args": {**args, "box": box}},
                }
                for box in range(BOXES)
            ],
            "output": {**args, "boxes": BOXES},
        }
        answer = _sent(client.post(f"{url}/api/v1/workflow-definitions", json=document), 201)
        self._workflow = answer["workflow"]["id"]

    def start(self, client: httpx.Client, url: str, parcel: int) -> Started:
        body = {"workflowId": self._workflow, "inputs": {"parcel": parcel}}
        headers = {"Prefer": "respond-async"}
        answer = _sent(client.post(f"{url}/api/v1/workflow-runs/execute", json=body, headers=headers), 202)
        run_id = answer["workflowRun"]["id"]
        return Started(run_id, f"/api/v1/workflow-runs/{run_id}")

    def output(self, answer: httpx.Response) -> Any:
        run = _sent(answer, 200)["workflowRun"]
        return _output(run, run["status"], "outputs")


class AgentsApi:
    """A template with a step for each box."""

    name = "the agents API"

    def prepare(self, client: httpx.Client, url: str) -> None:
        args = {"parcel": "{{ input.parcel }}"}
        document = {
            "name": "Pack",
            "variables": [{"name": "parcel", "type": "integer", "required": True}],
            "steps": [
                {
                    "key": f"box{box}",
                    "type": "task",
                    "config": {"action": "function", "function": "pack", "args": {**args, "box": box}},
                }
                for box in range(BOXES)
            ],
            "output": {**args, "boxes": BOXES},
        }
        self._template = _sent(client.post(f"{url}/api/v1/workflow-templates", json=document), 201)["id"]
        _sent(client.post(f"{url}/api/v1/workflow-templates/{self._template}/publish"), 200)

    def start(self, client: httpx.Client, url: str, parcel: int) -> Started:
        body = {"template_id": self._template, "input": {"parcel": parcel}}
        run_id = _sent(client.post(f"{url}/api/v1/workflows", json=body), 201)["id"]
        return Started(run_id, f"/api/v1/workflows/{run_id}")

    def output(self, answer: httpx.Response) -> Any:
        run = _sent(answer, 200)
        return _output(run, run["status"], "output")


class LlamaApi:
    """The LlamaIndex workflow that the nodes host."""

    name = "the API of the LlamaIndex server"

    def prepare(self, client: httpx.Client, url: str) -> None:
        pass

    def start(self, client: httpx.Client, url: str, parcel: int) -> Started:
        body = {"start_event": {"parcel": parcel, "boxes": BOXES}}
        handler = _sent(client.post(f"{url}/workflows/packing/run-nowait", json=body), 200)
        return Started(handler["run_id"], f"/results/{handler['handler_id']}")

    def output(self, answer: httpx.Response) -> Any:
        return None if answer.status_code == 202 else _sent(answer, 200)["result"]


class EventsApi:
    """The flow that an event starts. Who sends an event is not told of the run: it is found by what it was given."""

    name = "CloudEvents"

    def prepare(self, client: httpx.Client, url: str) -> None:
        pass

    def start(self, client: httpx.Client, url: str, parcel: int) -> None:
        event = {**EVENT, "id": f"parcel-{parcel}", "data": {"parcel": parcel, "boxes": BOXES}}
        headers = {"Content-Type": "application/cloudevents+json"}
        _sent(client.post(f"{url}/api/v1/cloudevents", json=event, headers=headers), 202)

    def found(self, client: httpx.Client, url: str) -> dict[int, Started]:
        """The newest runs that events have started, by parcel."""
        listed = _sent(client.get(f"{url}/api/v1/workflow-runs", params={"search": "parcels", "limit": 100}), 200)
        return {
            run["inputs"][0]["value"][0]["data"]["parcel"]: Started(run["id"], f"/api/v1/cloudevents/{run['id']}")
            for run in listed["workflowRuns"]
        }

    def output(self, answer: httpx.Response) -> Any:
        for event in _sent(answer, 200):
            match event["type"].split(".")[-3:-1]:
                case ["workflow", "completed"]:
                    return event["data"]["output"]
                case ["workflow", "faulted" | "cancelled"]:
                    raise DemoError(f"expected a run to complete, found {event}")
        return None


def _sent(answer: httpx.Response, status: int) -> Any:
    """The JSON of an answer."""
    if answer.status_code != status:
        asked = f"{answer.request.method} {answer.request.url}"
        raise DemoError(f"{asked}: expected {status}, found {answer.status_code}: {answer.text}")
    return answer.json()


def _output(run: Any, status: str, name: str) -> Any:
    if status in ("failed", "cancelled"):
        raise DemoError(f"expected a run to complete, found {run}")
    return run[name] if status == "completed" else None

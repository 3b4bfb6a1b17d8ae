"""The runs API: an order comes as a file, is executed and waited for, then streamed, cut off and followed again."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from stage import Stage, expect

RUNS = "/api/v1/workflow-runs"
DEFINITIONS = "/api/v1/workflow-definitions"
FORMS = "/api/v1/user-forms"
ORDER = "rope\nbucket\nlamp\n"
DOCUMENT = {
    "name": "Order intake",
    "inputs": [
        {"name": "order", "type": "file", "required": True, "accept": ["text/*"]},
        {"name": "ask", "type": "boolean", "default": False},
    ],
    "envs": [{"name": "SHOP", "value": "Knots & Lamps"}],
    "steps": [
        {
            "id": "read",
            "type": "activity",
            "action": "function",
            "inputs": {"function": "read_order", "args": {"file": "{{ inputs.order }}"}},
        },
        {
            "id": "review",
            "type": "human_review",
            "condition": ".inputs.ask",
            "inputs": {"title": "Take an order of {{ steps.read.output.lines }} lines?"},
        },
    ],
    "output": {"shop": "{{ env.SHOP }}", "lines": "{{ steps.read.output.lines }}"},
}


class Message(NamedTuple):
    event: str
    id: str
    data: Any


def play(stage: Stage) -> None:
    workflow_id = stage.ask("POST", DEFINITIONS, DOCUMENT, status=201)["workflow"]["id"]
    stage.say("defined: Order intake, with a file as its input")
    _wait_for_it(stage, workflow_id)
    _watch_it(stage, workflow_id)
    _cancel_it(stage, workflow_id)
    counts = stage.ask("GET", f"{RUNS}/dashboard/{workflow_id}")["counts"]
    expect("runs that ended", (counts["completed"], counts["cancelled"]), (2, 1))
    stage.say(f"dashboard: {json.dumps(counts)}")


def _form(workflow_id: str, **inputs: Any) -> dict[str, Any]:
    """A form as a browser sends it."""
    fields = {"workflowId": workflow_id, "inputs": json.dumps(inputs)}
    return {"data": fields, "files": {"order": ("order.txt", ORDER, "text/plain")}}


def _wait_for_it(stage: Stage, workflow_id: str) -> None:
    answer = stage.send("POST", f"{RUNS}/execute", **_form(workflow_id))
    run = answer.json()["workflowRun"]
    expect("the run's id in the header", answer.headers["x-workflow-run-id"], run["id"])
    expect("outputs", run["outputs"], {"shop": "Knots & Lamps", "lines": 3})
    stage.say(f"executed and waited for: {json.dumps(run['outputs'])}")


def _watch_it(stage: Stage, workflow_id: str) -> None:
    """Until it waits for people; then the connection breaks, and the form is submitted meanwhile."""
    heard: list[Message] = []
    with stage.streaming("POST", f"{RUNS}/execute/stream", **_form(workflow_id, ask=True)) as stream:
        run_id = stream.headers["x-workflow-run-id"]
        for message in _messages(stream.iter_lines()):
            heard.append(message)
            if message.event == "workflow-run" and message.data["content"].get("reason") == "approval":
                break
    last_id = heard[-1].id
    stage.say(f"streamed {len(heard)} messages, then the line broke behind {last_id}")
    (form,) = stage.ask("GET", f"{FORMS}?workflowRunId={run_id}")["userForms"]
    stage.ask("POST", f"{FORMS}/{form['id']}/submit", {"action": "approve"})
    stage.say(f"submitted the form: {form['title']}")
    with stage.streaming("GET", f"{RUNS}/{run_id}/stream", headers={"last-event-id": last_id}) as stream:
        heard += _messages(stream.iter_lines())
    expect("messages that came twice", len(heard) - len({message.id for message in heard}), 0)
    expect("the last message", (heard[-1].event, heard[-1].data["success"]), ("result", True))
    stage.say("followed again from there, to its result:\n")
    _show(heard)


def _cancel_it(stage: Stage, workflow_id: str) -> None:
    form = _form(workflow_id, ask=True)
    begun = stage.send("POST", f"{RUNS}/execute", status=202, headers={"prefer": "wait=0"}, **form).json()
    body = {"workflowId": workflow_id, "reason": "the shop is closed"}
    cancelled = stage.ask("POST", f"{RUNS}/cancel", body)
    outcomes = [(outcome["runId"], outcome["status"]) for outcome in cancelled["results"]]
    expect("outcomes", outcomes, [(begun["workflowRun"]["id"], "cancelled")])
    stage.say("one more was told to wait for people, and is cancelled with all open runs of its workflow")


def _messages(lines: Iterator[str]) -> Iterator[Message]:
    """Server-sent events, without the pings."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "id" in fields:
                yield Message(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


def _show(heard: list[Message]) -> None:
    for event, id, data in heard:
        content = data.get("content", "")
        said = content if isinstance(content, str) else f"{content.get('stepId', '')} {content['status']}"
        print(f"{id:8} {event:13} {said}".rstrip())
    print()

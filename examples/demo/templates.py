"""The agents API: a template is published, a person reviews what a run has fetched, a vendor answers with a token.

The templates are those of `examples/templates`.
"""

import json
import queue
from typing import Any

from local import Asked, LocalService
from stage import HERE, WAIT_S, DemoError, Stage, expect
from standardwebhooks import Webhook

RUNS = "/api/v1/workflows"
TEMPLATES = "/api/v1/workflow-templates"
ROWS = [{"sku": "rope"}, {"sku": "lamp"}]


class Outside:
    """A shop's rows, the warehouse they go to, a vendor, and who is told of it all."""

    def __init__(self) -> None:
        self.loaded: list[Any] = []
        self.vendor: queue.Queue[Any] = queue.Queue()
        self.told: queue.Queue[Asked] = queue.Queue()
        """Webhooks."""
        self._service = LocalService(self._answer)
        self.url = self._service.url
        self.close = self._service.close

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        match asked.method, asked.path:
            case "GET", "/rows":
                return 200, {"rows": ROWS}
            case "POST", "/warehouse":
                self.loaded += asked.body["rows"]
            case "GET", "/warehouse":
                return 200, {"rows": len(self.loaded)}
            case "POST", "/vendor":
                self.vendor.put(asked.body)
            case _:
                self.told.put(asked)
        return 200, {}


def play(stage: Stage) -> None:
    outside = Outside()
    stage.at_end.callback(outside.close)
    secret = stage.ask("POST", "/api/v1/webhooks", _hook(outside), status=201)["secret"]
    imported = _import_with_review(stage, outside)
    _show(stage.read(f"{RUNS}/{imported}/events"))
    _vendor_callback(stage, outside)
    _hear(stage, outside, Webhook(secret))


def _hook(outside: Outside) -> Any:
    return {"url": outside.url("hooks"), "events": ["workflow.run.completed"]}


def _import_with_review(stage: Stage, outside: Outside) -> str:
    template_id = _publish(stage, "import-with-review")
    input = {"source": outside.url("rows"), "destination": outside.url("warehouse"), "token": "very secret token"}
    body = {"template_id": template_id, "input": input}
    run, again = (stage.ask("POST", RUNS, body, status=201, **{"x-idempotency-key": "monday"}) for _ in range(2))
    expect("the run of a repeated request", again["id"], run["id"])
    expect("the secret as it is shown", run["input"]["token"], "***")
    stage.say(f"run {run['id']} started; the same request again is the same run")
    (asked,) = stage.until(
        lambda: stage.ask("GET", "/api/v1/approvals")["data"], lambda inbox: inbox, what="an approval in the inbox"
    )
    stage.say(f"{asked['title']}: {asked['prompt']} {json.dumps(asked['context'])}")
    stage.ask("POST", f"{RUNS}/{run['id']}/approvals/{asked['id']}/approve", {"comment": "fine"})
    expect("output", _ended(stage, run["id"])["output"], {"loaded": {"rows": 2}})
    expect("rows in the warehouse", outside.loaded, ROWS)
    stage.say("approved; the rows are in the warehouse. Its event log, as it was streamed:\n")
    return str(run["id"])


def _vendor_callback(stage: Stage, outside: Outside) -> None:
    template_id = _publish(stage, "vendor-callback")
    input = {"order": {"rope": 1}, "vendor": outside.url("vendor")}
    run = stage.ask("POST", RUNS, {"template_id": template_id, "input": input}, status=201)
    order = _taken(outside.vendor, "the vendor's order")
    stage.say(f"the vendor has {json.dumps(order['payload'])} and a token, and answers with it")
    stage.ask("POST", order["callback"]["url"], {"status": "completed", "output": {"parcel": "P-1"}})
    output = _ended(stage, run["id"])["output"]
    expect("output", output, {"delivered": {"parcel": "P-1"}, "without_vendor": None})


def _hear(stage: Stage, outside: Outside, webhook: Webhook) -> None:
    """Both ends were told of, signed."""
    told = [_taken(outside.told, "a webhook") for _ in range(2)]
    messages = [webhook.verify(asked.text, dict(asked.headers)) for asked in told]
    expect("webhooks", [message["type"] for message in messages], ["workflow.run.completed"] * 2)
    stage.say("two webhooks came, and their signatures are right")


def _publish(stage: Stage, name: str) -> str:
    document = json.loads((HERE.parent / "templates" / f"{name}.json").read_text())
    template = stage.ask("POST", TEMPLATES, document, status=201)
    stage.ask("POST", f"{TEMPLATES}/{template['id']}/publish")
    stage.say(f"published examples/templates/{name}.json")
    return str(template["id"])


def _ended(stage: Stage, run_id: str) -> Any:
    run = stage.until(lambda: stage.ask("GET", f"{RUNS}/{run_id}"), lambda run: run["completed_at"], what="the end")
    expect("status", run["status"], "completed")
    return run


def _taken(kept: "queue.Queue[Any]", what: str) -> Any:
    try:
        return kept.get(timeout=WAIT_S)
    except queue.Empty:
        raise DemoError(f"waited {WAIT_S:g} s for {what}") from None


def _show(stream: str) -> None:
    events = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    expect("numbers of the events", [event["seq"] for event in events], list(range(1, len(events) + 1)))
    for event in events:
        print(f"{event['seq']:3}  {event['type']:20} {event['step_key'] or '':8} {event['actor']['id']}")
    print()

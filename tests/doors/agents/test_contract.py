"""The agents door keeps to its OpenAPI document, whatever it is sent."""

from pathlib import Path
from typing import Any

import httpx

from ..contract import check_contract, served_in_thread
from .door import CALLBACKS, INBOX, LATER, NOW, RUNS, TEMPLATES, ask, callback, new_app

WEBHOOKS = "/api/v1/webhooks"


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    with served_in_thread(new_app(tmp_path, egress_allow=("localhost",))) as url:
        check_contract(url, "/openapi/agents.json", known=filled(url))


def filled(url: str) -> dict[str, list[Any]]:
    """Ids of templates, runs in all kinds of states, approvals and webhooks, made at the server."""
    with httpx.Client(base_url=url, timeout=30) as client:

        def post(path: str, body: Any = None) -> Any:
            return client.post(path, json=body).raise_for_status().json()

        def start(*steps: Any) -> str:
            run = post(RUNS, {"name": "Inline", "steps": list(steps)})
            return str(run["id"])

        templates = [post(TEMPLATES, {"name": "Review", "steps": [ask()]})["id"] for _ in range(4)]
        for id in templates[1:]:
            post(f"{TEMPLATES}/{id}/publish")
        post(f"{TEMPLATES}/{templates[3]}/archive")
        runs = [start(steps) for steps in (NOW, LATER, ask(), ask("other"), callback())]
        post(f"{RUNS}/{runs[1]}/cancel")
        post(f"{RUNS}/{runs[3]}/pause")
        webhook = post(WEBHOOKS, {"url": "https://localhost/hook", "events": ["workflow.run.completed"]})
        approvals = [one["id"] for one in client.get(INBOX).raise_for_status().json()["data"]]
        return {
            f"{TEMPLATES}/{{id}}": templates,
            f"{TEMPLATES}/{{id}}/versions/{{version}}": ["1", "2"],
            f"{RUNS}/{{id}}": runs,
            f"{RUNS}/{{id}}/approvals/{{approval_id}}": approvals,
            f"{INBOX}/{{id}}": approvals,
            f"{WEBHOOKS}/{{id}}": [webhook["id"]],
            f"{CALLBACKS}/{{token}}": ["unknown"],
            "template_id": templates,
            f"POST {RUNS}": [{"template_id": templates[1], "input": {}}, {"name": "Now", "steps": [NOW]}],
            f"POST {TEMPLATES}": [{"name": "New", "steps": [NOW, ask()], "variables": [{"name": "rows"}]}],
            f"PUT {TEMPLATES}/{{id}}": [{"name": "Other", "steps": [LATER], "output": "{{ run.id }}"}],
            f"POST {WEBHOOKS}": [{"url": "https://localhost/other", "events": ["workflow.run.failed"]}],
            f"PATCH {WEBHOOKS}/{{id}}": [{"events": ["workflow.run.failed"]}],
            f"POST {CALLBACKS}/{{token}}": [{"status": "completed", "output": {}}],
        }

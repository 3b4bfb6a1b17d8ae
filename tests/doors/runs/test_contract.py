"""The runs door keeps to its OpenAPI document, whatever it is sent. Streams are tried in `test_stream`."""

from pathlib import Path
from typing import Any

import httpx

from ..contract import check_contract, served_in_thread
from .serving import DEFINITIONS, FORMS, NOBODY, RUNS, Gates, new_app, review, step

ADD = step("add", {"a": "{{ inputs.a }}", "b": 1})
SUM = {"name": "Sum", "inputs": [{"name": "a", "type": "number", "default": 1}], "steps": [ADD]}
ASK = {"name": "Ask", "inputs": [{"name": "paper", "type": "file"}], "steps": [review()]}


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    with served_in_thread(new_app(tmp_path, Gates(), execute_wait_s=0.2)) as url:
        check_contract(url, "/openapi/runs.json", known=filled(url), leave_out="/stream$")


def filled(url: str) -> dict[str, list[Any]]:
    """Ids of definitions, runs, forms and files, made at the server."""
    with httpx.Client(base_url=url, timeout=30) as client:

        def define(document: Any) -> str:
            return str(client.post(DEFINITIONS, json=document).raise_for_status().json()["workflow"]["id"])

        def execute(id: str, **files: Any) -> Any:
            parts = {"workflowId": (None, id), **files}
            answer = client.post(f"{RUNS}/execute", files=parts, headers={"Prefer": "wait=0"})
            return answer.raise_for_status().json()["workflowRun"]

        add, ask = define(SUM), define(ASK)
        client.put(f"{DEFINITIONS}/{add}/schedule", json={"cron": "0 9 * * *"}).raise_for_status()
        with_file = execute(ask, paper=("a.txt", b"x"))
        runs = [execute(add)["id"], with_file["id"], execute(ask)["id"]]
        versions = [client.get(f"{DEFINITIONS}/{id}").json()["workflow"]["versionId"] for id in (add, ask)]
        forms: list[str] = []
        while len(forms) < 2:  # the runs are on their way there
            forms = [form["id"] for form in client.get(FORMS).raise_for_status().json()["userForms"]]
        return {
            f"{RUNS}/{{run_id}}": runs,
            f"{RUNS}/{{run_id}}/files/{{object_id}}": [with_file["inputs"][0]["value"]["objectId"]],
            f"{RUNS}/dashboard/{{workflow_id}}": [add, ask],
            f"{DEFINITIONS}/{{id}}": [add, ask],
            f"{DEFINITIONS}/{{id}}/versions/{{version_id}}": versions,
            f"{FORMS}/{{form_id}}": forms,
            "workflowId": [add, ask],
            "runIds": [runs, [NOBODY, *runs]],
            f"POST {RUNS}/execute": [{"workflowId": add, "inputs": {"a": 1}}],
            f"POST {RUNS}/cancel": [{"runIds": runs}, {"workflowId": ask}],
            f"POST {DEFINITIONS}": [{**SUM, "schedule": {"cron": "0 9 * * *"}}, {**ASK, "isDraft": True}],
            f"PUT {DEFINITIONS}/{{id}}": [SUM, {**ASK, "isDefault": False}],
            f"PUT {DEFINITIONS}/{{id}}/schedule": [{"cron": "0 9 * * *"}, {"paused": True}],
            f"POST {FORMS}/{{form_id}}/submit": [{"action": "approve"}, {"action": "modify", "data": {}}],
        }

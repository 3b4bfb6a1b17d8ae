"""The llama door keeps to its OpenAPI documents, whatever it is sent."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from schemathesis.checks import not_a_server_error

from ..contract import CHECKS, check_contract, served_in_thread
from .test_typed import new_app

ECHO = {"start_event": {"x": 1}}
REPLY = {"event": {"type": "Reply", "value": {"text": "yes"}}}


def is_told(_context: Any, response: Any, _case: Any) -> None:
    """This API tells of failed runs and of bodies that are no JSON with 500: only in its own words."""
    assert "the server failed to answer" not in response.text


CHECKED = [is_told, *(check for check in CHECKS if check is not not_a_server_error)]


@pytest.mark.parametrize(("document", "prefix"), [("llama", ""), ("llama_new", "/llama")])
def test_every_answer_is_as_documented(tmp_path: Path, document: str, prefix: str) -> None:
    with served_in_thread(new_app(tmp_path)) as url:
        known = filled(url, prefix)
        check_contract(url, f"/openapi/{document}.json", known=known, leave_out="/events/{handler", checks=CHECKED)


def filled(url: str, prefix: str) -> dict[str, list[Any]]:
    """Handlers of each status, and bodies that are right."""
    with httpx.Client(base_url=url + prefix, timeout=30) as client:
        started = [client.post(f"/workflows/{name}/run-nowait", json={}) for name in ("echo", "boom", "ask")]
        handlers = [answer.raise_for_status().json()["handler_id"] for answer in started]
    return {
        f"{prefix}/workflows/{{name}}": ["echo", "boom", "count"],
        f"{prefix}/handlers/{{handler_id}}": handlers,
        f"{prefix}/results/{{handler_id}}": handlers,
        "handler_id": handlers,
        f"POST {prefix}/workflows/{{name}}/run": [ECHO, {}],
        f"POST {prefix}/workflows/{{name}}/run-nowait": [ECHO, {}],
    }

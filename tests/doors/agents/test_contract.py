"""The agents door keeps to its OpenAPI document, whatever it is sent."""

from pathlib import Path

import httpx

import stepwell

from ..contract import check_contract, served_in_thread

TEMPLATES = "/api/v1/workflow-templates"
REVIEW = {"name": "Review", "steps": [{"key": "review", "type": "approval", "config": {}}]}


def test_every_answer_is_as_documented(tmp_path: Path) -> None:
    with served_in_thread(stepwell.App(db=f"sqlite:///{tmp_path}/door.db")) as url:
        with httpx.Client(base_url=url) as client:
            templates = [client.post(TEMPLATES, json=REVIEW).json()["id"] for _ in range(3)]
            for id in templates[1:]:
                client.post(f"{TEMPLATES}/{id}/publish").raise_for_status()
        asked = check_contract(url, "/openapi/agents.json", known={"id": templates, "version": ["1", "2"]})

    assert asked >= 9

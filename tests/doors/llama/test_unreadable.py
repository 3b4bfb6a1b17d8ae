"""A result whose class is gone: the program was changed since the run ended."""

from pathlib import Path

import pytest

import stepwell

from .classes import Echo, Greet
from .door import opened


def app_with(folder: Path, workflow: type[Echo | Greet]) -> stepwell.App:
    app = stepwell.App(db=f"sqlite:///{folder}/runs.db")
    app.add_workflow("greet", workflow())
    return app


@pytest.mark.parametrize("path", ["/handlers", "/results"])
async def test_new_dialect_answers_422_for_a_result_of_a_class_that_is_gone(tmp_path: Path, path: str) -> None:
    async with opened(app_with(tmp_path, Greet), "/llama") as door:
        handler_id = (await door.run("greet", {"start_event": {"name": "Bo"}})).json()["handler_id"]

    async with opened(app_with(tmp_path, Echo), "/llama") as door:
        answer = await door.get(f"{path}/{handler_id}")
        listed = (await door.get("/handlers")).json()["handlers"]
        seen = await door.events(handler_id)

    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("classes.Greeted")
    assert [one["result_unreadable"] for one in listed] == [True]
    assert [event["type"] for event in seen] == ["Greeted"], "the log needs no class"


async def test_result_of_a_workflow_that_is_gone_as_a_whole_is_one_of_a_class_that_is_gone(tmp_path: Path) -> None:
    async with opened(app_with(tmp_path, Greet), "/llama") as door:
        handler_id = (await door.run("greet", {"start_event": {"name": "Bo"}})).json()["handler_id"]
        before = await door.events(handler_id)

    async with opened(stepwell.App(db=f"sqlite:///{tmp_path}/runs.db"), "/llama") as door:
        answer = await door.get(f"/handlers/{handler_id}")
        listed = (await door.get("/handlers")).json()["handlers"]
        seen = await door.events(handler_id)

    assert answer.status_code == 422
    assert [one["result_unreadable"] for one in listed] == [True]
    assert seen == before


async def test_root_gives_the_value_of_a_result_whose_class_is_gone(tmp_path: Path) -> None:
    async with opened(app_with(tmp_path, Greet)) as door:
        handler_id = (await door.run("greet", {"start_event": {"name": "Bo"}})).json()["handler_id"]

    async with opened(app_with(tmp_path, Echo)) as door:
        answer = await door.get(f"/results/{handler_id}")

    assert (answer.status_code, answer.json()["result"]) == (200, {"text": "hello Bo"})

"""What belongs to one is not there for another: two users, every operation, every id (OWASP API1:2023)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.doors.agents import api

from .door import INBOX, NOW, RUNS, Door, Json, ask, new_app, open_door

UNKNOWN = "01900000-0000-7000-8000-000000000000"
OWN_TESTS = ("/api/v1/workflow-templates", "/api/v1/webhooks", "/api/v1/workflow-callbacks")
"""Paths whose own tests say this; a callback's token belongs to nobody."""
BODIES: dict[str, Json] = {"/rollback": {"snapshot_id": UNKNOWN}}
OPERATIONS = [
    (operation.method, operation.path)
    for operation in api.operations
    if "{" in operation.path and not operation.path.startswith(OWN_TESTS)
]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(new_app(tmp_path)) as door:
        yield door


def without_ids(answer: Any, *ids: str) -> str:
    """An answer's text without what is different each time."""
    body = answer.json()
    body["meta"] = None
    text = str(body)
    for id in ids:
        text = text.replace(id, "<id>")
    return text


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_what_belongs_to_another_is_answered_as_if_it_were_not_there(
    door: Door, method: str, path: str
) -> None:
    anna, bert = await door.of("anna"), await door.of("bert")
    run_id = await anna.start(NOW, ask())
    approval_id = await anna.asked(run_id)
    body = next((body for end, body in BODIES.items() if path.endswith(end)), None)
    answers = []
    for run, approval in ((run_id, approval_id), (UNKNOWN, UNKNOWN)):
        id = approval if path.startswith(INBOX) else run
        place = path.replace("{id}", id).replace("{approval_id}", approval)
        answers.append(await bert.send(method, place, body if method == "POST" else None))
    assert [answer.status_code for answer in answers] == [404, 404], answers[0].text
    assert without_ids(answers[0], run_id, approval_id) == without_ids(answers[1], UNKNOWN)
    assert (await anna.run(run_id))["status"] == "waiting_approval"


async def test_lists_show_ones_own(door: Door) -> None:
    anna, bert = await door.of("anna"), await door.of("bert")
    run_id = await anna.start(ask())
    await anna.asked(run_id)
    for path in (RUNS, INBOX):
        assert (await bert.get(path))["meta"]["pagination"]["total_count"] == 0
        assert (await anna.get(path))["meta"]["pagination"]["total_count"] == 1
    assert (await bert.get(RUNS, template_id=(await anna.run(run_id))["template"]["id"]))["data"] == []


async def test_template_of_another_starts_nothing(door: Door) -> None:
    anna, bert = await door.of("anna"), await door.of("bert")
    template_id = await anna.template(NOW)
    answer = await bert.send("POST", RUNS, {"template_id": template_id})
    assert answer.status_code == 404


async def test_approver_sees_no_more_than_the_approval(door: Door) -> None:
    """What is somebody else's run is not there for who is asked, but for the approval itself."""
    anna, bert = await door.of("anna"), await door.of("bert")
    run_id = await anna.start(ask(approvers={"users": ["bert"]}))
    approval_id = await anna.asked(run_id)
    for method, path in OPERATIONS:
        if path.startswith(INBOX) or "{approval_id}" in path:
            continue
        body = next((body for end, body in BODIES.items() if path.endswith(end)), None)
        answer = await bert.send(method, path.replace("{id}", run_id), body if method == "POST" else None)
        assert answer.status_code == 404, path
    assert (await bert.get(f"{INBOX}/{approval_id}"))["run_id"] == run_id


async def test_administrator_sees_all(door: Door) -> None:
    anna, boss = await door.of("anna"), await door.of("boss", admin=True)
    run_id = await anna.start(ask())
    await anna.asked(run_id)
    assert (await boss.run(run_id))["owner_id"] == "anna"
    assert (await boss.get(INBOX))["meta"]["pagination"]["total_count"] == 1


async def test_nobody_gets_in_without_a_credential(door: Door) -> None:
    anna = await door.of("anna")
    assert (await anna.send("GET", RUNS)).status_code == 200  # and so the server knows that there are keys
    for method, path in OPERATIONS:
        answer = await door.send(method, path.replace("{id}", UNKNOWN).replace("{approval_id}", UNKNOWN))
        assert answer.status_code == 401, path

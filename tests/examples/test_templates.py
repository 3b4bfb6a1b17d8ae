"""The templates of `examples/templates`, each started over HTTP and taken to each of its ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from doors.agents.door import CALLBACKS, INBOX, Door, Json, new_app, open_door, step_of

from .outside import Outside, outside_served

FOLDER = Path(__file__).parents[2] / "examples" / "templates"
DRAFT = {"subject": "Your rope", "text": "Thank you. We look into it."}


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with outside_served() as outside:
        yield outside


@pytest.fixture
async def door(tmp_path: Path, outside: Outside) -> AsyncIterator[Door]:
    settings = {"egress_allow": ("127.0.0.0/8",), "agent_base_url": f"{outside.url}/v1", "agent_model": "m"}
    async with open_door(new_app(tmp_path, **settings)) as door:
        yield door


async def started(door: Door, name: str, **input: Any) -> str:
    """The id of a run of a template of the folder."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    template_id = await door.template(*document.pop("steps"), **document)
    run = await door.post("/api/v1/workflows", {"template_id": template_id, "input": input}, status=201)
    return str(run["id"])


def test_each_of_them_is_tested() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == [
        "agent-with-approval",
        "import-with-review",
        "vendor-callback",
    ]


# --- import with review ---------------------------------------------------------------------------------------------


async def imported(door: Door, outside: Outside) -> str:
    addresses = {"source": f"{outside.url}/rows", "destination": f"{outside.url}/warehouse"}
    return await started(door, "import-with-review", **addresses, token="tell nobody")


async def test_rows_are_loaded_once_somebody_has_seen_them(door: Door, outside: Outside) -> None:
    run_id = await imported(door, outside)
    approval = await door.get(f"{INBOX}/{await door.asked(run_id)}")
    assert (approval["context"], outside.warehouse) == (outside.rows, [])
    await door.decide(run_id, "approve", comment="fine")
    run = await door.ended(run_id)
    assert (run["status"], run["output"]) == ("completed", {"loaded": {"rows": 2}})
    assert (outside.warehouse, outside.credentials) == (outside.rows, {"Bearer tell nobody"})
    assert "tell nobody" not in json.dumps(run)


async def test_rows_that_are_rejected_are_not_loaded(door: Door, outside: Outside) -> None:
    run_id = await imported(door, outside)
    await door.decide(run_id, "reject", comment="no lamps")
    run = await door.ended(run_id)
    assert (run["status"], run["failure_reason"], outside.warehouse) == ("failed", "approval_rejected", [])


async def test_nobody_is_asked_about_no_rows(door: Door, outside: Outside) -> None:
    outside.rows = []
    run = await door.ended(await imported(door, outside))
    assert (run["status"], run["output"]) == ("completed", {"loaded": None})
    assert [step["status"] for step in run["steps"]] == ["completed", "skipped", "skipped", "skipped"]


async def test_load_that_cannot_be_confirmed_is_taken_back(door: Door, outside: Outside) -> None:
    outside.broken = True
    run_id = await imported(door, outside)
    await door.decide(run_id, "approve")
    run = await door.ended(run_id)
    assert (run["status"], run["error"]["step_key"]) == ("failed", "confirm")
    await asyncio.wait_for(outside.emptied.wait(), 20)
    assert outside.warehouse == []


# --- agent with approval --------------------------------------------------------------------------------------------


async def answered(door: Door, outside: Outside) -> str:
    outside.draft = json.dumps(DRAFT)
    return await started(door, "agent-with-approval", message="It broke.", mailer=f"{outside.url}/mail")


async def test_only_what_was_approved_is_sent(door: Door, outside: Outside) -> None:
    run_id = await answered(door, outside)
    approval = await door.get(f"{INBOX}/{await door.asked(run_id)}")
    assert (approval["prompt"], approval["context"]) == (DRAFT["text"], {"message": "It broke.", "answer": DRAFT})
    assert outside.mails == []
    await door.decide(run_id, "approve", comment="kind enough")
    run = await door.ended(run_id)
    assert run["output"] == {"sent": DRAFT, "released_because": "kind enough"}
    assert outside.mails == [DRAFT]
    assert "The customer writes: It broke." in json.dumps(outside.prompts[0])


async def test_draft_that_is_rejected_is_not_sent(door: Door, outside: Outside) -> None:
    run_id = await answered(door, outside)
    await door.decide(run_id, "reject", comment="too cold")
    assert (await door.ended(run_id))["status"] == "failed"
    assert outside.mails == []


# --- vendor callback ------------------------------------------------------------------------------------------------


async def ordered(door: Door, outside: Outside, **input: Any) -> tuple[str, Json]:
    """The run, and what the vendor was sent."""
    run_id = await started(door, "vendor-callback", order={"rope": 1}, vendor=f"{outside.url}/vendor", **input)
    return run_id, await asyncio.wait_for(outside.orders.get(), 20)


async def test_vendor_that_answers_delivers(door: Door, outside: Outside) -> None:
    run_id, order = await ordered(door, outside)
    assert order["payload"] == {"rope": 1}
    answer = {"status": "completed", "output": {"parcel": "P-1"}}
    await door.post(f"{CALLBACKS}/{order['callback']['token']}", answer)
    run = await door.ended(run_id)
    assert run["output"] == {"delivered": {"parcel": "P-1"}, "without_vendor": None}
    assert step_of(run, "ask")["status"] == "skipped"


async def test_somebody_is_asked_when_the_vendor_is_silent(door: Door, outside: Outside) -> None:
    run_id, _ = await ordered(door, outside, patience_seconds=0.1)
    approval = await door.get(f"{INBOX}/{await door.asked(run_id)}")
    assert approval["context"]["error"]["code"] == "callback_timeout"
    await door.decide(run_id, "approve", comment="we send it ourselves")
    run = await door.ended(run_id)
    assert run["output"] == {"delivered": None, "without_vendor": "we send it ourselves"}
    assert step_of(run, "vendor")["error"]["code"] == "callback_timeout"

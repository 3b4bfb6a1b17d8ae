"""The hash chain in the event log."""

import json
from pathlib import Path

from .door import LATER, NOW, RUNS, Json, new_app, open_door


async def test_each_entry_names_its_hash_and_the_one_before(tmp_path: Path) -> None:
    app = new_app(tmp_path, audit_chain=True)
    async with open_door(app) as door:
        run_id = await door.start(NOW)
        await door.ended(run_id)
        entries: list[Json] = []
        while True:
            page = await door.get(f"{RUNS}/{run_id}/events", after_seq=len(entries), limit=2)
            entries += page["data"]
            if not page["meta"]["pagination"]["has_more"]:
                break
        assert [one["prev_hash"] for one in entries[1:]] == [one["hash"] for one in entries[:-1]]
        assert entries[-1]["hash"] == (await app.engine.verify(run_id)).hash
        assert (await door.run(run_id))["events"] == entries
        answer = await door.send("GET", f"{RUNS}/{run_id}/events", headers={"Accept": "text/event-stream"})
        streamed = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [one["hash"] for one in streamed] == [one["hash"] for one in entries]


async def test_without_the_setting_entries_have_no_hashes(tmp_path: Path) -> None:
    async with open_door(new_app(tmp_path)) as door:
        run_id = await door.start(LATER)
        page = await door.get(f"{RUNS}/{run_id}/events")
        assert not any("hash" in one or "prev_hash" in one for one in page["data"])

"""What can be done to a run in each of its statuses: every cell of the table, over HTTP.

The rows are the statuses inside; what clients see of them is `SHOWN`. A cell is the status that the run shows after
it, or 409.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from .door import INBOX, LATER, NOW, RUNS, Door, Json, ask, call, callback, error_of, new_app, open_door

CELLS: Final[dict[str, dict[str, Any]]] = {
    "scheduled": {"pause": "paused", "resume": "pending", "cancel": "cancelled", "retry": 409, "rollback": 409},
    "pending": {"pause": "paused", "resume": "pending", "cancel": "cancelled", "retry": 409, "rollback": 409},
    "running": {"pause": "paused", "resume": "running", "cancel": "cancelled", "retry": 409, "rollback": 409},
    "waiting_approval": {
        "pause": "paused", "resume": "waiting_approval", "cancel": "cancelled", "retry": 409, "rollback": 409,
        "approve": "running", "reject": "running",
    },
    "waiting_callback": {"pause": "paused", "resume": "running", "cancel": "cancelled", "retry": 409,
                         "rollback": 409},
    "waiting_timer": {"pause": "paused", "resume": "running", "cancel": "cancelled", "retry": 409, "rollback": 409},
    "paused": {
        "pause": "paused", "resume": "waiting_approval", "cancel": "cancelled", "retry": 409, "rollback": "paused",
        "approve": "paused", "reject": "paused",
    },
    "stopping": {"pause": 409, "resume": 409, "cancel": "cancelled", "retry": 409, "rollback": 409},
    "completed": {"pause": 409, "resume": 409, "cancel": 409, "retry": 409, "rollback": 409},
    "failed": {"pause": 409, "resume": 409, "cancel": 409, "retry": "pending", "rollback": "paused"},
    "cancelled": {"pause": 409, "resume": 409, "cancel": "cancelled", "retry": "pending", "rollback": "paused"},
}  # fmt: skip
SHOWN: Final = {
    "scheduled": "pending", "waiting_callback": "running", "waiting_timer": "running", "stopping": "running",
}  # fmt: skip
LIVE: Final = ["pending", "running", "waiting_approval"]
ALLOWED_FROM: Final = {
    "pause": [*LIVE, "paused"],
    "resume": [*LIVE, "paused"],
    "cancel": [*LIVE, "paused", "cancelled"],
    "retry": ["failed", "cancelled"],
    "rollback": ["paused", "failed", "cancelled"],
}


class Bench:
    """Makes runs in a status. `work` is a function that does not end until the test does."""

    def __init__(self, door: Door, let_go: asyncio.Event) -> None:
        self.door = door
        self._let_go = let_go

    async def run_in(self, status: str) -> str:
        make: dict[str, Callable[[], Awaitable[str]]] = {
            "scheduled": self._scheduled,
            "pending": self._pending,
            "running": self._running,
            "waiting_approval": self._waiting_approval,
            "waiting_callback": self._waiting_callback,
            "waiting_timer": self._waiting_timer,
            "paused": self._paused,
            "stopping": self._stopping,
            "completed": self._completed,
            "failed": self._failed,
            "cancelled": self._cancelled,
        }
        run_id = await make[status]()
        assert (await self.door.run(run_id))["status"] == SHOWN.get(status, status)
        return run_id

    async def _scheduled(self) -> str:
        return await self.door.start(NOW, scheduled_at="2099-01-01T00:00:00Z")

    async def _pending(self) -> str:
        """A run that waits for its turn: this server drives one at a time."""
        busy = await self.door.start(call("work", "work"))
        await self.door.until(busy, lambda run: run["status"] == "running")
        return await self.door.start(NOW)

    async def _running(self) -> str:
        run_id = await self.door.start(call("work", "work"))
        await self.door.until(run_id, lambda run: run["progress"]["in_flight"])
        return run_id

    async def _waiting_approval(self) -> str:
        run_id = await self.door.start(NOW, ask())
        await self.door.asked(run_id)
        return run_id

    async def _waiting_callback(self) -> str:
        run_id = await self.door.start(callback())
        await self.door.until(run_id, lambda run: run["current_step"] and run["current_step"]["status"] == "waiting")
        return run_id

    async def _waiting_timer(self) -> str:
        run_id = await self.door.start(LATER)
        await self.door.until(run_id, lambda run: run["current_step"] and run["current_step"]["status"] == "waiting")
        return run_id

    async def _paused(self) -> str:
        run_id = await self._waiting_approval()
        await self.door.tell(run_id, "pause")
        return run_id

    async def _stopping(self) -> str:
        """This door has no such command; others do."""
        run_id = await self._running()
        await self.door.app.engine.stop(run_id)
        return run_id

    async def _completed(self) -> str:
        return str((await self.door.ended(await self.door.start(NOW)))["id"])

    async def _failed(self) -> str:
        return str((await self.door.ended(await self.door.start(NOW, call("break", "fail"))))["id"])

    async def _cancelled(self) -> str:
        run_id = await self._waiting_approval()
        await self.door.tell(run_id, "cancel")
        return run_id

    async def act(self, run_id: str, action: str) -> Any:
        """The answer to an action."""
        door = self.door
        if action in ("approve", "reject"):
            (approval,) = (await door.run(run_id))["approvals"]
            return await door.send("POST", f"{RUNS}/{run_id}/approvals/{approval['id']}/{action}")
        if action == "rollback":
            return await door.send("POST", f"{RUNS}/{run_id}/rollback", await self._snapshot(run_id))
        return await door.send("POST", f"{RUNS}/{run_id}/{action}")

    async def _snapshot(self, run_id: str) -> Json:
        """A snapshot of the run; one is taken, unless it has ended and has those of its steps."""
        taken = await self.door.send("POST", f"{RUNS}/{run_id}/snapshots", {"label": "here"})
        if taken.status_code == 201:
            return {"snapshot_id": taken.json()["id"]}
        return {"snapshot_id": (await self.door.get(f"{RUNS}/{run_id}/snapshots"))["data"][-1]["id"]}


@pytest.mark.parametrize("status", CELLS)
async def test_every_action_does_what_the_table_says(tmp_path: Path, status: str) -> None:
    app = new_app(tmp_path, max_active=1 if status == "pending" else 100)
    let_go = asyncio.Event()

    @app.function
    async def work() -> None:
        await let_go.wait()

    @app.function
    def fail() -> None:
        raise ValueError("no")

    async with open_door(app) as door:
        bench = Bench(door, let_go)
        for action, expected in CELLS[status].items():
            run_id = await bench.run_in(status)
            answer = await bench.act(run_id, action)
            await _check(door, run_id, status, action, expected, answer)
            if status == "pending":
                await _clear(door)
        let_go.set()


async def _check(door: Door, run_id: str, status: str, action: str, expected: Any, answer: Any) -> None:
    place = f"{action} of a {status} run: {answer.text}"
    if expected == 409:
        assert answer.status_code == 409, place
        error = error_of(answer)
        assert error["code"] == "INVALID_STATE_TRANSITION", place
        details = {"from": SHOWN.get(status, status), "action": action, "allowed_from": ALLOWED_FROM[action]}
        assert error["details"] == {**details, "reason": "wrong_status"}, place
        assert (await door.run(run_id))["status"] == SHOWN.get(status, status)
        return
    assert answer.status_code == (202 if action == "retry" else 200), place
    if action in ("approve", "reject") and status != "paused":
        ended = await door.ended(run_id)  # at once, more or less
        assert ended["status"] == ("completed" if action == "approve" else "failed")
    else:
        assert answer.json()["status"] == expected, place


async def _clear(door: Door) -> None:
    """Let a server that drives one run at a time drive the next."""
    for run in (await door.get(RUNS, limit=100))["data"]:
        if run["completed_at"] is None:
            await door.tell(run["id"], "cancel")


async def test_decision_on_a_cancelled_run_is_told_that_it_was_cancelled(door: Door) -> None:
    run_id = await door.start(ask())
    approval_id = await door.asked(run_id)
    await door.tell(run_id, "cancel", {"reason": "no need"})
    answer = await door.send("POST", f"{RUNS}/{run_id}/approvals/{approval_id}/approve")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "APPROVAL_ALREADY_DECIDED")
    assert error_of(answer)["details"]["decision"]["decision"] == "cancelled"
    assert (await door.get(f"{INBOX}/{approval_id}"))["status"] == "cancelled"


async def test_decision_while_paused_is_kept_and_the_run_goes_on_when_it_is_resumed(door: Door) -> None:
    run_id = await door.start(ask(), NOW)
    await door.asked(run_id)
    await door.tell(run_id, "pause", {"reason": "lunch"})
    assert (await door.decide(run_id, "approve"))["status"] == "paused"
    run = await door.run(run_id)
    assert [step["status"] for step in run["steps"]] == ["completed", "pending"]
    await door.tell(run_id, "resume")
    assert (await door.ended(run_id))["status"] == "completed"


async def test_pause_lets_what_is_at_work_finish_and_begins_nothing_else(tmp_path: Path) -> None:
    app = new_app(tmp_path)
    let_go = asyncio.Event()

    @app.function
    async def work() -> str:
        await let_go.wait()
        return "done"

    async with open_door(app) as door:
        run_id = await door.start(call("work", "work"), NOW)
        await door.until(run_id, lambda run: run["progress"]["in_flight"])
        paused = await door.tell(run_id, "pause")
        assert (paused["status"], paused["progress"]["in_flight"]) == ("paused", 1)
        assert paused["paused_at"] is not None
        let_go.set()
        finished = await door.until(run_id, lambda run: not run["progress"]["in_flight"])
        assert [step["status"] for step in finished["steps"]] == ["completed", "pending"]
        assert (finished["status"], finished["context"]) == ("paused", {"work": "done"})
        await door.tell(run_id, "resume")
        assert (await door.ended(run_id))["status"] == "completed"


async def test_paused_run_is_resumed_by_another_process(tmp_path: Path) -> None:
    async with open_door(new_app(tmp_path)) as door:
        run_id = await door.start(NOW, ask())
        await door.asked(run_id)
        await door.tell(run_id, "pause")
    async with open_door(new_app(tmp_path)) as door:
        assert (await door.run(run_id))["status"] == "paused"
        await door.tell(run_id, "resume")
        await door.decide(run_id, "approve")
        assert (await door.ended(run_id))["status"] == "completed"


async def test_result_that_comes_after_the_cancel_is_on_record_and_changes_nothing(tmp_path: Path) -> None:
    app = new_app(tmp_path)
    began = asyncio.Event()

    @app.function
    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "paid"
        return "never"

    async with open_door(app) as door:
        run_id = await door.start(call("pay", "stubborn"))
        await began.wait()
        cancelled = await door.tell(run_id, "cancel", {"reason": "too late"})
        assert (cancelled["status"], cancelled["cancel_reason"]) == ("cancelled", "too late")
        async with asyncio.timeout(10):
            while not any(step.late for step in (await app.engine.state(run_id)).steps.values()):  # noqa: ASYNC110
                await asyncio.sleep(0)  # the note is written on its own
        run = await door.run(run_id)
        assert [event["type"] for event in run["events"]][-2:] == ["run.cancelled", "step.late_result_discarded"]
        assert (run["status"], run["steps"][0]["status"], run["context"]) == ("cancelled", "cancelled", {})

"""The statuses of a step, over HTTP: what leads from one to the next."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwell.core.program import StepContext

from .door import NOW, RUNS, Door, Json, ask, call, callback, new_app, open_door, step_of


class Hands:
    """What the functions of these runs do is told from here."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.broken = True


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def door(tmp_path: Path, hands: Hands) -> AsyncIterator[Door]:
    app = new_app(tmp_path)

    @app.function
    async def work() -> str:
        await hands.let_go.wait()
        return "done"

    @app.function
    def fail_once(ctx: StepContext) -> str:
        if hands.broken:
            raise ValueError("not yet")
        return f"attempt {ctx.attempt}"

    @app.function
    async def sleep() -> None:
        await asyncio.Event().wait()

    async with open_door(app) as door:
        yield door


def statuses(run: Json) -> dict[str, str]:
    return {step["key"]: step["status"] for step in run["steps"]}


async def at_work(door: Door, run_id: str) -> Json:
    return await door.until(run_id, lambda run: run["progress"]["in_flight"])


async def waits(door: Door, run_id: str) -> Json:
    return await door.until(run_id, lambda run: run["current_step"] and run["current_step"]["status"] == "waiting")


async def test_step_is_pending_then_running_then_completed(door: Door, hands: Hands) -> None:
    run_id = await door.start(call("a", "work"), call("b", "work"))
    assert statuses(await at_work(door, run_id)) == {"a": "running", "b": "pending"}
    hands.let_go.set()
    run = await door.ended(run_id)
    assert statuses(run) == {"a": "completed", "b": "completed"}
    step = step_of(run, "b")
    assert (step["output"], step["index"], step["depends_on"]) == ("done", 1, ["a"])
    assert step["started_at"] <= step["completed_at"]


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (ask("x"), "approval"),
        (callback("x"), "callback"),
        ({"key": "x", "type": "wait", "config": {"seconds": 3600}}, "wait"),
    ],
)
async def test_step_that_waits_is_waiting(door: Door, step: Json, kind: str) -> None:
    run = await waits(door, await door.start(step))
    assert (step_of(run, "x")["type"], step_of(run, "x")["status"]) == (kind, "waiting")
    assert run["current_step"]["key"] == "x"


async def test_step_is_skipped_when_its_condition_does_not_hold_or_its_branch_is_not_taken(door: Door) -> None:
    decide = {
        "key": "which",
        "type": "condition",
        "config": {"if": ".input.n > 1", "then": ["big"], "else": ["small"]},
    }
    steps = [decide, {**NOW, "key": "big"}, {**NOW, "key": "small"}, {**NOW, "key": "never", "when": ".input.n > 5"}]
    run = await door.ended(await door.start(*steps, input={"n": 2}))
    assert statuses(run) == {"which": "completed", "big": "completed", "small": "skipped", "never": "skipped"}
    assert run["progress"]["skipped"] == 2
    assert [event["step_key"] for event in run["events"] if event["type"] == "step.skipped"] == ["small", "never"]


async def test_step_is_retrying_between_its_attempts(door: Door, hands: Hands) -> None:
    retry = {"max_attempts": 2, "initial_ms": 600_000, "max_ms": 600_000, "jitter": 0}
    run_id = await door.start(call("a", "fail_once", retry=retry))
    run = await door.until(run_id, lambda run: statuses(run)["a"] == "retrying")
    assert step_of(run, "a")["next_retry_at"] is not None
    assert (run["status"], run["current_step"]["status"]) == ("running", "retrying")
    hands.broken = False
    await door.tell(run_id, "cancel")
    assert statuses(await door.run(run_id)) == {"a": "cancelled"}


async def test_step_is_tried_again_and_numbers_its_attempts(door: Door) -> None:
    retry = {"max_attempts": 2, "initial_ms": 1, "jitter": 0}
    run = await door.ended(await door.start(call("a", "fail_once", retry=retry)))
    step = step_of(run, "a")
    assert (run["status"], step["status"], step["attempt"]) == ("failed", "failed", 2)
    assert [one["error"]["message"] for one in step["attempts"]] == ["not yet", "not yet"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"timeout_seconds": 0.05}, "step_timeout"),
        ({"heartbeat_timeout_seconds": 0.05}, "heartbeat_timeout"),
    ],
)
async def test_attempt_that_takes_too_long_fails_by_the_name_of_its_limit(
    door: Door, limits: Json, reason: str
) -> None:
    run = await door.ended(await door.start(call("a", "sleep", **limits)))
    assert (run["failure_reason"], run["error"]["code"]) == (reason, reason)
    assert step_of(run, "a")["status"] == "failed"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (ask("x", timeout_seconds=0.05), "approval_timeout"),
        (ask("x", timeout_seconds=0.05, on_timeout="reject"), "approval_rejected"),
        (callback("x", config={"timeout_seconds": 0.05}), "callback_timeout"),
        (callback("x", heartbeat_timeout_seconds=0.05), "heartbeat_timeout"),
    ],
)
async def test_wait_that_nobody_ends_fails_by_its_name(door: Door, step: Json, reason: str) -> None:
    run = await door.ended(await door.start(step))
    assert (run["status"], run["failure_reason"]) == ("failed", reason)
    assert step_of(run, "x")["status"] == "failed"


async def test_live_steps_are_cancelled_with_their_run(door: Door) -> None:
    steps: list[Json] = [call("a", "sleep", depends_on=["first"]), {**ask("b"), "depends_on": ["first"]}]
    run_id = await door.start({**NOW, "key": "first"}, *steps)
    await at_work(door, run_id)
    await door.asked(run_id)
    run = await door.tell(run_id, "cancel")
    assert run["pending_approvals"] == []
    assert statuses(await door.run(run_id)) == {"first": "completed", "a": "cancelled", "b": "cancelled"}


async def test_retry_of_the_run_does_failed_and_cancelled_steps_again_and_keeps_the_others(
    door: Door, hands: Hands
) -> None:
    run_id = await door.start({**NOW, "key": "first"}, call("a", "fail_once"), {**NOW, "key": "last"})
    failed = await door.ended(run_id)
    assert statuses(failed) == {"first": "completed", "a": "failed", "last": "pending"}
    retried = await door.tell(run_id, "retry", status=202)
    assert (retried["status"], retried["attempt"], retried["error"]) == ("pending", 2, None)
    again = await door.ended(run_id)
    assert (again["status"], step_of(again, "a")["attempt"]) == ("failed", 2)
    hands.broken = False
    await door.tell(run_id, "retry", status=202)
    run = await door.ended(run_id)
    assert (run["status"], run["attempt"], run["context"]["a"]) == ("completed", 3, "attempt 3")
    assert [one["attempt"] for one in step_of(run, "a")["attempts"]] == [1, 2, 3]
    assert len(step_of(run, "first")["attempts"]) == 1


async def test_retry_from_an_earlier_step_with_a_patched_input(door: Door, hands: Hands) -> None:
    echo = {**NOW, "key": "wait", "config": {"seconds": "{{ input.s }}"}}
    run_id = await door.start(
        echo, {**NOW, "key": "beside", "depends_on": []}, call("a", "fail_once"), input={"s": 0}
    )
    await door.ended(run_id)
    hands.broken = False
    await door.tell(run_id, "retry", {"from_step": "wait", "input_patch": {"s": 0.001, "more": [1]}}, status=202)
    run = await door.ended(run_id)
    assert (run["status"], run["input"]) == ("completed", {"s": 0.001, "more": [1]})
    assert [len(step_of(run, key)["attempts"]) for key in ("wait", "a")] == [2, 2]
    assert {"attempt": 2, "from_step": "wait", "version": "1"} in [event["data"] for event in run["events"]]


async def test_retry_with_the_latest_version_takes_the_repaired_step(door: Door) -> None:
    template_id = await door.template(NOW, call("a", "fail_once"))
    run_id = (await door.post(RUNS, {"template_id": template_id}, status=201))["id"]
    await door.ended(run_id)
    await door.publish(template_id, NOW, {**NOW, "key": "a"})
    await door.tell(run_id, "retry", {"template_version": "latest"}, status=202)
    run = await door.ended(run_id)
    assert (run["status"], run["template"]["version"]) == ("completed", 2)
    assert len(step_of(run, "now")["attempts"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from_step": "none"}, "from_step"),
        ({"template_version": "latest"}, "template_version"),
        ({"template_version": "newest"}, "template_version"),
        ({"input_patch": {"n": "x"}}, "input_patch.n"),
        ({"input_patch": {"m": 1}}, "input_patch.m"),
        ({"input_patch": []}, "input_patch"),
    ],
)
async def test_retry_that_asks_for_the_impossible_is_refused(door: Door, body: Json, field: str) -> None:
    variables = [{"name": "n", "type": "integer", "default": 1}]
    template_id = await door.template(NOW, call("a", "fail_once"), variables=variables)
    run_id = (await door.post(RUNS, {"template_id": template_id}, status=201))["id"]
    await door.ended(run_id)
    await door.publish(template_id, {**NOW, "config": {"seconds": 0.001}}, call("a", "fail_once"))
    answer = await door.send("POST", f"{RUNS}/{run_id}/retry", body)
    assert answer.status_code == 422, answer.text
    error: Any = answer.json()["errors"][0]
    assert (error["code"], list(error["details"])) == ("VALIDATION_ERROR", [field])
    assert (await door.run(run_id))["status"] == "failed"


async def test_cancelled_run_goes_on_with_the_first_step_that_has_not_completed(door: Door) -> None:
    run_id = await door.start(NOW, ask(), {**NOW, "key": "last"})
    first = await door.asked(run_id)
    await door.tell(run_id, "cancel")
    await door.tell(run_id, "retry", status=202)
    second = await door.asked(run_id)
    assert first != second
    await door.decide(run_id, "approve")
    run = await door.ended(run_id)
    assert [len(step_of(run, key)["attempts"]) for key in ("now", "review", "last")] == [1, 2, 1]


async def test_steps_inside_a_foreach_are_shown_by_item(door: Door) -> None:
    each = {
        "key": "each",
        "type": "foreach",
        "config": {"items": "{{ input.items }}", "steps": [{**NOW, "key": "one"}]},
    }
    run = await door.ended(await door.start(each, input={"items": [1, 2]}))
    assert [part["key"] for part in step_of(run, "each")["steps"]] == ["each@0/one", "each@1/one"]


@pytest.mark.parametrize("verb", ["cancel", "rollback"])
async def test_what_was_done_is_undone_when_that_is_asked_for(tmp_path: Path, verb: str) -> None:
    app = new_app(tmp_path)
    done: list[str] = []

    @app.function
    def book(what: str) -> str:
        done.append(what)
        return what

    def booking(key: str) -> Json:
        undo = {"action": "function", "function": "book", "args": {"what": f"undo {{{{ steps.{key}.output }}}}"}}
        return call(key, "book", args={"what": key}, compensate=undo)

    async with open_door(app) as door:
        run_id = await door.start(booking("flight"), booking("hotel"), ask())
        await door.asked(run_id)
        if verb == "cancel":
            await door.tell(run_id, "cancel", {"compensate": True})
        else:
            await door.tell(run_id, "pause")
            first = (await door.get(f"{RUNS}/{run_id}/snapshots"))["data"][-1]
            await door.tell(run_id, "rollback", {"snapshot_id": first["id"], "compensate": True})
        undone = ["undo hotel", "undo flight"] if verb == "cancel" else ["undo hotel"]
        async with asyncio.timeout(20):
            while done != ["flight", "hotel", *undone]:  # noqa: ASYNC110
                await asyncio.sleep(0)  # a run of its own does it

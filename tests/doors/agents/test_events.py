"""The event log over HTTP: words for everything that happened, pages without a gap, and live."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from stepwell.core import history as h
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import problem
from stepwell.core.run import fold
from stepwell.core.state import State
from stepwell.core.status import WaitReason
from stepwell.doors.agents.audit import EventLog

from .door import NOW, RUNS, Door, Json, ask, error_of, new_app, open_door

RUN_ID = "01900000-0000-7000-8000-000000000000"
ERROR = problem("runtime", "no")
MISSED = problem("timeout", "no heartbeat for 1 s", title="Heartbeat time-out")


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


async def finished(door: Door, *steps: Json) -> str:
    run_id = await door.start(*steps)
    await door.ended(run_id)
    return run_id


async def test_log_tells_the_whole_run_without_a_gap(door: Door) -> None:
    run_id = await door.start(NOW, ask())
    await door.decide(run_id, "approve", comment="ok")
    await door.ended(run_id)
    log = (await door.get(f"{RUNS}/{run_id}/events"))["data"]
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert [(event["type"], event["step_key"]) for event in log] == [
        ("run.created", None),
        ("run.started", None),
        ("step.started", "now"),
        ("step.completed", "now"),
        ("approval.requested", "review"),
        ("approval.approved", "review"),
        ("run.completed", None),
    ]
    assert len({event["id"] for event in log}) == len(log)


async def test_log_has_pages(door: Door) -> None:
    run_id = await finished(door, NOW)
    whole = (await door.get(f"{RUNS}/{run_id}/events"))["data"]
    first = await door.get(f"{RUNS}/{run_id}/events", limit=2)
    assert first["data"] == whole[:2]
    assert {**first["meta"]["pagination"], "cursor": 0} == {"total_count": 5, "has_more": True, "cursor": 0}
    cursor = first["meta"]["pagination"]["cursor"]
    assert (await door.get(f"{RUNS}/{run_id}/events", limit=2, cursor=cursor))["data"] == whole[2:4]
    last = await door.get(f"{RUNS}/{run_id}/events", after_seq=4)
    assert (last["data"], last["meta"]["pagination"]["has_more"]) == (whole[4:], False)
    assert (await door.get(f"{RUNS}/{run_id}/events", after_seq=99))["data"] == []


@pytest.mark.parametrize("query", [{"after_seq": "-1"}, {"limit": "0"}, {"limit": "501"}, {"cursor": "?"}])
async def test_parameter_that_is_wrong_is_refused(door: Door, query: dict[str, str]) -> None:
    run_id = await door.start(NOW)
    answer = await door.send("GET", f"{RUNS}/{run_id}/events", params=query)
    assert (answer.status_code, list(error_of(answer)["details"])) == (422, list(query))


# --- live -----------------------------------------------------------------------------------------------------------


async def _messages(response: httpx.Response) -> AsyncIterator[Json]:
    """The messages of a stream: event, id and data."""
    message: Json = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name in ("event", "id", "data"):
            message[name] = json.loads(value) if name == "data" else value
        elif not line and "data" in message:
            yield message
            message = {}


def stream(door: Door, run_id: str, **headers: str) -> Any:
    headers = {"accept": "text/event-stream", **headers}
    return door.client.stream("GET", f"{RUNS}/{run_id}/events", headers=headers, timeout=20)


async def test_stream_has_every_entry_as_it_is_written_and_ends_with_the_run(door: Door) -> None:
    run_id = await door.start(NOW, ask())
    approval_id = await door.asked(run_id)
    seen: list[Json] = []
    async with stream(door, run_id) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for message in _messages(response):
            seen.append(message)
            if message["event"] == "approval.requested":
                await door.tell(run_id, f"approvals/{approval_id}/approve")
    log = (await door.get(f"{RUNS}/{run_id}/events"))["data"]
    assert [message["data"] for message in seen] == log
    assert [(message["id"], message["event"]) for message in seen] == [(str(e["seq"]), e["type"]) for e in log]


async def test_stream_goes_on_behind_the_last_event_that_was_seen(door: Door) -> None:
    run_id = await finished(door, NOW)
    async with stream(door, run_id, **{"last-event-id": "3"}) as response:
        assert [message["id"] async for message in _messages(response)] == ["4", "5"]
    answer = await door.client.get(
        f"{RUNS}/{run_id}/events", headers={"accept": "text/event-stream", "last-event-id": "x"}
    )
    assert (answer.status_code, list(error_of(answer)["details"])) == (422, ["Last-Event-ID"])


async def test_stream_of_a_retried_run_goes_on(door: Door) -> None:
    run_id = await door.start(ask())
    await door.decide(run_id, "reject")
    failed = await door.ended(run_id)
    await door.tell(run_id, "retry", status=202)
    approval_id = await door.asked(run_id)
    async with stream(door, run_id, **{"last-event-id": str(failed["events"][-1]["seq"])}) as response:
        seen = []
        async for message in _messages(response):
            seen.append(message["event"])
            if message["event"] == "approval.requested":
                await door.tell(run_id, f"approvals/{approval_id}/approve")
    assert seen == ["run.retried", "run.started", "approval.requested", "approval.approved", "run.completed"]


async def test_stream_ends_when_the_server_does(tmp_path: Path) -> None:
    async with open_door(new_app(tmp_path)) as door:
        run_id = await door.start(ask())
        await door.asked(run_id)
        entered = asyncio.Event()

        async def follow() -> list[str]:
            async with stream(door, run_id) as response:
                seen = []
                async for message in _messages(response):
                    seen.append(message["event"])
                    entered.set()
                return seen

        following = asyncio.create_task(follow())
        await entered.wait()
        door.app.engine.watchers.close()
        assert (await following)[-1] == "approval.requested"


# --- words ----------------------------------------------------------------------------------------------------------

AT = 1_700_000_000.0
SKIPPED = raw({"status": "skipped"})
RETRY = raw({"error": {"type": "x/boom", "detail": "no"}, "delay_s": 2.0})
REQUEST = h.ApprovalRequested(at=AT, key="a", approval_id="A", request=ApprovalRequest(), due_at=AT + 60)

WORDS: list[tuple[h.AnyEvent, str, str | None, Json]] = [
    (h.RunFellDue(at=AT), "run.due", None, {}),
    (h.RunPaused(at=AT, reason="lunch"), "run.paused", None, {"reason": "lunch"}),
    (h.RunResumed(at=AT), "run.resumed", None, {}),
    (h.StopRequested(at=AT), "run.stop_requested", None, {}),
    (h.RunCancelled(at=AT, reason="x"), "run.cancelled", None, {"reason": "x"}),
    (h.RunTimedOut(at=AT), "run.timed_out", None, {}),
    (h.RunFailed(at=AT, error=ERROR), "run.failed", None, {"error": {"code": "runtime", "message": "no"}}),
    (h.RunRetried(at=AT, generation=2, from_step="s"), "run.retried", None, {"attempt": 2, "from_step": "s"}),
    (h.RunRolledBack(at=AT, to_seq=3, generation=2), "run.rolled_back", None, {"to_seq": 3}),
    (h.SnapshotTaken(at=AT, label="x"), "snapshot.created", None, {"label": "x"}),
    (h.StepScheduled(at=AT, key="s"), "step.scheduled", "s", {}),
    (h.AttemptStarted(at=AT, key="s", attempt=1), "step.started", "s", {}),
    (h.AttemptFailed(at=AT, key="s", attempt=1, error=ERROR), "step.attempt_failed", "s",
     {"error": {"code": "runtime", "message": "no"}}),
    (h.AttemptFailed(at=AT, key="s", attempt=1, error=MISSED), "step.heartbeat_missed", "s",
     {"error": {"code": "heartbeat_timeout", "message": "no heartbeat for 1 s"}}),
    (h.RetryScheduled(at=AT, key="s", due_at=AT), "step.retry_scheduled", "s",
     {"due_at": "2023-11-14T22:13:20.000Z"}),
    (h.StepCompleted(at=AT, key="s"), "step.completed", "s", {}),
    (h.StepCompleted(at=AT, key="s~2"), "step.completed", "s", {}),
    (h.StepCompleted(at=AT, key="each@3/s"), "step.completed", "each@3/s", {}),
    (h.StepCompleted(at=AT, key="ask/turn@1"), "activity.completed", "ask", {}),
    (h.StepCompleted(at=AT, key="c/callback/post"), "callback.sent", "c", {}),
    (h.StepFailed(at=AT, key="s", error=ERROR), "step.failed", "s", {"error": {"code": "runtime", "message": "no"}}),
    (h.LateResultDiscarded(at=AT, key="s", attempt=1), "step.late_result_discarded", "s", {}),
    (h.TimerSet(at=AT, key="t", due_at=AT), "step.started", "t", {"due_at": "2023-11-14T22:13:20.000Z"}),
    (h.TimerFired(at=AT, key="s/timeout/after"), "timer.fired", "s", {}),
    (h.SignalAwaited(at=AT, key="c", signal="callback:1", reason=WaitReason.CALLBACK), "callback.issued", "c", {}),
    (h.SignalReceived(at=AT, id="1", signal="callback:1", data=raw({"status": "failed"})), "callback.received", None,
     {"status": "failed"}),
    (h.HeartbeatReceived(at=AT, key="c", progress=0.5), "callback.heartbeat", "c", {"progress": 0.5}),
    (h.WaitExpired(at=AT, key="c"), "callback.expired", "c", {}),
    (h.WaitExpired(at=AT, key="c", silent=True), "step.heartbeat_missed", "c", {}),
    (h.WaitExpired(at=AT, key="w"), "wait.expired", "w", {}),
    (h.SignalReceived(at=AT, id="1", signal="go"), "signal.received", None, {"signal": "go"}),
    (REQUEST, "approval.requested", "a", {"approval_id": "A", "expires_at": "2023-11-14T22:14:20.000Z"}),
    (h.ApprovalVoted(at=AT, key="a", comment="x"), "approval.voted", "a", {"comment": "x"}),
    (h.ApprovalDecided(at=AT, key="a", approved=True), "approval.approved", "a", {}),
    (h.ApprovalDecided(at=AT, key="a", approved=False), "approval.rejected", "a", {}),
    (h.ApprovalDecided(at=AT, key="a", approved=False, expired=True), "approval.expired", "a",
     {"decision": "rejected"}),
    (h.ApprovalBypassed(at=AT, key="a", rule="self_approval"), "approval.bypassed", "a", {"rule": "self_approval"}),
    (h.ApprovalEscalated(at=AT, key="a", approvers=("b",), due_at=AT), "approval.escalated", "a",
     {"approvers": ["b"], "expires_at": "2023-11-14T22:13:20.000Z"}),
    (h.ChildStarted(at=AT, key="k", child_id="C", workflow="w"), "step.started", "k", {"child_run_id": "C"}),
    (h.ChildEnded(at=AT, key="k"), "step.completed", "k", {}),
    (h.ChildEnded(at=AT, key="k", error=ERROR), "step.failed", "k", {"error": {"code": "runtime", "message": "no"}}),
    (h.ValueRecorded(at=AT, key="s/ended", value=SKIPPED), "step.skipped", "s", {}),
    (h.ValueRecorded(at=AT, key="s/retry", value=RETRY), "step.retry_scheduled", "s",
     {"delay_seconds": 2.0, "error": {"code": "boom", "message": "no"}}),
    (h.ValueRecorded(at=AT, key="s/callback/nonce"), "value.recorded", "s", {}),
    (h.RaceDecided(at=AT, key="/steps", winner="s"), "branches.joined", None, {"winner": "s"}),
    (h.EventEmitted(at=AT, key="e"), "event.emitted", "e", {}),
    (h.ItemPublished(at=AT, key="e"), "item.published", "e", {}),
]  # fmt: skip


def _waiting_for_a_callback() -> State:
    created = h.RunCreated(at=AT, run_id=RUN_ID, workflow="w", version="1", definition="d")
    awaited = h.SignalAwaited(at=AT, key="c", signal="callback:1", reason=WaitReason.CALLBACK)
    return fold([created, h.RunStarted(at=AT), awaited])


@pytest.mark.parametrize(
    ("event", "kind", "step_key", "data"), WORDS, ids=[f"{n}-{row[1]}" for n, row in enumerate(WORDS)]
)
def test_every_event_has_its_word(event: h.AnyEvent, kind: str, step_key: str | None, data: Json) -> None:
    entry = EventLog(RUN_ID, _waiting_for_a_callback(), outlined=True).entry(7, event)
    assert (entry.type, entry.step_key, entry.data) == (kind, step_key, data)


def test_steps_of_a_flow_are_named_by_their_whole_key() -> None:
    log = EventLog(RUN_ID, _waiting_for_a_callback(), outlined=False)
    entry = log.entry(7, h.StepCompleted(at=AT, key="/do/0/call~2"))
    assert (entry.type, entry.step_key) == ("step.completed", "/do/0/call~2")


def test_secrets_do_not_enter_the_log() -> None:
    reason = "token ap_0123456789abcdef_0123456789012345678901234567890123456789abc"
    entry = EventLog(RUN_ID, State(), outlined=True).entry(1, h.RunPaused(at=AT, reason=reason))
    assert entry.data == {"reason": "token ***"}


async def test_actor_has_the_address_it_came_from(tmp_path: Path) -> None:
    async with open_door(new_app(tmp_path)) as door:
        anna = await door.of("anna")
        run_id = await anna.start(ask())
        await anna.tell(run_id, "pause")
        event = (await anna.run(run_id))["events"][-1]
        assert event["actor"] == {"type": "api_key", "id": "anna", "ip": "127.0.0.1"}

# ruff: noqa: ASYNC110  # conditions of others are polled, on virtual time
"""`approval` and `callback`: what waits for somebody outside."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from stepwell.core import commands as c
from stepwell.core.errors import RefusedError, code_of
from stepwell.core.history import Actor
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.engine.views import ApprovalView
from stepwell.programs.callbacks import signal_of
from stepwell.programs.http import HttpResponse

from .plan_world import (
    RUN_ID,
    Endpoint,
    PlanWorld,
    Played,
    Scenario,
    function,
    json_response,
    play,
    step,
    template,
    variables,
)

ANN = Actor(type="user", id="ann")


async def pending(engine: Engine) -> ApprovalView:
    """The approval that is open, once there is one."""
    while True:
        found = [one for one in (await engine.view(RUN_ID)).approvals if one.status == "pending"]
        if found:
            return found[-1]
        await asyncio.sleep(0.1)


def deciding(*, approved: bool = True, by: Actor = ANN, **words: Any) -> Scenario:
    async def act(engine: Engine) -> None:
        approval = await pending(engine)
        await engine.decide_approval(RUN_ID, approval.id, approved=approved, actor=by, **words)

    return act


def approval(config: dict[str, Any], acts: Scenario | None = None, **rest: Any) -> Played:
    steps = [
        step("a", "approval", config, **rest),
        function("v", value="{{ steps.a.output }}"),
        function("z", value=1),
    ]
    return play(template(*steps, variables=variables(n="integer")), {"n": 3}, acts=acts)


# --- approvals ------------------------------------------------------------------------------------------------------


def test_the_decision_is_the_output() -> None:
    played = approval({"prompt": "Release?"}, deciding(comment="fine", data={"rows": 2}))
    assert played.step("v").output == {"decision": "approved", "comment": "fine", "data": {"rows": 2}}


def test_what_is_asked_is_filled_in() -> None:
    schema = {"type": "object"}
    config = {
        **{"prompt": "Release {{ input.n }} rows?", "title": "Rows: {{ input.n }}", "schema": schema},
        **{"context": {"rows": "{{ input.n }}"}},
    }
    asked = approval(config, deciding()).view.approvals[0]
    assert (asked.prompt, asked.title, asked.schema) == ("Release 3 rows?", "Rows: 3", schema)
    assert asked.context == {"rows": 3}
    assert asked.key == "a"


def test_a_rejection_fails_the_run() -> None:
    played = approval({}, deciding(approved=False, comment="too many"))
    assert code_of(played.result.error) == "approval_rejected"
    assert played.result.error.detail == "rejected by ann: too many"
    assert played.statuses() == {"a": "failed", "v": "pending", "z": "pending"}
    assert played.view.approvals[0].status == "rejected"


def test_approvers_are_those_named() -> None:
    async def act(engine: Engine) -> None:
        found = await pending(engine)
        with pytest.raises(RefusedError, match="ann may not decide"):
            await engine.decide_approval(RUN_ID, found.id, approved=True, actor=ANN)
        by = Actor(type="user", id="bob", roles=("finance",))
        await engine.decide_approval(RUN_ID, found.id, approved=True, actor=by)

    played = approval({"approvers": {"users": ["eve"], "roles": ["finance"]}}, act)
    assert played.view.approvals[0].approvers == ("eve", "role:finance")
    assert played.view.approvals[0].votes[0].actor.id == "bob"


def test_the_role_owner_is_the_run_s_owner() -> None:
    assert approval({"approvers": {"roles": ["owner"]}}, deciding()).result.status is Status.COMPLETED


def test_as_many_must_approve_as_are_required() -> None:
    async def act(engine: Engine) -> None:
        found = await pending(engine)
        await engine.decide_approval(
            RUN_ID, found.id, approved=True, actor=Actor(type="user", id="u1"), comment="1st"
        )
        assert (await pending(engine)).votes[0].comment == "1st"
        await engine.decide_approval(RUN_ID, found.id, approved=True, actor=Actor(type="user", id="u2"))

    played = approval({"required": 2, "approvers": {"users": ["u1", "u2"]}}, act)
    assert [vote.actor.id for vote in played.view.approvals[0].votes] == ["u1", "u2"]


def test_who_started_the_run_may_be_kept_from_approving_it() -> None:
    async def act(engine: Engine) -> None:
        found = await pending(engine)
        with pytest.raises(RefusedError, match="may not decide"):
            await engine.decide_approval(RUN_ID, found.id, approved=True)  # as the system, which started it
        await engine.decide_approval(RUN_ID, found.id, approved=True, actor=ANN)

    assert approval({"allow_self_approval": False}, act).result.status is Status.COMPLETED


@pytest.mark.parametrize(
    ("on_timeout", "code"), [("fail", "approval_timeout"), ("reject", "approval_rejected"), ("approve", None)]
)
def test_on_timeout_decides_when_nobody_does(on_timeout: str, code: str | None) -> None:
    played = approval({"timeout_seconds": 5, "on_timeout": on_timeout})
    assert (played.result.error and code_of(played.result.error)) == code
    assert played.view.approvals[0].status == "expired"
    assert played.step("a").ended_at == pytest.approx(1_750_000_005)


def test_on_timeout_goto_goes_on_elsewhere() -> None:
    played = approval({"timeout_seconds": 5, "on_timeout": "goto:z"})
    assert played.statuses() == {"a": "failed", "v": "skipped", "z": "completed"}


def test_on_timeout_escalate_asks_others() -> None:
    boss = Actor(type="user", id="boss")

    async def act(engine: Engine) -> None:
        while not (found := await pending(engine)).escalated:
            await asyncio.sleep(1)
        assert found.approvers == ("boss",)
        await engine.decide_approval(RUN_ID, found.id, approved=True, actor=boss)

    config = {"timeout_seconds": 5, "on_timeout": "escalate", "escalate_to": {"users": ["boss"]}}
    assert approval(config, act).result.status is Status.COMPLETED


def test_the_step_s_own_time_limit_is_the_approval_s() -> None:
    assert code_of(approval({}, timeout_seconds=5).result.error) == "approval_timeout"


def test_a_run_retried_after_a_rejection_asks_anew() -> None:
    async def act(engine: Engine) -> None:
        first = await pending(engine)
        await engine.decide_approval(RUN_ID, first.id, approved=False, actor=ANN)
        await engine.result(RUN_ID)
        await engine.retry(RUN_ID)
        second = await pending(engine)
        assert second.id != first.id
        await engine.decide_approval(RUN_ID, second.id, approved=True, actor=ANN)

    async def whole(engine: Engine) -> None:
        await act(engine)
        assert (await engine.result(RUN_ID)).status is Status.COMPLETED

    played = approval({}, whole)
    assert [(one.number, one.status) for one in played.step("a").attempts] == [(1, "failed"), (2, "completed")]
    assert [one.status for one in played.view.approvals] == ["rejected", "approved"]


# --- callbacks ------------------------------------------------------------------------------------------------------

Told = Callable[[str], c.OutsideCommand]


def completed(signal: str) -> c.OutsideCommand:
    return c.AnswerCallback(signal=signal, data=Raw(b'{"status":"completed","output":{"n":1}}'))


def failed(signal: str) -> c.OutsideCommand:
    return c.AnswerCallback(signal=signal, data=Raw(b'{"status":"failed","error":{"code":"E1","message":"no"}}'))


def heartbeat(signal: str) -> c.OutsideCommand:
    return c.SendHeartbeat(signal=signal, progress=0.5)


def telling(*words: Told, every: float = 1.0) -> Callable[[Engine], Awaitable[None]]:
    """Answers the callback that is waited for, one word after the other."""

    async def act(engine: Engine) -> None:
        while not (signals := [s for s, keys in (await engine.state(RUN_ID)).awaiting.items() if keys]):
            await asyncio.sleep(0.1)
        for word in words:
            await engine.tell(RUN_ID, word(signals[0]))
            await asyncio.sleep(every)

    return act


def callback(
    config: dict[str, Any], acts: Scenario | None = None, *, endpoint: Endpoint | None = None, **rest: Any
) -> Played:
    steps = [step("cb", "callback", config, **rest), function("v", value="{{ steps.cb.output }}")]
    document = template(*steps, variables=variables(n="integer"))
    return play(document, {"n": 2}, acts=acts, world=PlanWorld(endpoint=endpoint))


def test_a_callback_s_output_is_what_it_brought() -> None:
    played = callback({}, telling(completed))
    assert played.step("v").output == {"n": 1}
    assert played.step("cb").output == {"n": 1}


def test_the_token_is_posted_with_the_payload() -> None:
    endpoint = Endpoint(lambda _: json_response({"taken": True}))
    config = {"url": "https://vendor.example/start", "payload": {"n": "{{ input.n }}"}, "timeout_seconds": 60}
    played = callback(config, telling(completed), endpoint=endpoint)

    body = msgspec.json.decode(endpoint.asked[0].content or b"")
    token = body["callback"]["token"]
    assert body["payload"] == {"n": 2}
    assert (body["run_id"], body["step_key"], body["attempt"]) == (RUN_ID, "cb", 1)
    assert body["callback"]["url"] == f"https://us.example/api/v1/workflow-callbacks/{token}"
    assert body["callback"]["expires_at"] == "2025-06-15T15:07:40.000Z"
    assert signal_of(token).startswith("callback:")
    assert played.step("cb").input == {"url": "https://vendor.example/start", "payload": {"n": 2}}


def test_a_callback_that_failed_fails_its_step() -> None:
    error = callback({}, telling(failed)).result.error
    assert (code_of(error), error.detail) == ("callback_failed", "E1: no")


def test_a_callback_that_never_comes_is_tried_again_with_another_token() -> None:
    tokens: list[str] = []

    async def watch(engine: Engine) -> None:
        while not (state := await engine.state(RUN_ID)).terminal:
            tokens.extend(signal for signal in state.awaiting if signal not in tokens)
            await asyncio.sleep(1)

    played = callback({"timeout_seconds": 10}, watch, retry={"max_attempts": 3, "jitter": 0})
    assert code_of(played.result.error) == "callback_timeout"
    starts = [one.started_at - played.view.row.created_at for one in played.step("cb").attempts]
    assert starts == pytest.approx([0, 11, 23])
    assert {one.status for one in played.step("cb").attempts} == {"failed"}
    assert len(tokens) == 3


def test_heartbeats_keep_a_callback_alive() -> None:
    kept = callback({"timeout_seconds": 60}, telling(heartbeat, heartbeat, completed), heartbeat_timeout_seconds=3)
    assert kept.result.status is Status.COMPLETED
    assert kept.step("cb").last_heartbeat_at == pytest.approx(1_750_000_001, abs=0.5)
    silent = callback({"timeout_seconds": 60}, telling(heartbeat), heartbeat_timeout_seconds=3)
    assert code_of(silent.result.error) == "heartbeat_timeout"


def test_a_request_that_is_refused_fails_the_callback() -> None:
    endpoint = Endpoint(lambda _: HttpResponse(status=400))
    played = callback({"url": "https://vendor.example/start"}, endpoint=endpoint)
    assert played.result.error.status == 400
    assert played.step("cb").status == "failed"


def test_a_request_that_may_pass_is_sent_again() -> None:
    endpoint = Endpoint(lambda _: HttpResponse(status=503) if len(endpoint.asked) < 3 else json_response({}))
    config = {"url": "https://vendor.example/start", "timeout_seconds": 100}
    played = callback(config, telling(completed), endpoint=endpoint, retry={"max_attempts": 3, "jitter": 0})
    assert played.result.status is Status.COMPLETED
    assert len(endpoint.asked) == 3


def test_a_run_retried_after_a_callback_failed_asks_anew() -> None:
    async def act(engine: Engine) -> None:
        await telling(failed)(engine)
        await engine.result(RUN_ID)
        await engine.retry(RUN_ID)
        await telling(completed)(engine)

    played = callback({}, act)
    assert [(one.number, one.status) for one in played.step("cb").attempts] == [(1, "failed"), (2, "completed")]
    assert played.view.row.status is Status.COMPLETED

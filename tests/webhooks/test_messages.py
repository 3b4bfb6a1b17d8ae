"""What webhooks say of runs: one message for each thing that happens, thin, with ids that stay the same."""

import asyncio
from typing import Any

import pytest

from engine.harness import Lab, Life
from engine.scenes import ANNA, asking, failing, simple, slow, waiting
from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import Problem, ProgramError
from stepwell.core.program import Program, RunContext
from stepwell.core.retry import RetryPolicy
from stepwell.core.status import Status

from .worlds import Receiver, delivered, play, subscribe

RUN, STEP, APPROVAL = "workflow.run.", "workflow.step.", "workflow.approval."


async def ended(life: Life, workflow: str, **options: Any) -> str:
    started = await life.engine.start(workflow, **options)
    await life.engine.result(started.run_id)
    await delivered(life.engine)
    return started.run_id


def test_a_run_that_completes_tells_of_its_steps_and_its_end_in_order() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine)
        run_id = await ended(life, "simple", labels={"workflow_name": "Order"})
        in_order = sorted(receiver.got, key=lambda one: int(one.data["seq"]))
        assert [one.type for one in in_order] == [
            f"{RUN}started", f"{STEP}started", f"{STEP}completed", f"{RUN}completed"
        ]  # fmt: skip
        assert in_order[-1].data == {
            "run_id": run_id,
            "workflow": {"id": "simple", "name": "Order", "version": "1"},
            "seq": 6,
            "link": f"https://engine.example.com/api/v1/workflows/{run_id}",
        }
        assert in_order[1].data["step_key"] == "/do"
        assert in_order[1].data["attempt"] == 1

    play({"simple": simple}, scenario)


def test_messages_hold_no_input_and_no_output() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine)
        await ended(life, "simple", input={"card": "4111-1111"})
        assert len(receiver.got) == 4
        assert not any(b"4111" in one.content for one in receiver.got)

    play({"simple": simple}, scenario)


def test_a_failed_run_and_its_retry_are_told() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine)
        run_id = await ended(life, "failing")
        assert receiver.types()[-1] == f"{RUN}failed"
        failed = next(one for one in receiver.got if one.type == f"{RUN}failed")
        assert failed.data["error"]["type"] == "flaky"
        await life.engine.retry(run_id)
        await life.engine.result(run_id)
        await delivered(life.engine)
        types = receiver.types()
        assert types.count(f"{RUN}started") == 1
        assert types.count(f"{RUN}retried") == types.count(f"{RUN}completed") == 1
        assert types.count(f"{STEP}failed") == 1

    play({"failing": failing}, scenario)


def retrying(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        policy = RetryPolicy(max_attempts=3, initial_s=10.0, jitter=0.0)
        return await ctx.step("/flaky", lab.does(1, fails=1), name="Flaky", retry=policy)

    return program


def test_an_attempt_that_failed_is_told_with_the_instant_of_the_next() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.step.retrying", "workflow.step.started")
        await ended(life, "retrying")
        (told,) = (one for one in receiver.got if one.type == f"{STEP}retrying")
        assert (told.data["step_key"], told.data["step_name"], told.data["attempt"]) == ("/flaky", "Flaky", 1)
        assert told.data["next_retry_at"] == "2025-06-15T15:06:50.000Z"
        assert [one.data["attempt"] for one in receiver.got if one.type == f"{STEP}started"] == [1, 2]

    play({"retrying": retrying}, scenario)


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_is_told_when_it_is_asked_and_when_it_is_decided(approved: bool) -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine)
        run_id = (await life.engine.start("asking")).run_id
        await until_types(receiver, f"{RUN}waiting_approval")
        (requested,) = (one for one in receiver.got if one.type == f"{APPROVAL}requested")
        (waits,) = (one for one in receiver.got if one.type == f"{RUN}waiting_approval")
        approval_id = requested.data["approval_id"]
        assert waits.data["approval_ids"] == [approval_id]
        await life.engine.decide_approval(run_id, approval_id, approved=approved, actor=ANNA)
        await life.engine.result(run_id)
        await delivered(life.engine)
        decided = "approved" if approved else "rejected"
        step = "completed" if approved else "failed"
        types = receiver.types()
        assert types.count(f"{APPROVAL}{decided}") == types.count(f"{STEP}{step}") == 1
        assert sum(kind.startswith(APPROVAL) for kind in types) == 2
        assert sum(kind.startswith(STEP) for kind in types) == 2

    play({"asking": asking(ApprovalRequest(approvers=("anna",)))}, scenario)


def test_an_approval_that_nobody_decides_is_told_as_expired() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.approval.*")
        await ended(life, "asking")
        assert receiver.types() == [f"{APPROVAL}requested", f"{APPROVAL}expired"]

    play({"asking": asking(ApprovalRequest(timeout_s=60.0))}, scenario)


def test_a_run_that_waits_for_a_signal_tells_of_the_wait_as_a_step() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.step.*", "workflow.run.waiting_approval")
        run_id = (await life.engine.start("waiting")).run_id
        await until_types(receiver, f"{STEP}started", times=2)
        await life.engine.signal(run_id, "go", 1)
        await life.engine.result(run_id)
        await delivered(life.engine)
        ends = [one.data["step_key"] for one in receiver.got if one.type == f"{STEP}completed"]
        assert sorted(ends) == ["/after", "/before", "/wait"]
        assert f"{RUN}waiting_approval" not in receiver.types()

    play({"waiting": waiting}, scenario)


def test_pause_resume_and_cancel_are_told() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.run.*")
        run_id = (await life.engine.start("slow")).run_id
        await life.engine.pause(run_id, reason="lunch")
        await life.engine.resume(run_id)
        await life.engine.cancel(run_id, reason="enough")
        await delivered(life.engine)
        assert set(receiver.types()) == {f"{RUN}{what}" for what in ("started", "paused", "resumed", "cancelled")}
        assert not any(b"lunch" in one.content or b"enough" in one.content for one in receiver.got)

    play({"slow": slow}, scenario)


def test_a_run_that_is_rolled_back_is_told_as_paused() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.run.paused")
        run_id = await ended(life, "failing")
        await life.engine.roll_back(run_id, 4)
        await delivered(life.engine)
        assert receiver.types() == [f"{RUN}paused"]

    play({"failing": failing}, scenario)


def parent(lab: Lab) -> Program:  # noqa: ARG001
    async def program(ctx: RunContext, input: Any) -> Any:
        try:
            return await ctx.child("/child", "failing", input)
        except ProgramError as fault:
            raise ProgramError(Problem(type="mine", detail=str(fault))) from fault

    return program


def test_a_child_run_names_its_parent() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine, "workflow.run.failed", "workflow.step.failed")
        run_id = await ended(life, "parent")
        child, own = sorted((one for one in receiver.got if one.type == f"{RUN}failed"), key=lambda one: one.at)
        assert child.data["parent_id"] == run_id == own.data["run_id"]
        assert "parent_id" not in own.data
        steps = {one.data["step_key"] for one in receiver.got if one.type == f"{STEP}failed"}
        assert steps == {"/bad", "/child"}

    play({"parent": parent, "failing": failing}, scenario)


def test_steps_of_a_run_that_is_cancelled_are_not_told_as_ended() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        await subscribe(life.engine)
        run_id = (await life.engine.start("slow")).run_id
        await until_types(receiver, f"{STEP}started")
        await life.engine.cancel(run_id)
        await delivered(life.engine)
        assert (await life.engine.get(run_id)).status is Status.CANCELLED
        assert not [kind for kind in receiver.types() if kind in (f"{STEP}completed", f"{STEP}failed")]

    play({"slow": slow}, scenario)


def test_a_run_is_called_back_at_its_end_only() -> None:
    async def scenario(life: Life, receiver: Receiver) -> None:
        run_id = await ended(life, "simple", callback_url="https://other.example.com/")
        await ended(life, "simple")
        told = [(one.url, one.type, one.data["run_id"]) for one in receiver.got]
        assert told == [("https://other.example.com/", f"{RUN}completed", run_id)]

    play({"simple": simple}, scenario)


async def until_types(receiver: Receiver, kind: str, times: int = 1) -> None:
    while receiver.types().count(kind) < times:  # noqa: ASYNC110  # what a receiver can see
        await asyncio.sleep(0.01)

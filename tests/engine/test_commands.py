"""Pause, resume, stop and cancel, in whatever a run is doing; signals and approvals from several sides at once."""

import asyncio
from typing import Any

import pytest

from stepwell.core.approvals import ApprovalRequest
from stepwell.core.errors import RefusedError
from stepwell.core.history import Actor
from stepwell.core.status import Status
from stepwell.engine import EngineOptions
from stepwell.store.model import ApprovalQuery

from .harness import Life
from .scenes import ANNA, BERT, asking, names, play, refusal, simple, sleeping, slow, until, waiting

PROGRAMS = {"simple": simple, "waiting": waiting, "sleeping": sleeping, "slow": slow}
PATIENT = EngineOptions(idle_s=1e6)
HASTY = EngineOptions(idle_s=0.01)
BOTH = pytest.mark.parametrize("options", [PATIENT, HASTY], ids=["driven", "parked"])


# --- pause and resume -----------------------------------------------------------------------------------------------


@BOTH
def test_paused_run_finishes_its_step_and_begins_no_other(options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("slow")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        assert await life.engine.pause(run_id, reason="lunch")
        assert not await life.engine.pause(run_id)
        await asyncio.sleep(60)
        state = await life.engine.state(run_id)
        assert (state.status, list(state.steps)) == (Status.PAUSED, ["/0"])
        assert await life.engine.resume(run_id)
        assert not await life.engine.resume(run_id)
        assert (await life.engine.result(run_id)).output == [0, 1]

    play(PROGRAMS, scenario, quiet=True, options=options)


@BOTH
def test_sleep_that_ends_during_a_pause_ends_with_the_resume(options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("sleeping")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(1)
        await life.engine.pause(run_id)
        await asyncio.sleep(300)
        assert (await life.engine.state(run_id)).find("/after") is None
        await life.engine.resume(run_id)
        await life.engine.result(run_id, timeout_s=3)

    play(PROGRAMS, scenario, quiet=True, options=options)


@BOTH
def test_approval_expires_also_while_its_run_is_paused(options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("asking")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(1)
        await life.engine.pause(run_id)
        await asyncio.sleep(120)
        (row,) = await life.engine.approvals(ApprovalQuery(status=None))
        assert row.status == "expired"
        assert (await life.engine.get(run_id)).status is Status.PAUSED
        await life.engine.resume(run_id)
        assert (await life.engine.result(run_id)).output == ["approved", "engine", True]

    request = ApprovalRequest(timeout_s=60, on_timeout="approve")
    play({"asking": asking(request)}, scenario, quiet=True, options=options)


def test_pause_and_resume_at_once_leave_the_run_going() -> None:
    async def scenario(life: Life) -> None:
        for _ in range(20):
            start = asyncio.ensure_future(life.engine.start("simple", 1, run_id=None, start_key=None))
            run_id = (await start).run_id
            await asyncio.gather(life.engine.pause(run_id), life.engine.resume(run_id), return_exceptions=True)
            assert (await life.engine.result(run_id, timeout_s=5)).status is Status.COMPLETED

    play(PROGRAMS, scenario, quiet=True, options=PATIENT)


def test_pause_before_the_start_and_resume_in_one_commit_leave_the_run_going() -> None:
    async def scenario(life: Life) -> None:
        async def pause_soon() -> None:
            while not life.engine.drivers.desk.holds(RUN):  # noqa: ASYNC110  # a turn of the loop each
                await asyncio.sleep(0)
            await asyncio.gather(life.engine.pause(RUN), life.engine.resume(RUN), return_exceptions=True)

        RUN = "01900000-0000-7000-8000-00000000000a"
        await asyncio.gather(life.engine.start("simple", 1, run_id=RUN), pause_soon())
        assert (await life.engine.result(RUN, timeout_s=5)).status is Status.COMPLETED

    play(PROGRAMS, scenario, quiet=True, options=PATIENT)


# --- stop and cancel ------------------------------------------------------------------------------------------------


@BOTH
def test_stop_lets_the_step_finish_and_ends_the_run(options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("slow")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        assert await life.engine.stop(run_id, reason="enough")
        result = await life.engine.result(run_id)
        assert result.status is Status.CANCELLED
        assert str(result.error) == "enough"
        state = await life.engine.state(run_id)
        assert [str(step.status) for step in state.steps.values()] == ["completed"]

    play(PROGRAMS, scenario, quiet=True, options=options)


@BOTH
@pytest.mark.parametrize("command", ["stop", "cancel"])
@pytest.mark.parametrize("workflow", ["waiting", "sleeping"])
def test_waiting_run_ends_at_once(workflow: str, command: str, options: EngineOptions) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start(workflow)).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(1)
        assert await getattr(life.engine, command)(run_id)
        assert (await life.engine.result(run_id, timeout_s=1)).status is Status.CANCELLED
        assert not await getattr(life.engine, command)(run_id)

    play(PROGRAMS, scenario, quiet=True, options=options)


def test_cancel_cuts_the_step_off() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("slow")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await life.engine.cancel(run_id)
        ended = (await life.engine.result(run_id, timeout_s=1)).status
        assert ended is Status.CANCELLED
        await asyncio.sleep(60)
        assert names(await life.engine.history(run_id))[-1] == "RunCancelled"

    play(PROGRAMS, scenario, quiet=True)


def test_cancel_by_another_process_ends_the_run_and_frees_its_driver() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("slow")).run_id
        await until(life.engine, run_id, lambda state: bool(state.active))
        await life.beside.cancel(run_id)
        assert (await life.engine.result(run_id, timeout_s=0.5)).status is Status.CANCELLED
        await asyncio.sleep(1)
        assert run_id not in life.engine.drivers.active
        await life.beside.retry(run_id)
        assert (await life.engine.result(run_id)).output == [0, 1]

    play(PROGRAMS, scenario, quiet=True, two=True, options=PATIENT)


ENDED: list[tuple[str, str]] = [
    ("pause", "wrong_status"), ("resume", "wrong_status"), ("cancel", "wrong_status"), ("retry", "wrong_status"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "code"), ENDED)
def test_command_to_a_completed_run_is_refused(command: str, code: str) -> None:
    async def scenario(life: Life) -> RefusedError:
        result = await life.engine.run("simple")
        return await refusal(getattr(life.engine, command)(result.run_id))

    refused = play(PROGRAMS, scenario, quiet=True)
    assert (refused.code, refused.status) == (code, "completed")
    assert "completed" not in refused.allowed_from


# --- signals --------------------------------------------------------------------------------------------------------


@BOTH
def test_signal_wakes_the_run(options: EngineOptions) -> None:
    async def scenario(life: Life) -> Any:
        run_id = (await life.engine.start("waiting")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(1)
        await life.engine.signal(run_id, "other", 1)
        await life.engine.signal(run_id, "go", {"n": 7})
        return (await life.engine.result(run_id)).output

    assert play(PROGRAMS, scenario, quiet=True, options=options) == {"n": 7}


def test_signal_of_another_process_is_seen_within_200_ms() -> None:
    async def scenario(life: Life) -> float:
        run_id = (await life.engine.start("waiting")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(10)
        sent_at = life.engine.clock.now()
        await life.beside.signal(run_id, "go")
        await life.engine.result(run_id)
        return life.engine.clock.now() - sent_at

    assert play(PROGRAMS, scenario, quiet=True, two=True) <= 0.2


def test_signal_of_another_process_is_not_overlooked_while_the_disk_fails() -> None:
    async def scenario(life: Life) -> None:
        runs = [(await life.engine.start("waiting")).run_id for _ in range(3)]
        await asyncio.sleep(10)
        life.store.blind = True
        for run_id in runs:
            await life.beside.signal(run_id, "go")
        await asyncio.sleep(3)
        life.store.blind = False
        for run_id in runs:
            assert (await life.engine.result(run_id, timeout_s=10)).status is Status.COMPLETED

    play(PROGRAMS, scenario, quiet=True, two=True)


def test_signal_sent_twice_with_one_id_is_one() -> None:
    async def scenario(life: Life) -> list[str]:
        run_id = (await life.engine.start("waiting")).run_id
        for _ in range(3):
            await life.engine.signal(run_id, "go", id="7")
        await life.engine.result(run_id)
        return names(await life.engine.history(run_id))

    assert play(PROGRAMS, scenario, quiet=True).count("SignalReceived") == 1


# --- approvals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", range(50))
def test_exactly_one_of_racing_decisions_wins(trial: int) -> None:
    """Approve, reject and cancel, from two processes at once."""

    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("asking")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        (row,) = await life.engine.approvals()
        sides = [(life.engine, True, ANNA), (life.beside, False, BERT), (life.engine, False, Actor(id="carl"))]
        deciding = [
            engine.decide_approval(run_id, row.approval_id, approved=approved, actor=actor)
            for engine, approved, actor in (sides if trial % 2 else reversed(sides))
        ]
        cancelling = [life.beside.cancel(run_id)] if trial % 3 == 0 else []
        answers = await asyncio.gather(*deciding, *cancelling, return_exceptions=True)
        won = [answer for answer in answers if not isinstance(answer, BaseException)]
        decided = len([answer for answer in answers[:3] if answer is True])
        assert decided <= 1
        assert len(won) >= 1
        for answer in answers:
            assert not isinstance(answer, BaseException) or isinstance(answer, RefusedError)
        result = await life.engine.result(run_id)
        assert (result.status is Status.COMPLETED) <= (decided == 1)

    play({"asking": asking(ApprovalRequest())}, scenario, quiet=True, two=True)


def test_second_decision_is_told_what_stands() -> None:
    async def scenario(life: Life) -> RefusedError:
        run_id = (await life.engine.start("asking")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        (row,) = await life.engine.approvals()
        await life.engine.decide_approval(run_id, row.approval_id, approved=False, actor=ANNA)
        refused = await refusal(life.engine.decide_approval(run_id, row.approval_id, approved=True, actor=BERT))
        assert (await life.engine.result(run_id)).output == ["rejected", "anna", False]
        return refused

    refused = play({"asking": asking(ApprovalRequest())}, scenario, quiet=True)
    assert (refused.code, refused.standing.decision) == ("approval_already_decided", "rejected")


def test_hanging_up_on_a_command_harms_nobody_else() -> None:
    """Many wait for one commit; a client that goes away must not take the run or another client along."""

    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("waiting")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        sending = [asyncio.ensure_future(life.engine.signal(run_id, "go", n, id=str(n))) for n in range(10)]
        await asyncio.sleep(0)
        sending[3].cancel()
        answers = await asyncio.gather(*sending, return_exceptions=True)
        assert [answer for n, answer in enumerate(answers) if n != 3] == [None] * 9
        assert (await life.engine.result(run_id)).status is Status.COMPLETED

    play(PROGRAMS, scenario, quiet=True, options=PATIENT)

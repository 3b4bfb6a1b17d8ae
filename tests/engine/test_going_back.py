"""Retry, roll-back and fork: what is done again, and what is not."""

import asyncio
from typing import Any

import pytest

from stepwell.core import history as h
from stepwell.core.errors import ProgramError
from stepwell.core.program import Program, RunContext
from stepwell.core.status import Status
from stepwell.engine import EngineOptions
from stepwell.engine.forking import fork
from stepwell.store.model import OutboxItem

from .harness import Lab, Life, World
from .scenes import failing, names, play, refusal, simple, until, waiting

PATIENT = EngineOptions(idle_s=1e6)
HASTY = EngineOptions(idle_s=0.01)
BOTH = pytest.mark.parametrize("options", [PATIENT, HASTY], ids=["driven", "parked"])


def test_retry_goes_on_from_the_failed_step() -> None:
    with World({"failing": failing}) as world:

        async def scenario(life: Life) -> None:
            result = await life.engine.run("failing")
            assert (result.status, result.error.type if result.error else "") == (Status.FAILED, "flaky")
            assert await life.engine.retry(result.run_id)
            again = await life.engine.result(result.run_id)
            assert again.output == ["good", "mended"]
            assert [world.lab.times(result.run_id, key) for key in ("/good", "/bad")] == [1, 2]
            (row,) = await life.engine.list_runs()
            assert (row.generation, row.error_type) == (2, None)

        world.live(scenario)
        world.check()


def test_retry_before_the_failure_is_on_disk_is_not_lost() -> None:
    """The end and the retry meet in memory: the driver must not wait for an end that was taken back."""

    async def scenario(life: Life) -> None:
        for _ in range(10):
            run_id = (await life.engine.start("failing")).run_id
            while (await _now(life, run_id)) is not Status.FAILED:  # noqa: ASYNC110  # a turn of the loop each
                await asyncio.sleep(0)
            await life.engine.retry(run_id)
            assert (await life.engine.result(run_id, timeout_s=5)).status is Status.COMPLETED

    async def _now(life: Life, run_id: str) -> Status:
        journal = life.engine.drivers.desk.at_hand(run_id)
        return journal.state.status if journal is not None else (await life.engine.state(run_id)).status

    play({"failing": failing}, scenario, quiet=True, options=PATIENT)


def test_roll_back_of_a_paused_run_with_a_step_under_way_shows_in_its_row() -> None:
    """Its status stays what it was, and no timer or wait of it changes."""

    def slow(lab: Lab) -> Program:
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001  # a program takes one
            return await ctx.step("/slow", lab.does("done", takes_s=1.0))

        return program

    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("slow")).run_id
        while not (await life.engine.state(run_id)).active:  # noqa: ASYNC110  # a turn of the loop each
            await asyncio.sleep(0)
        assert await life.engine.pause(run_id)
        assert await life.engine.roll_back(run_id, 2)
        (row,) = await life.engine.list_runs()
        assert (row.status, row.generation) == (Status.PAUSED, 2)
        assert await life.engine.resume(run_id)
        assert (await life.engine.result(run_id)).output == "done"

    play({"slow": slow}, scenario, options=PATIENT)


def _race(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        async def good(ctx: RunContext) -> Any:
            first = await ctx.step("/all/good/0", lab.does("first"))
            return [first, await ctx.step("/all/good/1", lab.does("second", takes_s=1.0))]

        async def bad(ctx: RunContext) -> Any:
            await ctx.sleep_until("/all/bad/wait", ctx.now + 0.5)
            return await ctx.step("/all/bad/0", lab.does("mended", fails=1))

        return await ctx.race("/all", {"good": good, "bad": bad}, until="all")

    return program


def test_retry_within_a_fork_of_one_branch_repeats_what_failed_only() -> None:
    def alone(lab: Lab) -> Program:
        async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
            async def only(ctx: RunContext) -> Any:
                first = await ctx.step("/all/only/0", lab.does("first"))
                return [first, await ctx.step("/all/only/1", lab.does("mended", fails=1))]

            return await ctx.race("/all", {"only": only}, until="all")

        return program

    with World({"alone": alone}) as world:

        async def scenario(life: Life) -> None:
            failed = await life.engine.run("alone")
            assert failed.status is Status.FAILED
            await life.engine.retry(failed.run_id)
            assert (await life.engine.result(failed.run_id)).output == [["first", "mended"]]
            assert [world.lab.times(failed.run_id, f"/all/only/{n}") for n in (0, 1)] == [1, 2]

        world.live(scenario)
        world.check()


def test_retry_within_a_fork_repeats_what_failed_and_what_was_cancelled_only() -> None:
    with World({"race": _race}) as world:

        async def scenario(life: Life) -> None:
            failed = await life.engine.run("race")
            assert failed.status is Status.FAILED
            await life.engine.retry(failed.run_id)
            assert (await life.engine.result(failed.run_id)).output == [["first", "second"], "mended"]
            times = {key: world.lab.times(failed.run_id, f"/all/{key}") for key in ("good/0", "good/1", "bad/0")}
            assert times == {"good/0": 1, "good/1": 2, "bad/0": 2}

        world.live(scenario)
        world.check()


@BOTH
def test_roll_back_to_a_snapshot_does_the_rest_again(options: EngineOptions) -> None:
    with World({"waiting": waiting}, options=options) as world:

        async def scenario(life: Life) -> None:
            engine = life.engine
            run_id = (await engine.start("waiting")).run_id
            await until(engine, run_id, lambda state: bool(state.waits))
            await engine.snapshot(run_id, "before go")
            await engine.pause(run_id)
            points = await engine.snapshots(run_id)
            assert [(point.reason, point.label) for point in points] == [
                ("step_completed", ""),
                ("manual", "before go"),
            ]
            assert await engine.roll_back(run_id, 1)
            assert (await engine.get(run_id)).status is Status.PAUSED
            await engine.resume(run_id)
            await engine.signal(run_id, "go", 5)
            assert (await engine.result(run_id, timeout_s=60)).output == 5
            assert [world.lab.times(run_id, key) for key in ("/before", "/after")] == [2, 1]

        world.live(scenario)
        world.check()


def test_roll_back_of_a_failed_run_gives_signals_back() -> None:
    async def scenario(life: Life) -> Any:
        engine = life.engine
        run_id = (await engine.start("waiting")).run_id
        await engine.signal(run_id, "go", "kept")
        await until(engine, run_id, lambda state: state.find("/wait") is not None)
        await engine.cancel(run_id) if not (await engine.state(run_id)).terminal else None
        if (await engine.state(run_id)).phase is Status.CANCELLED:
            await engine.roll_back(run_id, 2)
            await engine.resume(run_id)
        return (await engine.result(run_id, timeout_s=60)).output

    assert play({"waiting": waiting}, scenario, quiet=True) == "kept"


def test_roll_back_of_a_running_or_completed_run_is_refused() -> None:
    async def scenario(life: Life) -> list[str]:
        done = await life.engine.run("simple")
        open_run = (await life.engine.start("waiting")).run_id
        await until(life.engine, open_run, lambda state: bool(state.waits))
        return [(await refusal(life.engine.roll_back(run_id, 1))).code for run_id in (done.run_id, open_run)]

    assert play({"simple": simple, "waiting": waiting}, scenario) == ["wrong_status", "wrong_status"]


# --- fork -----------------------------------------------------------------------------------------------------------


def test_fork_with_another_input_starts_from_it() -> None:
    async def scenario(life: Life) -> Any:
        first = await life.engine.run("simple", 1, labels={"a": "b"}, owner="anna")
        forked = await life.engine.fork(first.run_id, input=2)
        result = await life.engine.result(forked.run_id)
        (row, _) = await life.engine.list_runs()
        assert (row.run_id, row.owner, row.labels) == (forked.run_id, "anna", {"a": "b"})
        assert (await life.engine.state(forked.run_id)).forked_from == first.run_id
        return result.output

    assert play({"simple": simple}, scenario, quiet=True) == 2


def test_fork_from_a_point_keeps_what_was_done_until_then() -> None:
    with World({"failing": failing}) as world:

        async def scenario(life: Life) -> None:
            failed = await life.engine.run("failing")
            done = (await life.engine.snapshots(failed.run_id))[0].seq
            forked = await life.engine.fork(failed.run_id, at_seq=done)
            assert (await life.engine.result(forked.run_id)).error is not None  # it fails once under its own id
            assert [world.lab.times(forked.run_id, key) for key in ("/good", "/bad")] == [0, 1]
            refused = await refusal(life.engine.fork(failed.run_id, at_seq=99))
            assert refused.code == "no_such_snapshot"

        world.live(scenario)
        world.check()


def test_fork_of_a_run_that_was_rolled_back_has_the_signal_once() -> None:
    """What was forgotten is not copied, or the wait would find its signal taken."""

    async def scenario(life: Life) -> None:
        engine = life.engine
        run_id = (await engine.start("waiting")).run_id
        await engine.signal(run_id, "go", "kept")
        await until(engine, run_id, lambda state: (step := state.find("/wait")) is not None and step.closed)
        await engine.result(run_id)
        forked = await engine.fork(run_id, at_seq=len(await engine.history(run_id)))
        assert (await engine.result(forked.run_id, timeout_s=60)).output == "kept"

    play({"waiting": waiting}, scenario, quiet=True)


def _twice(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        got = await ctx.wait("/wait", "go")
        await ctx.step("/bad", lab.does(1, fails=1))
        return got.data if got else None

    return program


def test_fork_of_a_run_that_waited_twice_under_one_key() -> None:
    async def scenario(life: Life) -> None:
        engine = life.engine
        run_id = (await engine.start("twice")).run_id
        await engine.signal(run_id, "go", "kept")
        await engine.result(run_id)
        await engine.roll_back(run_id, 2)
        await engine.resume(run_id)
        assert (await engine.result(run_id, timeout_s=60)).output == "kept"
        forked = await engine.fork(run_id, at_seq=len(await engine.history(run_id)))
        assert (await engine.result(forked.run_id, timeout_s=60)).output == "kept"

    play({"twice": _twice}, scenario, quiet=True)


def _parent(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        try:
            return await ctx.child("/child", "simple", 5)
        except ProgramError as fault:
            return await ctx.step("/caught", lab.does(fault.problem.type))

    return program


def test_fork_of_a_cancelled_parent_starts_its_own_child() -> None:
    async def scenario(life: Life) -> Any:
        engine = life.engine
        run_id = (await engine.start("parent")).run_id
        await until(engine, run_id, lambda state: bool(state.waits))
        await engine.cancel(run_id)
        forked = await engine.fork(run_id, at_seq=len(await engine.history(run_id)))
        return (await engine.result(forked.run_id, timeout_s=60)).output

    assert play({"parent": _parent, "simple": simple}, scenario) == 5


def _telling(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        await ctx.emit("/emit", {"id": str(ctx.uuid("/emit")), "source": "s", "type": "t"})
        return await ctx.step("/after", lab.does(1))

    return program


def test_fork_sends_no_event_that_the_old_run_has_sent() -> None:
    async def scenario(life: Life) -> list[OutboxItem]:
        engine = life.engine
        run_id = (await engine.start("telling")).run_id
        await engine.result(run_id)
        await asyncio.sleep(5)
        forked = await engine.fork(run_id, at_seq=len(await engine.history(run_id)))
        sent = await engine.store.take_outbox(1e12, 10)
        assert (await engine.result(forked.run_id)).output == 1
        return sent

    assert play({"telling": _telling}, scenario, quiet=True) == []


class CountedId(str):
    """An id that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedId.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_work_of_a_fork_grows_no_faster_than_its_history() -> None:
    def comparisons(signals: int) -> int:
        created = h.RunCreated(at=0.0, run_id="r", workflow="w", version="1", definition="d")
        events: list[h.AnyEvent] = [created, h.RunStarted(at=0.0)]
        for n in range(signals):
            id = str(n) if n < signals // 2 else CountedId(n)  # the first half is taken, and put on record
            events.append(h.SignalReceived(at=float(n), id=id, signal="go"))
            if n % 2:
                events.append(h.SignalAwaited(at=float(n), key=f"/wait@{n}", signal="go"))
        CountedId.comparisons = 0
        copied = fork(events, len(events), new_id="n", now=1.0, actor=h.SYSTEM, input=None)
        assert len(copied) == 2 + 2 * (signals // 2)  # half of the signals were taken, each by a wait
        return CountedId.comparisons

    assert comparisons(4_000) <= 4 * comparisons(1_000) + 100


def test_history_keeps_what_was_forgotten() -> None:
    async def scenario(life: Life) -> list[str]:
        failed = await life.engine.run("failing")
        await life.engine.retry(failed.run_id)
        await life.engine.result(failed.run_id)
        return names(await life.engine.history(failed.run_id))

    kept = play({"failing": failing}, scenario, quiet=True)
    assert kept.index("StepFailed") < kept.index("RunFailed") < kept.index("RunRetried") < kept.index("RunCompleted")

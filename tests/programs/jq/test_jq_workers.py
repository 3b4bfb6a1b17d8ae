"""The worker processes: what they hold, how they end, what follows when they do not answer."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import pytest
import pytest_asyncio

from stepwell.programs.jq import JqClosedError, JqError, JqUnavailableError, JqWorkers, Limits, source
from stepwell.programs.jq import process as processes
from stepwell.programs.jq.pool import BATCH, Pool

PATIENCE_S = 20.0


@pytest_asyncio.fixture
async def jq() -> AsyncIterator[JqWorkers]:
    async with JqWorkers() as workers:
        yield workers


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail when it does not come."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children() -> set[int]:
    """Our child processes, zombies too."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def started(jq: JqWorkers, count: int = 3) -> list[int]:
    """The workers, once all of them run."""
    await until(lambda: len(jq.pids()) == count)
    return jq.pids()


async def all_of(results: Iterable[Awaitable[object]]) -> list[object]:
    return list(await asyncio.wait_for(asyncio.gather(*results), PATIENCE_S))


async def test_nothing_runs_before_the_first_evaluation() -> None:
    before = children()
    jq = JqWorkers()
    assert (jq.pids(), children()) == ([], before)
    assert await jq.evaluate("1 + 1", None) == 2
    assert len(jq.pids()) >= 1
    await jq.close()


async def test_close_leaves_no_process_and_no_descriptor() -> None:
    await asyncio.to_thread(int)  # the loop's own threads and descriptors
    before = children(), open_files()
    jq = JqWorkers()
    assert jq.check(". + 1", []) is None
    assert await all_of(jq.evaluate(". + 1", number) for number in range(100)) == list(range(1, 101))
    with pytest.raises(JqError):
        await jq.evaluate('"x" * 1e9', None)
    await jq.close()
    assert (children(), open_files()) == before


async def test_close_during_the_start_leaves_nothing_either() -> None:
    before = children(), open_files()
    for turns in range(6):
        jq = JqWorkers()
        asking = asyncio.create_task(jq.evaluate("1", None))
        for _ in range(turns):
            await asyncio.sleep(0)
        await jq.close()
        with pytest.raises((asyncio.CancelledError, JqClosedError)):
            await asking
    await until(lambda: (children(), open_files()) == before)


async def test_closed_workers_cancel_and_refuse_and_can_be_opened_again() -> None:
    jq = JqWorkers()
    asking = asyncio.create_task(jq.evaluate("def f: f; f", None))
    await started(jq)
    await jq.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(JqClosedError):
        await jq.evaluate("1", None)
    await jq.open()
    assert await jq.evaluate("1", None) == 1
    await jq.close()


async def test_a_killed_worker_is_replaced_and_its_request_answered() -> None:
    # However busy the machine is, nothing is slow here: a worker for slow expressions would be a fourth one.
    async with JqWorkers(Limits(time_s=60, slow_after_s=50)) as jq:
        before = await started(jq)
        slow = "reduce range(20000) as $i (0; . + 1)"  # about 4 ms, so that the kills hit some of them
        asking = [asyncio.create_task(jq.evaluate(f"{slow} + {number}", None)) for number in range(40)]
        await asyncio.sleep(0)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert await all_of(asking) == [20_000 + number for number in range(40)]
        after = await started(jq)
        assert not set(before) & set(after)
        await until(lambda: not set(before) & children())


async def test_an_idle_worker_that_dies_is_replaced(jq: JqWorkers) -> None:
    victim = (await started(jq))[0]
    os.kill(victim, signal.SIGKILL)
    await until(lambda: victim not in jq.pids() and len(jq.pids()) == 3)
    assert await jq.evaluate(". + 1", 1) == 2


async def test_a_stopped_worker_is_given_up() -> None:
    async with JqWorkers(Limits(time_s=0.2)) as jq:
        victims = await started(jq)
        for pid in victims:
            os.kill(pid, signal.SIGSTOP)
        assert await asyncio.wait_for(jq.evaluate(". + 1", 1), PATIENCE_S) == 2


async def test_a_request_that_kills_every_worker_is_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    reap = processes.WorkerProcess.reap

    def count(process: processes.WorkerProcess) -> str:
        ends.append(process.pid)
        return reap(process)

    monkeypatch.setattr(processes.WorkerProcess, "reap", count)
    async with JqWorkers() as jq:
        with pytest.raises(JqError, match="its worker ended by SIGABRT"):
            await jq.evaluate('"x" * 1e9', None)
        assert len(ends) == 2


async def test_cancelled_callers_are_dropped() -> None:
    async with JqWorkers(Limits(time_s=60)) as jq:
        endless = [asyncio.create_task(jq.evaluate(f"def f: f; f | {number}", None)) for number in range(9)]
        await started(jq, count=5)  # with those that run the slow ones
        for task in endless:
            task.cancel()
        slow = jq.evaluate("reduce range(500000) as $i (0; . + 1)", None)
        assert await asyncio.wait_for(slow, PATIENCE_S) == 500_000


async def test_more_than_may_wait_wait_outside() -> None:
    async with JqWorkers(Limits(max_waiting=4)) as jq:
        assert await all_of(jq.evaluate(". + 1", number) for number in range(500)) == list(range(1, 501))


async def test_a_place_that_is_not_taken_goes_to_the_next() -> None:
    async with JqWorkers(Limits(max_waiting=1)) as jq:
        values = [object() if number % 3 else number for number in range(60)]  # objects are no JSON
        asking = [asyncio.create_task(jq.evaluate(". + 1", value)) for value in values]
        await asyncio.sleep(0)
        for task in asking[6::6]:
            task.cancel()
        found = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), PATIENCE_S)
    answers = [result for result in found if isinstance(result, int)]
    assert answers == [number + 1 for number in range(0, 60, 3) if number % 6 or not number]
    assert sum(isinstance(result, JqError) for result in found) == 40


async def test_programs_that_take_turns_are_not_mixed_up(jq: JqWorkers) -> None:
    texts = [". + 1", ". + 1", ". * 2", "[.]", ". * 2"]
    found = await all_of(jq.evaluate(texts[number % 5], number) for number in range(300))
    assert found == [(number + 1, number + 1, number * 2, [number], number * 2)[number % 5] for number in range(300)]


async def test_answers_are_taken_during_a_long_turn_of_the_loop() -> None:
    pool = Pool(Limits())
    await pool.open()
    first, *others = [pool.submit(source.program(". + 1", ()), b"[%d]" % number, "") for number in range(BATCH)]
    busy = [link.process.stream for link in pool.links if link.in_flight]
    assert select.select(busy, [], [], PATIENCE_S)[0]
    others += [pool.submit(source.program(". + 1", ()), b"[7]", "") for _ in range(BATCH)]
    assert first.done()
    assert [(await reply).payload for reply in (first, *others[-BATCH:])] == [b"1", *[b"8"] * BATCH]
    await pool.close()


async def test_requests_and_results_of_megabytes_pass(jq: JqWorkers) -> None:
    value = {"rows": [{"id": number, "text": "x" * 100} for number in range(20_000)]}
    assert await jq.evaluate(".", value) == value
    assert await all_of(jq.evaluate(".rows[7].id", value) for _ in range(5)) == [7] * 5


async def test_a_worker_holds_nothing_of_the_server(jq: JqWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_TEST_SECRET", "seen")
    pid = (await started(jq))[0]
    folder = Path(f"/proc/{pid}")
    await until(lambda: not (folder / "fd" / "2").is_symlink())  # given up as the last thing before it is ready
    assert (folder / "environ").read_bytes() == b""
    assert os.readlink(folder / "cwd") == "/"
    await until(lambda: "Max processes             0" in (folder / "limits").read_text())
    held = {name: os.readlink(folder / "fd" / name) for name in os.listdir(folder / "fd")}
    assert held.pop("0").startswith("socket:")
    assert [path.rpartition("/")[2] for path in held.values()] == ["statm"]  # its own size
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (folder / "limits").read_text().splitlines()}
    assert limits["Max address space"] == [str(256 * 1024 * 1024)] * 2
    for name in ("Max open files", "Max file size", "Max core file size", "Max processes"):
        assert limits[name] == ["0", "0"]


async def test_workers_that_cannot_start_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    jq = JqWorkers()
    with pytest.raises(JqUnavailableError, match="No such file"):
        await asyncio.wait_for(jq.evaluate("1", None), PATIENCE_S)
    with pytest.raises(JqUnavailableError, match="No such file"):
        jq.check("1", [])
    monkeypatch.undo()
    assert await asyncio.wait_for(jq.evaluate("1", None), PATIENCE_S) == 1
    await jq.close()


async def test_workers_that_end_at_once_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    jq = JqWorkers()
    with pytest.raises(JqUnavailableError, match="exit status 1"):
        await asyncio.wait_for(jq.evaluate("1", None), PATIENCE_S)
    with pytest.raises(JqUnavailableError, match="exit status 1"):
        jq.check("1", [])
    await jq.close()


PARENT = """
import asyncio
from stepwell.programs.jq import JqWorkers, Limits

async def main():
    jq = JqWorkers(Limits(time_s=0.5))
    jq.check(".", [])
    await jq.open()
    busy = [asyncio.create_task(jq.evaluate(f"def f: f; f | {n}", None)) for n in range(50)]
    while len(jq.pids()) < 5:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    print("ready", flush=True)
    await asyncio.gather(*busy)

asyncio.run(main())
"""


def test_a_killed_server_leaves_no_worker_behind() -> None:
    server = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    workers = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(workers) >= 3
    server.kill()
    server.wait()
    server.stdout.close()
    asyncio.run(until(lambda: not any(runs(int(pid)) for pid in workers)))


def test_workers_serve_one_event_loop_after_the_other() -> None:
    jq = JqWorkers()

    async def once() -> object:
        await jq.open()
        try:
            return await jq.evaluate(". + 1", 1)
        finally:
            await jq.close()

    assert [asyncio.run(once()) for _ in range(2)] == [2, 2]


def test_workers_run_under_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def many() -> list[object]:
        async with JqWorkers() as jq:
            return await all_of(jq.evaluate(". + 1", number) for number in range(200))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(many()) == list(range(1, 201))

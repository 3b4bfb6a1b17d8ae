"""Threads of sync functions: hung ones hold up neither other calls nor the end of the process."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.programs.threads import Threads

HUNG = """
import asyncio, time
from stepwell.programs.threads import Threads
async def main():
    try:
        await asyncio.wait_for(Threads().run(lambda: time.sleep(600)), 0.1)
    except TimeoutError:
        print("timed out")
asyncio.run(main())
"""


def raising(error: BaseException) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


async def test_result_and_context_come_and_go() -> None:
    variable = contextvars.ContextVar[int]("variable")
    variable.set(5)
    assert await Threads().run(variable.get) == 5


def test_call_without_end_does_not_hold_up_the_end_of_the_process() -> None:
    ran = subprocess.run([sys.executable, "-c", HUNG], check=True, timeout=30, capture_output=True, text=True)
    assert ran.stdout == "timed out\n"
    assert ran.stderr == ""


async def test_calls_nobody_awaits_any_more_take_no_place() -> None:
    threads, let_go = Threads(at_once=2), threading.Event()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.run(let_go.wait), 0.005)
    assert await asyncio.wait_for(threads.run(lambda: 1), 5) == 1
    let_go.set()


async def test_hung_functions_leave_the_loops_own_threads_free() -> None:
    threads, let_go = Threads(), threading.Event()
    hung = [asyncio.ensure_future(threads.run(let_go.wait)) for _ in range((os.cpu_count() or 1) + 40)]
    assert await asyncio.wait_for(asyncio.to_thread(int), 5) == 0
    assert await asyncio.wait_for(threads.run(int), 5) == 0
    let_go.set()
    await asyncio.gather(*hung)


async def test_no_more_than_the_cap_run_at_once_and_all_do() -> None:
    threads, running, most = Threads(at_once=3), [], []

    def call() -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.002)
        running.pop()

    calls = [asyncio.ensure_future(threads.run(call)) for _ in range(40)]
    for call_off in calls[5::7]:
        call_off.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in ended) == 5
    assert max(most) <= 3
    assert await threads.run(int) == 0


@pytest.mark.parametrize("error", [StopIteration(7), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_what_would_end_more_than_the_step_is_an_ordinary_failure(error: BaseException) -> None:
    with pytest.raises(RuntimeError, match=f"the function raised {type(error).__name__}"):
        await Threads().run(raising(error))


async def test_late_failure_is_dropped_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    let_go, threads = threading.Event(), Threads()

    def late() -> None:
        let_go.wait()
        raise ValueError

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(threads.run(late), 0.01)
    let_go.set()
    await asyncio.sleep(0.05)
    assert caplog.records == []

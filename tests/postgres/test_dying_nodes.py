"""Nodes that are killed, and nodes that freeze: no run is lost, no recorded step done again, nobody writes twice."""

import asyncio
import os
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from stepwell.core import history as h
from stepwell.core.status import TERMINAL, Status
from stepwell.engine import Engine

from .living import NodeProcess, processes
from .node_process import OWN_RUNS, STEPS, TAKES_S, app_on
from .nodes import PATIENCE_S, eventually, nodes
from .server import new_database

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
ROUNDS = 50 if SOAK else 3
RUNS = 200 if SOAK else 40
"""In flight at a kill; `OWN_RUNS` of them on each node that started them itself."""

pytestmark = pytest.mark.slow


def _lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


async def _start(engine: Engine, number: int, takes_s: float) -> list[str]:
    return [(await engine.start("logged", takes_s)).run_id for _ in range(number)]


async def _check(engine: Engine, run_ids: list[str], log: Path, *, kills: int) -> None:
    """Every run completed, every step is on record once, and was done at most once more for each kill."""
    done = Counter((run_id, key) for run_id, key, *_ in _lines(log))
    for run_id in run_ids:
        events = await engine.history(run_id)
        assert isinstance(events[-1], h.RunCompleted), [type(event).__name__ for event in events]
        completed = Counter(event.key for event in events if isinstance(event, h.StepCompleted))
        assert completed == {f"/step/{n}": 1 for n in range(STEPS)}
        assert all(done[run_id, key] <= 1 + kills for key in completed)


async def _all_ended(engine: Engine, run_ids: list[str]) -> bool:
    loaded = [await engine.state(run_id) for run_id in run_ids]
    return all(state.status in TERMINAL for state in loaded)


async def test_killed_nodes_runs_are_taken_over(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    longest_s, known = 0.0, set[str]()
    with processes(url, log) as living:
        await asyncio.gather(*(one.ready() for one in living))
        async with nodes(app_on(url, str(log), drive=False)) as (engine,):
            for _ in range(ROUNDS):
                for one in living:
                    one.send(signal.SIGUSR1)
                await _start(engine, RUNS - 2 * OWN_RUNS, TAKES_S)
                await eventually(partial(_have_begun, log, known, RUNS))
                victim = living.pop(0)
                killed_at = time.time()
                victim.end()
                living.append(NodeProcess(url, log, 2.0))
                run_ids = list({run_id for run_id, *_ in _lines(log)} - known)
                await eventually(partial(_all_ended, engine, run_ids))
                longest_s = max([longest_s, *[await _pause_after(engine, run_id, killed_at) for run_id in run_ids]])
                await _check(engine, run_ids, log, kills=1)
                known.update(run_ids)
                await living[-1].ready()
    print(f"{ROUNDS} kills with {RUNS} runs in flight: the longest take-over took {longest_s:.2f} s")


async def _have_begun(log: Path, known: set[str], number: int) -> bool:
    return len({run_id for run_id, *_ in _lines(log)} - known) == number


async def _pause_after(engine: Engine, run_id: str, at: float) -> float:
    """Seconds from an instant to the next thing that happened to a run; 0 when it had ended."""
    return next((event.at - at for event in await engine.history(run_id) if event.at > at), 0.0)


async def test_frozen_node_that_wakes_up_writes_nothing(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    with processes(url, log) as (frozen, living):
        await asyncio.gather(frozen.ready(), living.ready())
        async with nodes(app_on(url, str(log), drive=False)) as (engine,):
            run_ids = await _start(engine, RUNS, 0.3)
            await eventually(lambda: _works(log, frozen.pid))
            frozen.send(signal.SIGSTOP)
            await eventually(lambda: _all_ended(engine, run_ids))
            histories = [await engine.history(run_id) for run_id in run_ids]
            frozen.send(signal.SIGCONT)
            # It works on: a new run that it may well drive ends, and the old ones stay as they are.
            later = await _start(engine, 10, 0.0)
            await eventually(lambda: _all_ended(engine, later))
            assert [await engine.history(run_id) for run_id in run_ids] == histories
            await _check(engine, run_ids, log, kills=1)


async def _works(log: Path, pid: int) -> bool:
    return any(line[-1] == str(pid) for line in _lines(log))


async def test_stopped_node_hands_over_without_repeating_a_step(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    with processes(url, log, dead_after_s=PATIENCE_S) as (leaving, staying):
        await asyncio.gather(leaving.ready(), staying.ready())
        async with nodes(app_on(url, str(log), drive=False)) as (engine,):
            run_ids = await _start(engine, RUNS, TAKES_S)
            await eventually(lambda: _works(log, leaving.pid))
            leaving.send(signal.SIGTERM)
            results = await asyncio.gather(*(engine.result(run_id, timeout_s=PATIENCE_S) for run_id in run_ids))
            await _check(engine, run_ids, log, kills=0)
    assert {result.status for result in results} == {Status.COMPLETED}

"""Nodes that are killed, and nodes that freeze: no run is lost, no recorded step done again, nobody writes twice."""

import asyncio
import os
import signal
import time
from collections import Counter, defaultdict
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from stepwell.core import history as h
from stepwell.core.status import TERMINAL, Status
from stepwell.engine import Engine

from .living import NodeProcess, processes
from .namespace import HERE, NETWORK, lacking, namespace
from .node_process import OWN_RUNS, STEPS, TAKES_S, app_on, beats_file
from .nodes import PATIENCE_S, eventually, nodes
from .own_server import own_server
from .server import new_database

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
ROUNDS = 50 if SOAK else 3
RUNS = 200
"""In flight at a kill; `OWN_RUNS` of them on each node that started them itself."""
FROZEN_S = 30.0 if SOAK else 0.0
"""At least, and until others have ended all of its runs."""
TAKEN_OVER_WITHIN_S = 15.0
"""After a cut, which nobody is told of."""
DEAD_AFTER_S = 2.0
SILENT_S = DEAD_AFTER_S / 4
"""A node that the database did not answer for so long may have been taken for dead: it says twice in `DEAD_AFTER_S`
of each job that it lives, and what it says is on its way for a while.
"""

pytestmark = pytest.mark.slow


def _lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


async def _start(engine: Engine, number: int, takes_s: float) -> list[str]:
    return [
        started.run_id for started in await asyncio.gather(*(engine.start("logged", takes_s) for _ in range(number)))
    ]


async def _check(engine: Engine, run_ids: list[str], log: Path, *, deaths: int, living: list[NodeProcess]) -> None:
    """Every run completed, every step is on record once, and what was in flight was done once more for each death.

    A living node that was silent for too long was taken for dead, too: then what its runs had in flight was done once
    more for each time they were taken over, and nothing else.
    """
    silent = any(_silence_s(log, one.pid) > SILENT_S for one in living)
    done: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for run_id, key, attempt, _ in _lines(log):
        done[run_id][key, int(attempt)] += 1
    for run_id in run_ids:
        events = await engine.history(run_id)
        assert isinstance(events[-1], h.RunCompleted), [type(event).__name__ for event in events]
        completed = Counter(event.key for event in events if isinstance(event, h.StepCompleted))
        assert completed == {f"/step/{n}": 1 for n in range(STEPS)}
        begun = {(event.key, event.attempt) for event in events if isinstance(event, h.AttemptStarted)}
        assert done[run_id].keys() <= begun, "a step was done of which nothing is on record"
        assert max(done[run_id].values()) == 1, "an attempt was made twice"
        deaths_of_run = (await engine.store.load([run_id]))[0].epoch - 1 if silent else deaths
        assert len(begun) - STEPS <= deaths_of_run, f"{len(begun) - STEPS} steps were repeated in {run_id}"


def _silence_s(log: Path, pid: int) -> float:
    """The longest time in which the database did not answer a process, until now."""
    answered = [float(line) for line in beats_file(log, pid).read_text().split()]
    return max(later - earlier for earlier, later in pairwise([*answered, time.time()]))


async def _all_ended(engine: Engine, run_ids: list[str]) -> bool:
    loaded = [await engine.state(run_id) for run_id in run_ids]
    return all(state.status in TERMINAL for state in loaded)


async def test_killed_nodes_runs_are_taken_over(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    known = set[str]()
    with processes(url, log, dead_after_s=DEAD_AFTER_S) as living:
        await asyncio.gather(*(one.ready() for one in living))
        async with nodes(app_on(url, str(log), drive=False)) as (engine,):
            for number in range(1, ROUNDS + 1):
                for one in living:
                    one.send(signal.SIGUSR1)
                await _start(engine, RUNS - 2 * OWN_RUNS, TAKES_S)
                await eventually(partial(_have_begun, log, known, RUNS))
                victim = living.pop(0)
                killed_at = time.time()
                victim.end()
                run_ids = list({run_id for run_id, *_ in _lines(log)} - known)
                await eventually(partial(_all_ended, engine, run_ids))
                await _check(engine, run_ids, log, deaths=1, living=living)
                await _tell(engine, run_ids, killed_at, f"kill {number} of {ROUNDS}")
                known.update(run_ids)
                living.append(NodeProcess(url, log, DEAD_AFTER_S))
                await living[-1].ready()


async def _tell(engine: Engine, run_ids: list[str], killed_at: float, what: str) -> None:
    """What a kill came to, for who reads the soak's figures."""
    histories = [await engine.history(run_id) for run_id in run_ids]
    in_flight = [events for events in histories if events[-1].at > killed_at]
    pauses_s = [next(event.at for event in events if event.at > killed_at) - killed_at for events in in_flight]
    attempts = sum(isinstance(event, h.AttemptStarted) for events in histories for event in events)
    repeated = attempts - STEPS * len(run_ids)
    print(
        f"{what}: {len(in_flight)} of {len(run_ids)} runs in flight, {repeated} steps repeated, "
        f"the longest take-over took {max(pauses_s, default=0.0):.2f} s",
        flush=True,
    )


async def _have_begun(log: Path, known: set[str], number: int) -> bool:
    return len({run_id for run_id, *_ in _lines(log)} - known) == number


async def test_frozen_node_that_wakes_up_writes_nothing(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    with processes(url, log, dead_after_s=DEAD_AFTER_S) as (frozen, living):
        await asyncio.gather(frozen.ready(), living.ready())
        async with nodes(app_on(url, str(log), drive=False)) as (engine,):
            run_ids = await _start(engine, RUNS, 0.3)
            await eventually(lambda: _works(log, frozen.pid))
            frozen.send(signal.SIGSTOP)
            frozen_at = time.monotonic()
            await eventually(lambda: _all_ended(engine, run_ids))
            histories = [await engine.history(run_id) for run_id in run_ids]
            await eventually(partial(_is_past, frozen_at + FROZEN_S))
            frozen.send(signal.SIGCONT)
            # It works on: a new run that it may well drive ends, and the old ones stay as they are.
            later = await _start(engine, 10, 0.0)
            await eventually(lambda: _all_ended(engine, later))
            assert [await engine.history(run_id) for run_id in run_ids] == histories
            await _check(engine, run_ids, log, deaths=1, living=[living])


async def _works(log: Path, pid: int) -> bool:
    return any(line[-1] == str(pid) for line in _lines(log))


async def _is_past(instant: float) -> bool:
    return time.monotonic() >= instant


async def test_node_whose_network_is_cut_is_taken_over_and_fenced(tmp_path: Path) -> None:
    if why := lacking():
        pytest.skip(why)
    log = tmp_path / "log"
    with own_server() as server, namespace() as there:
        url_there = server.listen(HERE, NETWORK)
        with processes(server.url, log, dead_after_s=DEAD_AFTER_S, number=1) as living:
            away = NodeProcess(url_there, log, DEAD_AFTER_S, prefix=there.prefix)
            living.append(away)
            await asyncio.gather(*(one.ready() for one in living))
            async with nodes(app_on(server.url, str(log), drive=False)) as (engine,):
                away.send(signal.SIGUSR1)
                await _start(engine, RUNS - OWN_RUNS, TAKES_S)
                await eventually(partial(_have_begun, log, set(), RUNS))
                there.cut()
                cut_at, cut_off = time.time(), _driven_by(log, away.pid)
                run_ids = list({run_id for run_id, *_ in _lines(log)})
                await eventually(partial(_all_ended, engine, run_ids))
                histories = [await engine.history(run_id) for run_id in run_ids]
                there.mend()
                await eventually(partial(_answers, log, away.pid, time.time()))
                assert [await engine.history(run_id) for run_id in run_ids] == histories
                await _check(engine, run_ids, log, deaths=1, living=living[:1])
                assert cut_off
                taken_over = [next(e.at for e in await engine.history(one) if e.at > cut_at) for one in cut_off]
                assert max(taken_over) - cut_at < TAKEN_OVER_WITHIN_S


def _driven_by(log: Path, pid: int) -> list[str]:
    """The runs whose last step a process began, and which have steps left."""
    last = {run_id: (key, int(process)) for run_id, key, _, process in _lines(log)}
    return [run_id for run_id, (key, process) in last.items() if process == pid and key != f"/step/{STEPS - 1}"]


async def _answers(log: Path, pid: int, since: float) -> bool:
    """Whether the database has answered a process since then."""
    answered = beats_file(log, pid).read_text().split()
    return bool(answered) and float(answered[-1]) > since


async def test_stopped_node_hands_over_without_repeating_a_step(tmp_path: Path) -> None:
    url, log = new_database(), tmp_path / "log"
    with processes(url, log, dead_after_s=PATIENCE_S) as (leaving, staying):
        await asyncio.gather(leaving.ready(), staying.ready())
        async with nodes(app_on(url, str(log), drive=False)) as (engine,):
            run_ids = await _start(engine, RUNS, TAKES_S)
            await eventually(lambda: _works(log, leaving.pid))
            leaving.send(signal.SIGTERM)
            results = await asyncio.gather(*(engine.result(run_id, timeout_s=PATIENCE_S) for run_id in run_ids))
            await _check(engine, run_ids, log, deaths=0, living=[])
    assert {result.status for result in results} == {Status.COMPLETED}

"""Many nodes on one database: no signal is lost between them, any of them commands and watches any run."""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from stepwell.core import history as h
from stepwell.core.errors import RefusedError
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.store.model import CONFLICT, Batch, Committed, RunQuery

from .nodes import PATIENCE_S, ended, eventually, fetch, node, nodes, parked
from .server import new_database

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
RACES = 10_000 if SOAK else 150
AT_ONCE = 50
JOBS = "SELECT split_part(dedupe_key, ':', 1) AS run FROM pgqueuer WHERE dedupe_key NOT LIKE 'node:%'"


@pytest.fixture(scope="module")
def url() -> str:
    return new_database()


async def _race(driving: Engine, beside: Engine, rng: random.Random, idle_s: float) -> None:
    """A signal from another node, at about the moment at which the run is parked."""
    run_id = (await driving.start("waits", 1)).run_id
    await eventually(lambda: _waits(beside, run_id))
    await asyncio.sleep(rng.uniform(0, 2 * idle_s))
    await beside.signal(run_id, "go", {"n": 1})
    result = await beside.result(run_id, timeout_s=PATIENCE_S)
    assert result.output["data"]["data"] == {"n": 1}


async def _waits(engine: Engine, run_id: str) -> bool:
    events = await engine.store.events(run_id, 0, -1)
    return any(isinstance(event, h.SignalAwaited) for event in events)


async def _in_hand(engine: Engine) -> list[int]:
    return sorted(one.runs for one in await engine.nodes())


async def test_nodes_are_known_and_what_each_drives() -> None:
    url = new_database()
    async with nodes(node(url, idle_s=PATIENCE_S), node(url), node(url, drive=False)) as (driving, _, beside):
        await driving.start("waits", 1)

        async def is_told() -> bool:
            return await _in_hand(beside) == [0, 1]

        await eventually(is_told)
        for one in await beside.nodes():
            assert (one.pid, one.host, bool(one.version)) == (os.getpid(), socket.gethostname(), True)
            assert 0 <= one.silent_s < PATIENCE_S
    async with nodes(node(url, drive=False)) as (beside,):
        assert await beside.nodes() == [], "they have said good-bye"


async def test_no_signal_is_lost_in_a_race_with_parking(url: str) -> None:
    idle_s = 0.02
    seed = int(os.environ.get("STEPWELL_SEED") or 11)
    print(f"{RACES} races of seed {seed}; STEPWELL_SEED={seed} makes the same")
    rng = random.Random(seed)
    async with nodes(node(url, idle_s=idle_s), node(url, drive=False)) as (driving, beside):
        for first in range(0, RACES, AT_ONCE):
            races = min(AT_ONCE, RACES - first)
            await asyncio.gather(*(_race(driving, beside, rng, idle_s) for _ in range(races)))


async def test_run_that_all_nodes_notice_is_handed_out_once(url: str) -> None:
    async with nodes(node(url)) as (driving,):
        run_ids = [(await driving.start("waits", n)).run_id for n in range(20)]
        for run_id in run_ids:
            await eventually(partial(parked, driving, run_id))
    async with nodes(*(node(url, drive=False) for _ in range(3))) as beside:
        for run_id in run_ids:
            await asyncio.gather(*(engine.store.hand_out([run_id]) for engine in beside))
        jobs = await fetch(beside[0], JOBS)
        assert sorted(job["run"] for job in jobs) == sorted(run_ids)
        for run_id in run_ids:
            await beside[0].cancel(run_id)


async def test_late_write_of_a_former_driver_is_refused(url: str) -> None:
    async with nodes(node(url)) as (driving,):
        run_id = (await driving.start("waits")).run_id
        await eventually(lambda: _waits(driving, run_id))
        await eventually(lambda: parked(driving, run_id))
    async with nodes(node(url, drive=False)) as (beside,):  # where nobody else takes the run over meanwhile
        await beside.store.hand_out([run_id])
        (first,) = await beside.store.take_over([run_id])
        (second,) = await beside.store.take_over([run_id])
        assert second.epoch > first.epoch
        late, now = (_snapshot_batch(loaded.run, run_id, loaded.seq, loaded.epoch) for loaded in (first, second))
        assert await beside.store.commit([late]) == [CONFLICT]
        assert await beside.store.commit([now]) == [Committed(second.run)]
        await beside.cancel(run_id)


def _snapshot_batch(run: int, run_id: str, seq: int, epoch: int) -> Batch:
    event = h.SnapshotTaken(at=1.0, label="late")
    return Batch(
        run=run,
        run_id=run_id,
        base_seq=seq,
        epoch=epoch,
        count=1,
        events=h.encode_events([event]),
        step="",
        attempts=0,
    )  # fmt: skip


async def test_any_node_steers_and_watches_a_run_that_another_drives(url: str) -> None:
    async with nodes(node(url), node(url, drive=False)) as (driving, beside):
        run_id = (await driving.start("naps", 3600)).run_id
        seen: list[str] = []

        async def watch() -> None:
            seen.extend([type(one.event).__name__ async for one in beside.watch(run_id) if one.event is not None])

        watching = asyncio.create_task(watch())
        await eventually(lambda: _shows(beside, run_id, Status.RUNNING))
        assert await beside.pause(run_id)
        await eventually(lambda: _shows(driving, run_id, Status.PAUSED))
        assert await beside.resume(run_id)
        assert await beside.cancel(run_id)
        async with asyncio.timeout(PATIENCE_S):
            await watching
        assert (await driving.result(run_id, timeout_s=PATIENCE_S)).status is Status.CANCELLED
    assert seen[0] == "RunCreated"
    assert {"RunPaused", "RunResumed"} <= set(seen)
    assert seen[-1] == "RunCancelled"


async def _shows(engine: Engine, run_id: str, status: Status) -> bool:
    rows = await engine.list_runs(RunQuery(search=run_id))
    return bool(rows) and rows[0].status is status


async def test_each_firing_of_a_schedule_starts_one_run(url: str) -> None:
    async with nodes(node(url), node(url), node(url)) as engines:
        rule = await engines[0].schedule("at_once", "tick", every_s=1.0, id="ticks")

        async def runs() -> list[str]:
            return [row.run_id for row in await engines[1].list_runs(RunQuery(workflows=("at_once",), limit=1000))]

        await eventually(lambda: _at_least(runs, 3))
        await engines[2].unschedule(rule.id)
        created = [(await engines[0].store.events(run_id, 0, 1))[0] for run_id in await runs()]
        firings = Counter(int(event.at - rule.created_at) for event in created)
    assert max(firings.values()) == 1, firings


async def _at_least(found: Callable[[], Awaitable[list[str]]], number: int) -> bool:
    return len(await found()) >= number


async def test_run_that_has_begun_goes_before_new_ones() -> None:
    database, limits = new_database(), ("waits=1",)
    async with nodes(node(database, limits=limits)) as (driving,):
        begun = (await driving.start("waits", 0)).run_id
        await eventually(lambda: parked(driving, begun))
    async with nodes(node(database, drive=False, limits=limits)) as (beside,):
        new = [(await beside.start("waits", n)).run_id for n in range(3)]
        await beside.signal(begun, "go")
    async with nodes(node(database, limits=limits)) as (driving,):
        await driving.result(begun, timeout_s=PATIENCE_S)
        for run_id in new:
            await driving.signal(run_id, "go")
            await driving.result(run_id, timeout_s=PATIENCE_S)
        ended_at = (await driving.history(begun))[-1].at
        for run_id in new:
            assert next(e.at for e in await driving.history(run_id) if isinstance(e, h.StepScheduled)) > ended_at


async def test_limit_of_a_workflow_holds_across_nodes() -> None:
    database = new_database()
    limited = [node(database, limits=("naps=2",)) for _ in range(2)]
    async with nodes(*limited) as (first, second):
        started = [await engine.start("naps", 0.02) for engine in (first, second) for _ in range(4)]
        results = [await first.result(one.run_id, timeout_s=PATIENCE_S) for one in started]
        histories = [await second.history(one.run_id) for one in started]
    assert {result.status for result in results} == {Status.COMPLETED}
    changes = sorted(
        (event.at, change)
        for events in histories
        for event in events
        for change in [+1 if isinstance(event, h.RunStarted) else -1 if isinstance(event, h.RunCompleted) else 0]
    )
    at_once, most = 0, 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    assert most <= 2


async def test_rate_of_a_workflow_holds_across_nodes() -> None:
    database = new_database()
    limited = [node(database, limits=("at_once=10/s", "at_once=5")) for _ in range(2)]
    async with nodes(*limited) as (first, second):
        started = [(await engine.start("at_once", 1)).run_id for engine in (first, second) for _ in range(8)]
        results = [await first.result(run_id, timeout_s=PATIENCE_S) for run_id in started]
        histories = [await second.history(run_id) for run_id in started]
    assert {result.status for result in results} == {Status.COMPLETED}
    created = min(events[0].at for events in histories)
    begun = sorted(event.at for events in histories for event in events if isinstance(event, h.RunStarted))
    assert all(at >= created + number / 10 for number, at in enumerate(begun)), begun


async def test_command_that_the_rules_refuse_is_refused_on_every_node(url: str) -> None:
    async with nodes(node(url), node(url, drive=False)) as (driving, beside):
        run_id = (await driving.start("at_once", 1)).run_id
        await driving.result(run_id, timeout_s=PATIENCE_S)
        await eventually(lambda: ended(beside, run_id))
        with pytest.raises(RefusedError):
            await beside.pause(run_id)


async def test_node_that_stops_hands_its_runs_over(url: str) -> None:
    async with nodes(node(url)) as (staying,):
        leaving = node(url)
        await leaving.open()
        started = [(await leaving.engine.start("naps", 0.05)).run_id for _ in range(20)]
        await leaving.close(grace_s=5)
        results = [await staying.result(run_id, timeout_s=PATIENCE_S) for run_id in started]
        histories = [await staying.history(run_id) for run_id in started]
    assert {result.status for result in results} == {Status.COMPLETED}
    for events in histories:
        done = Counter(event.key for event in events if isinstance(event, h.StepCompleted))
        assert set(done.values()) == {1}

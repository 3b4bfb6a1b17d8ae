"""The hash chain: what was committed is what is there, or the first place where it is not is named."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from stepwell.core.chain import Chain, Verified
from stepwell.core.errors import RunNotFoundError
from stepwell.core.program import Program, RunContext
from stepwell.core.status import Status
from stepwell.engine import EngineOptions
from stepwell.store.sqlite.connection import connect

from .harness import CrashAt, Crashed, InMemory, Lab, Life, World
from .scenes import failing, simple, sleeping, waiting

KEY = b"a key that is not in the database"
OFF = EngineOptions(idle_s=0.2)
ON = EngineOptions(idle_s=0.2, audit_chain=True)
KEYED = EngineOptions(idle_s=0.2, audit_chain=True, audit_key=KEY)
RUN = "01900000-0000-7000-8000-00000000000a"


def world_of(program: Callable[[Lab], Program] = simple, options: EngineOptions = ON) -> World:
    return World({"work": program}, options=options)


def ran(world: World, input: Any = 1) -> None:
    """A run that ends."""

    async def scenario(life: Life) -> None:
        await life.engine.start("work", input, run_id=RUN)
        await life.engine.result(RUN)

    world.live(scenario)


def verified(world: World, run_id: str = RUN) -> Verified:
    return world.live(lambda life: life.engine.verify(run_id))


def change(world: World, sql: str, *values: Any) -> None:
    """What somebody with a database tool does."""
    disk = connect(world.path)
    disk.execute(sql, values)
    assert disk.changes(), "nothing was changed"
    disk.close()


def test_a_run_that_nobody_touched_verifies_to_its_last_event() -> None:
    with world_of() as world:
        ran(world)
        found = verified(world)
        assert (found.ok, found.first, found.at, found.fault) == (True, 1, None, "")
        assert found.seq == len(world.history(RUN))
        assert found.hash.startswith("sha256:")


def test_without_the_setting_nothing_is_chained_and_nothing_verifies() -> None:
    with world_of(options=OFF) as world:
        ran(world)
        found = verified(world)
        assert (found.ok, found.first, found.fault) == (False, None, "no event of it was chained")
        disk = connect(world.path)
        assert set(disk.execute("SELECT hash FROM history")) == {(None,)}
        disk.close()


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("UPDATE history SET events = replace(events, 'secret', 'sacred') WHERE seq = 1", "does not fit"),
        ("UPDATE history SET events = replace(events, '}', ')') WHERE seq = 1", "cannot be read"),
        ("UPDATE history SET hash = zeroblob(32) WHERE seq = 1", "does not fit"),
        ("UPDATE history SET count = count + 1 WHERE seq = 1", "expected"),
        ("DELETE FROM history WHERE seq = 1", "event 1 is missing"),
    ],
)
def test_a_change_of_the_first_row_is_found_there(sql: str, fault: str) -> None:
    with world_of() as world:
        ran(world, "secret")
        change(world, sql)
        found = verified(world)
        assert not found.ok
        assert fault in found.fault
        assert found.at == 1 or "missing" in fault


def test_every_row_that_is_changed_is_named_by_its_first_event() -> None:
    with world_of(failing) as world:
        ran(world)
        disk = connect(world.path)
        firsts = [seq for (seq,) in disk.execute("SELECT seq FROM history ORDER BY seq")]
        rows = list(disk.execute("SELECT seq, events FROM history"))
        disk.close()
        assert len(firsts) >= 3
        for seq, events in rows:
            flipped = events.replace(b'"at":1', b'"at":2', 1)
            change(world, "UPDATE history SET events = ? WHERE seq = ?", flipped, seq)
            assert (found := verified(world)).at == seq, found
            change(world, "UPDATE history SET events = ? WHERE seq = ?", events, seq)
        assert verified(world).ok


def test_events_that_were_cut_off_at_the_end_are_missed() -> None:
    with world_of(failing) as world:
        ran(world)
        last = verified(world).seq
        change(world, "DELETE FROM history WHERE seq = (SELECT max(seq) FROM history)")
        found = verified(world)
        assert (found.ok, found.fault) == (False, f"the run says that its last event is {last}")
        assert found.at is not None
        assert found.at <= last


def test_rows_of_another_run_do_not_fit() -> None:
    with world_of() as world:
        other = "01900000-0000-7000-8000-00000000000b"

        async def scenario(life: Life) -> None:
            for run_id in (RUN, other):
                await life.engine.start("work", run_id=run_id)
                await life.engine.result(run_id)

        world.live(scenario)
        numbers = "SELECT id FROM run WHERE uuid = ?"
        change(world, f"DELETE FROM history WHERE run = ({numbers})", RUN)
        change(world, f"UPDATE history SET run = ({numbers}) WHERE run = ({numbers})", RUN, other)
        assert verified(world).at == 1


def test_hashes_that_are_taken_away_are_missed() -> None:
    with world_of(failing) as world:
        ran(world)
        change(world, "UPDATE history SET hash = NULL WHERE seq > 3")
        found = verified(world)
        assert (found.ok, found.fault) == (False, "the events are not chained, and those before are")
        change(world, "UPDATE history SET hash = NULL")
        assert verified(world).fault == "no event of it was chained"


# --- with a key -----------------------------------------------------------------------------------------------------


def forge(world: World) -> None:
    """Change an event and compute all hashes anew, without the key."""
    chain, disk = Chain(), connect(world.path)
    hash = chain.begin(RUN, 0)
    for id, events in list(disk.execute("SELECT id, events FROM history ORDER BY seq")):
        events = events.replace(b"secret", b"sacred")
        hash = chain.extend(hash, events)
        disk.execute("UPDATE history SET events = ?, hash = ? WHERE id = ?", (events, hash, id))
    disk.close()


def test_without_a_key_hashes_can_be_made_anew() -> None:
    with world_of(options=ON) as world:
        ran(world, "secret")
        noted = verified(world).hash
        forge(world)
        found = verified(world)
        assert found.ok
        assert found.hash != noted  # which is why it is worth noting somewhere else


def test_with_a_key_they_cannot() -> None:
    with world_of(options=KEYED) as world:
        ran(world, "secret")
        assert verified(world).ok
        forge(world)
        assert verified(world).at == 1


def test_another_key_verifies_nothing() -> None:
    with world_of(options=KEYED) as world:
        ran(world)
        world.options = EngineOptions(audit_chain=True, audit_key=b"another")
        assert verified(world).at == 1


# --- the life of runs -----------------------------------------------------------------------------------------------


def test_a_run_that_began_before_the_setting_is_chained_from_then_on() -> None:
    with world_of(waiting, options=OFF) as world:

        async def begin(life: Life) -> None:
            await life.engine.start("work", run_id=RUN)
            await asyncio.sleep(1)

        async def go_on(life: Life) -> None:
            await life.engine.signal(RUN, "go", 1)
            await life.engine.result(RUN)

        world.live(begin)
        before = len(world.history(RUN))
        world.options = ON
        world.live(go_on)
        found = verified(world)
        assert (found.ok, found.first) == (True, before + 1)
        change(world, "UPDATE history SET events = replace(events, 'go', 'no') WHERE seq > ?", before)
        assert verified(world).at == before + 1


def test_events_after_the_setting_was_switched_off_are_not_vouched_for() -> None:
    with world_of(waiting) as world:

        async def begin(life: Life) -> None:
            await life.engine.start("work", run_id=RUN)
            await asyncio.sleep(1)

        async def go_on(life: Life) -> None:
            await life.engine.signal(RUN, "go", 1)
            await life.engine.result(RUN)

        world.live(begin)
        before = len(world.history(RUN))
        world.options = OFF
        world.live(go_on)
        assert (verified(world).ok, verified(world).at) == (False, before + 1)


def long(lab: Lab) -> Program:
    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        for n in range(1_100):
            await ctx.record(f"/loop@{n}", n)
        await ctx.wait("/wait", "go")
        return await ctx.step("/end", lab.does(1))

    return program


def test_a_run_that_goes_on_from_a_snapshot_goes_on_with_its_chain() -> None:
    with world_of(long) as world:

        async def begin(life: Life) -> None:
            await life.engine.start("work", run_id=RUN)
            await asyncio.sleep(2)

        async def go_on(life: Life) -> None:
            await life.engine.signal(RUN, "go")
            await life.engine.result(RUN)

        world.live(begin)
        disk = connect(world.path)
        assert disk.execute("SELECT count(*) FROM snapshot").get == 1
        disk.close()
        world.live(go_on)
        assert (verified(world).ok, verified(world).first) == (True, 1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_write_leaves_a_chain_that_verifies(after: bool) -> None:
    async def scenario(life: Life) -> None:
        await life.engine.start("work", run_id=RUN)
        if (await life.engine.result(RUN)).status is Status.FAILED:
            await life.engine.retry(RUN)
            await life.engine.result(RUN)

    for number in range(1, 15):
        with world_of(failing) as world:
            try:
                world.live(scenario, crash=CrashAt(number, after))
            except Crashed:
                world.live(scenario)
            assert verified(world).ok, f"crash {number}"


def test_two_processes_that_append_to_one_run_keep_one_chain() -> None:
    with World({"work": sleeping}, options=ON, two=True) as world:

        async def scenario(life: Life) -> None:
            await life.engine.start("work", run_id=RUN)
            await asyncio.sleep(0.05)
            for _ in range(5):
                await asyncio.gather(
                    life.beside.snapshot(RUN, "beside"), life.engine.snapshot(RUN, "here"), return_exceptions=True
                )
            await life.beside.pause(RUN)
            await life.beside.resume(RUN)
            await life.engine.result(RUN)

        world.live(scenario)
        assert verified(world).ok


def test_forks_retries_and_roll_backs_are_chained_like_all_else() -> None:
    with world_of(failing) as world:

        async def scenario(life: Life) -> str:
            engine = life.engine
            await engine.start("work", run_id=RUN)
            await engine.result(RUN)
            await engine.retry(RUN)
            await engine.result(RUN)
            fork = (await engine.fork(RUN, at_seq=5)).run_id
            await engine.result(fork)
            return fork

        fork = world.live(scenario)
        assert verified(world).ok
        assert verified(world, fork).ok


def test_a_rolled_back_run_keeps_all_that_was_chained() -> None:
    with world_of(failing) as world:

        async def scenario(life: Life) -> None:
            await life.engine.start("work", run_id=RUN)
            await life.engine.result(RUN)
            await life.engine.roll_back(RUN, 4)
            await life.engine.resume(RUN)
            await life.engine.result(RUN)

        world.live(scenario)
        assert verified(world).ok


def test_pruned_runs_go_with_their_hashes_and_others_verify() -> None:
    with world_of() as world:
        ran(world)
        other = "01900000-0000-7000-8000-00000000000b"

        async def scenario(life: Life) -> None:
            await life.engine.prune(ended_before=2e9)
            await life.engine.start("work", run_id=other)
            await life.engine.result(other)
            with pytest.raises(RunNotFoundError):
                await life.engine.verify(RUN)

        world.live(scenario)
        assert verified(world, other).ok


def test_each_event_names_its_hash_and_the_one_before() -> None:
    with world_of(failing) as world:
        ran(world)

        async def scenario(life: Life) -> None:
            links = await life.engine.links(RUN)
            last = (await life.engine.verify(RUN)).hash
            assert list(links) == list(range(1, len(links) + 1))
            assert [links[seq].prev_hash for seq in range(2, len(links) + 1)] == [
                links[seq].hash for seq in range(1, len(links))
            ]
            assert links[len(links)].hash == last
            for after in range(len(links)):
                assert (await life.engine.links(RUN, after_seq=after, limit=1))[after + 1] == links[after + 1]

        world.live(scenario)


def test_a_flipped_byte_in_the_database_file_is_found(tmp_path: Path) -> None:
    """Nobody went through SQLite: the file itself was edited."""
    path = tmp_path / "runs.db"
    with World({"work": simple}, options=ON, database=InMemory(str(path))) as world:
        ran(world, "the amount is 1000")
        assert verified(world).ok
    disk = apsw.Connection(str(path))
    disk.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.close()
    path.write_bytes(path.read_bytes().replace(b"the amount is 1000", b"the amount is 9000"))
    with World({"work": simple}, options=ON, database=InMemory(str(path))) as world:
        world._saved = True
        found = verified(world)
        assert (found.ok, found.at) == (False, 1)

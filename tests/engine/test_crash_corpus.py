"""Every shape of the corpus, and every kind of task of the flow language, stopped at every write to the store and run
again: nothing differs.

The invariants (see `invariants.py`) say that no recorded step, loser or second continuation ran; here outputs are
compared too, the history before a crash must be the beginning of the history after it, and what was acknowledged
must be in it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from stepwell.core.errors import RefusedError
from stepwell.core.history import Actor, AnyEvent
from stepwell.core.status import Status
from stepwell.engine import Engine
from stepwell.store.model import RunQuery

from .corpus import CASES, Case, Send
from .flow_corpus import FLOW_CASES
from .flow_world import FlowWorld
from .harness import CrashAt, Crashed, Database, InMemory, Life, World
from .on_postgres import OnPostgres

ALL = CASES | FLOW_CASES
SOAK = bool(os.environ.get("STEPWELL_SOAK"))
RUN_ID = "01900000-0000-7000-8000-000000000001"
PATIENCE_S = 1_000.0


class Outcome:
    """What one play of a case came to, over all its lives."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.started = False
        self.status = Status.PENDING
        self.output: Any = None
        self.others: list[tuple[str, Status, Any]] = []
        """Workflow, status and output of every other run."""

    @property
    def whole(self) -> tuple[Status, Any, list[tuple[str, Status, Any]]]:
        return self.status, self.output, self.others


Where = Callable[[], Database]


def world_for(case: Case, where: Where) -> World:
    if case.flows:
        return FlowWorld(case.programs, flows=case.flows, database=where())
    return World(case.programs, database=where())


async def play(case: Case, life: Life, outcome: Outcome, sends: tuple[Send, ...], at_write: int | None) -> None:
    """Start the run, send what is to be sent, and wait until nothing is left to do.

    Whatever was not acknowledged in an earlier life is asked again, unless the history shows that it arrived.
    """
    engine = life.engine
    await engine.start(case.name, {"x": 1}, run_id=RUN_ID, start_key="the one")
    outcome.started = True
    sending = [asyncio.ensure_future(_send(life, send, outcome, at_write)) for send in sends]
    result = await engine.result(RUN_ID, timeout_s=PATIENCE_S)
    outcome.status, outcome.output = result.status, result.output
    for task in sending:
        await asyncio.wait_for(task, PATIENCE_S)
    await quiet(engine)
    outcome.others = sorted(
        [
            (run.workflow, run.status, (await engine.get(run.run_id)).output)
            for run in await engine.list_runs(RunQuery(limit=1000))
            if run.run_id != RUN_ID
        ],
        key=repr,
    )


async def _send(life: Life, send: Send, outcome: Outcome, at_write: int | None) -> None:
    engine = life.engine
    if send.name in outcome.acknowledged or send.arrived(await engine.history(RUN_ID)):
        outcome.acknowledged.add(send.name)
        return
    if at_write is None:
        created_at = (await engine.state(RUN_ID)).created_at
        await asyncio.sleep(created_at + send.at - asyncio.get_running_loop().time())
    else:
        await asyncio.wait(
            (asyncio.ensure_future(life.write_number(at_write)), asyncio.ensure_future(asyncio.sleep(9))),
            return_when=asyncio.FIRST_COMPLETED,
        )
    try:
        await send.act(life, RUN_ID, Actor(type="local", id=send.name))
    except RefusedError:
        return
    if send.event_id or send.arrived(await engine.history(RUN_ID)):
        outcome.acknowledged.add(send.name)


async def quiet(engine: Engine) -> None:
    """Until every run has ended and the outbox is empty; what it held may have become a run after the first look."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            runs = await engine.list_runs(RunQuery(limit=1000))
            if any(run.ended_at is None for run in runs) or await engine.store.take_outbox(1e12, 1):
                await asyncio.sleep(1.0)
            elif len(await engine.list_runs(RunQuery(limit=1000))) == len(runs):
                return


def play_with_crash(
    case: Case,
    crash: CrashAt | None,
    *,
    sends: tuple[Send, ...] | None = None,
    at_write: int | None = None,
    where: Where = InMemory,
) -> tuple[Outcome, World]:
    """One play with at most one crash, all invariants checked."""
    sends = case.sends if sends is None else sends
    outcome = Outcome()
    with world_for(case, where) as world:
        crashes = 0
        before: list[AnyEvent] = []
        try:
            world.live(lambda life: play(case, life, outcome, sends, at_write), crash=crash)
        except Crashed:
            crashes = 1
            before = world.history(RUN_ID)
            assert before or not outcome.started, "an acknowledged run is gone"
            world.check(crashes=1, quiet=False)
            world.live(lambda life: play(case, life, outcome, sends, 1 if at_write is not None else None))
        after = world.history(RUN_ID)
        assert after[: len(before)] == before, "the history was changed by a crash"
        for send in sends:
            # An event finds nobody when the run has ended before: by another one that came first, or by a command.
            if send.name in outcome.acknowledged and not (send.event_id and at_write is not None):
                assert send.arrived(after), f"{send.name} is lost"
        world.check(crashes=crashes)
    return outcome, world


@pytest.fixture(scope="module")
def uncrashed() -> Callable[[str], tuple[Outcome, int]]:
    """How each case ends when nothing happens to it, and after how many writes."""
    known: dict[str, tuple[Outcome, int]] = {}

    def play_once(name: str) -> tuple[Outcome, int]:
        if name not in known:
            outcome, world = play_with_crash(ALL[name], None)
            known[name] = outcome, world.writes
        return known[name]

    return play_once


Uncrashed = Callable[[str], tuple[Outcome, int]]


@pytest.mark.parametrize("name", ALL)
def test_shape_ends_as_it_should(name: str, uncrashed: Uncrashed) -> None:
    case = ALL[name]
    outcome, writes = uncrashed(name)
    assert outcome.status is (Status.FAILED if case.fails else Status.COMPLETED)
    assert outcome.output != "not reached"
    assert case.output in (..., outcome.output)
    if case.flows:
        beside = [(workflow, output) for workflow, _, output in outcome.others]
        assert sorted(beside, key=repr) == sorted(case.beside, key=repr)
    assert writes > 1


@pytest.mark.parametrize("name", ALL)
def test_crash_at_every_write_changes_nothing(name: str, uncrashed: Uncrashed) -> None:
    expected, writes = uncrashed(name)
    for number in range(1, writes + 1):
        for after in (False, True):
            outcome, _ = play_with_crash(ALL[name], CrashAt(number, after))
            where = f"{name}, crash {'after' if after else 'before'} write {number}"
            assert outcome.whole == expected.whole, where


TIMED = ("scheduled-every", "scheduled-after", "scheduled-cron")
"""How many runs these start is a matter of time, of which a real server takes more or less."""
IN_POSTGRES = [name for name in ALL if name not in TIMED][:: 1 if SOAK else 16]


@pytest.mark.parametrize("name", IN_POSTGRES)
def test_crash_at_every_write_to_postgres_changes_nothing(name: str) -> None:
    """A sample of the shapes, each at some writes; all at every write in the soak."""
    expected, world = play_with_crash(ALL[name], None, where=OnPostgres)
    crashes = [CrashAt(number, after) for number in range(1, world.writes + 1) for after in (False, True)]
    chosen = crashes if SOAK else Random(name).sample(crashes, min(3, len(crashes)))
    for crash in chosen:
        outcome, _ = play_with_crash(ALL[name], crash, where=OnPostgres)
        assert outcome.whole == expected.whole, f"{name}, {crash}"


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.sends])
def test_sends_may_come_at_any_write(name: str, uncrashed: Uncrashed) -> None:
    case = ALL[name]
    expected, writes = uncrashed(name)
    for at_write in range(1, writes + 1):
        crashes: list[CrashAt | None] = [None]
        rng = Random(at_write)
        crashes += [CrashAt(rng.randint(1, writes), rng.random() < 0.5) for _ in range(20 if SOAK else 1)]
        for crash in crashes:
            outcome, _ = play_with_crash(case, crash, at_write=at_write)
            assert outcome.status is expected.status, f"{name}, sent at write {at_write}, {crash}"


def _command(name: str, after_s: float, act: Callable[[Engine, Actor], Awaitable[Any]]) -> Send:
    return Send(name, after_s, lambda life, _, actor: act(life.engine, actor))


async def _pause_a_while(engine: Engine, actor: Actor) -> None:
    await engine.pause(RUN_ID, actor=actor)
    await asyncio.sleep(1.0)


async def _resume(engine: Engine, actor: Actor) -> None:
    while True:
        await asyncio.sleep(0.5)
        state = await engine.state(RUN_ID)
        if state.phase is Status.PAUSED:
            await engine.resume(RUN_ID, actor=actor)
        if state.terminal:
            return


PAUSE = _command("pause", 0, _pause_a_while)
RESUME = _command("resume", 0, _resume)
CANCEL = _command("cancel", 0, lambda engine, actor: engine.cancel(RUN_ID, actor=actor))
STOP = _command("stop", 0, lambda engine, actor: engine.stop(RUN_ID, actor=actor))


def _sent(case: Case, *commands: Send) -> tuple[Send, ...]:
    return (*commands, *case.sends)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("commands", "ends"),
    [
        ((PAUSE, RESUME), {Status.COMPLETED, Status.FAILED}),
        ((CANCEL,), {Status.CANCELLED, Status.COMPLETED, Status.FAILED}),
        ((STOP,), {Status.CANCELLED, Status.COMPLETED, Status.FAILED}),
    ],
    ids=["pause", "cancel", "stop"],
)
def test_commands_may_come_at_any_write(
    name: str, commands: tuple[Send, ...], ends: set[Status], uncrashed: Uncrashed
) -> None:
    """Also with a crash somewhere: a paused run ends as it would have, a cancelled one ends."""
    case = ALL[name]
    expected, writes = uncrashed(name)
    for at_write in range(1, writes + 1):
        rng = Random(f"{name} {at_write}")
        crash = CrashAt(rng.randint(1, writes), rng.random() < 0.5) if at_write % 2 else None
        outcome, _ = play_with_crash(case, crash, sends=_sent(case, *commands), at_write=at_write)
        where = f"{name}, {commands[0].name} at write {at_write}, {crash}"
        assert outcome.status in ends, where
        if commands[0] is PAUSE:
            assert outcome.status is expected.status, where

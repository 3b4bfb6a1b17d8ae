"""Many runs of many shapes on virtual time, under crashes, faults of the disk, and commands from two processes.

Each world is made from one seed: shapes, runs, commands and crashes. When a world fails its seed is printed, and
`STEPWELL_SEED=<seed>` plays that world alone. `STEPWELL_SOAK=1` plays 100,000 histories.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import msgspec
import pytest

from stepwell.core import history as h
from stepwell.core.errors import RefusedError, StorageError
from stepwell.core.history import Actor, Listen
from stepwell.core.program import Compiled, Programs
from stepwell.core.state import State, StepKind
from stepwell.core.status import Status
from stepwell.engine import Engine, EngineOptions
from stepwell.engine.collecting import identity
from stepwell.engine.events import hears
from stepwell.programs.native import NativePrograms
from stepwell.store.model import RunQuery

from .harness import CrashAt, Crashed, Life, World
from .shapes import BEGIN, BEGUN, CHILDREN, JOINED, LEFT, RIGHT, SHAPES, SIGNALS, leaf, shape
from .virtual_time import VirtualLoop

RUNS = 25
HISTORIES = 100_000 if os.environ.get("STEPWELL_SOAK") else 2_000
WORLDS = HISTORIES // RUNS
SLICES = 8
CHAOS_S = 6.0
PATIENCE_S = 120.0


class Simulation:
    """One world and what its clients were told."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.shapes = [f"shape-{number}" for number in rng.sample(range(SHAPES), 8)]
        programs = {name: shape(int(name.split("-")[1])) for name in self.shapes}
        programs |= {name: leaf(number) for number, name in enumerate((*CHILDREN, BEGUN, JOINED))}
        self.world = ListeningWorld(
            programs,
            options=EngineOptions(idle_s=rng.choice((0.02, 0.3, 5.0))),
            two=rng.random() < 0.7,
            rng=Random(seed + 1) if rng.random() < 0.7 else None,
        )
        self.runs = [f"01900000-0000-7000-8000-{seed % 2**32:08x}{number:04x}" for number in range(RUNS)]
        self.started: set[str] = set()
        self.acknowledged: list[tuple[str, str]] = []
        self.accepted: set[str] = set()
        """Events of which one alone starts a run."""
        self.interruptions = 0
        self._commands = 0

    def play(self) -> None:
        with self.world as world:
            for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
                crash = CrashAt(self.rng.randint(1, 150), self.rng.random() < 0.5)
                self.interruptions += 1
                with suppress(Crashed):
                    world.live(self._chaos, crash=crash)
                world.check(crashes=self.interruptions, quiet=False)
            self.interruptions += 1
            world.live(self._calm)
            world.check(crashes=self.interruptions)
            self._check_acknowledged()
            self._check_begun()
            world.live(self._fork_completed)

    # --- chaos ------------------------------------------------------------------------------------------------------

    async def _chaos(self, life: Life) -> None:
        clients = [self._client(life, Random(self.rng.random())) for _ in range(6)]
        await asyncio.gather(*clients, self._disk(life))

    async def _disk(self, life: Life) -> None:
        """A disk that is full, or cannot be read, for a while."""
        if self.rng.random() < 0.3:
            await asyncio.sleep(self.rng.random() * CHAOS_S)
            self.interruptions += 1
            fault = self.rng.choice(("full", "blind"))
            setattr(life.store, fault, True)
            await asyncio.sleep(self.rng.random())
            setattr(life.store, fault, False)

    async def _client(self, life: Life, rng: Random) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + CHAOS_S
        while loop.time() < until:
            engine = life.beside if self.world.two and rng.random() < 0.4 else life.engine
            sending = asyncio.ensure_future(self._send(engine, rng))
            if rng.random() < 0.1:  # a client that hangs up
                await asyncio.sleep(rng.choice((0, 0, 0.01)))
                sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if not sending.cancelled() and not isinstance(sending.exception(), StorageError | RefusedError | None):
                raise sending.exception() or AssertionError
            await asyncio.sleep(rng.random() * 0.4)

    async def _send(self, engine: Engine, rng: Random) -> None:
        """One command, or the start of a run (sometimes of one that exists)."""
        new = [run_id for run_id in self.runs if run_id not in self.started]
        run_id = rng.choice(new if new and rng.random() < 0.4 else self.runs)
        if run_id in new or rng.random() < 0.02:
            start_at = engine.clock.now() + rng.random() * 4 if rng.random() < 0.3 else None
            owner = rng.choice(("", "o"))
            await engine.start(
                rng.choice(self.shapes), 1, run_id=run_id, start_key=run_id, owner=owner, start_at=start_at
            )
            self.started.add(run_id)
            return
        self._commands += 1
        if rng.random() < 0.05:
            type = rng.choice((*SIGNALS, BEGIN, LEFT, RIGHT))
            id = f"event-{self._commands}"
            await engine.send_event({"id": id, "source": "client", "type": type}, owner=rng.choice(("", "o")))
            if type == BEGIN:
                self.accepted.add(f"client#{id}")
            return
        actor = Actor(type="local", id=f"command-{self._commands}")
        act, weight = zip(*COMMANDS.items(), strict=True)
        if await rng.choices(act, weight)[0](engine, run_id, actor, rng):
            self.acknowledged.append((run_id, actor.id))

    # --- and calm ---------------------------------------------------------------------------------------------------

    async def _calm(self, life: Life) -> None:
        """Give every run what it waits for until all have ended and nothing is left to be done."""
        engine = life.engine
        loop = asyncio.get_running_loop()
        for run_id in self.runs:
            await engine.start(self.rng.choice(self.shapes), 1, run_id=run_id, start_key=run_id)
            self.started.add(run_id)
        until = loop.time() + PATIENCE_S
        while True:
            open_runs = [run for run in await engine.list_runs(RunQuery(limit=10_000)) if run.ended_at is None]
            if not open_runs and not await engine.store.take_outbox(1e12, 1):
                return
            assert loop.time() < until, f"stuck: {[(run.run_id, run.status, run.step) for run in open_runs]}"
            for run in open_runs:
                await self._help(engine, await engine.state(run.run_id))
            await asyncio.sleep(1.0)

    async def _help(self, engine: Engine, state: State) -> None:
        try:
            if state.phase is Status.PAUSED:
                await engine.resume(state.run_id)
            for key in list(state.waits):
                step = state.steps[key]
                if step.kind is StepKind.SIGNAL:
                    await engine.signal(state.run_id, step.signal, "calm")
                if step.approval is not None:
                    votes = len(step.approval.votes)
                    actor = Actor(id=f"calm-{votes}", type="local", roles=("boss",))
                    who = Actor(id="boss") if step.approval.escalated else actor
                    await engine.decide_approval(state.run_id, step.approval.id, approved=True, actor=who)
        except RefusedError:
            pass  # it went on in the meantime

    def _check_acknowledged(self) -> None:
        """C1: nothing that a client was told is lost."""
        there = {run_id: {event.actor.id for event in self.world.history(run_id)} for run_id in self.started}
        for run_id, actor in self.acknowledged:
            assert actor in there[run_id], f"{actor} to {run_id} was acknowledged and is lost"
        for run_id in self.started:
            assert there[run_id], f"the start of {run_id} was acknowledged and is lost"

    def _check_begun(self) -> None:
        """Each event that starts a run has started one; those that start one together have started no second one."""
        sent, begun, joined = set(self.accepted), Counter[str](), Counter[str]()
        for events in self.world.histories():
            created = events[0]
            assert isinstance(created, h.RunCreated)
            if not created.forked_from and created.workflow in (BEGUN, JOINED):
                input = msgspec.json.decode(created.input)
                (begun if created.workflow == BEGUN else joined).update(map(identity, input))
            emitted = (msgspec.json.decode(event.event) for event in events if isinstance(event, h.EventEmitted))
            sent |= {identity(event) for event in emitted if event["type"] == BEGIN}
        assert sent <= begun.keys(), f"these events started nothing: {sent - begun.keys()}"
        assert not begun or max(begun.values()) == 1, f"this event started two runs: {begun.most_common(1)}"
        assert not joined or max(joined.values()) == 1, f"this event was used twice: {joined.most_common(1)}"

    async def _fork_completed(self, life: Life) -> None:
        """A fork of a whole history comes to the same end without work: programs depend on their record only."""
        engine = life.engine
        done = [
            run for run in await engine.list_runs(RunQuery(statuses=(Status.COMPLETED,), limit=8)) if not run.door
        ]
        ran = len(self.world.lab.ran)
        for run in done:
            forked = await engine.fork(run.run_id, at_seq=run.seq)
            result = await engine.result(forked.run_id, timeout_s=PATIENCE_S)
            expected = (await engine.get(run.run_id)).output
            assert (result.status, result.output) == (Status.COMPLETED, expected), (
                f"{run.run_id} forked differs: {result}, {expected}"
            )
        assert len(self.world.lab.ran) == ran, f"a fork worked: {self.world.lab.ran[ran:]}"


class Beginning:
    """`core.program.Trigger`: events of these types start a run, one of each."""

    def __init__(self, *types: str) -> None:
        self.listens = [Listen(signal=type, type=type) for type in types]
        self.all = len(types) > 1

    async def matches(self, index: int, event: Mapping[str, Any]) -> bool:
        return hears(self.listens[index], event)


class ListeningPrograms(NativePrograms):
    """All runs hear events of the types that they wait for; some workflows are started by events."""

    def compile(self, document: str) -> Compiled:
        trigger = {BEGUN: Beginning(BEGIN), JOINED: Beginning(LEFT, RIGHT)}.get(document)
        listens = tuple(Listen(signal=type, type=type) for type in SIGNALS)
        return msgspec.structs.replace(super().compile(document), listens=listens, trigger=trigger)


class ListeningWorld(World):
    def kinds(self, loop: VirtualLoop) -> Sequence[Programs]:  # noqa: ARG002  # a loop of others
        programs = ListeningPrograms()
        for name, program in self.programs.items():
            programs.add(name, program(self.lab))
        return [programs]

    async def save_definitions(self, engine: Engine) -> None:
        for name in self.programs:
            await engine.save(kind="python", name=name, version="1", text=name)


Command = Callable[[Engine, str, Actor, Random], Awaitable[Any]]


async def _signal(engine: Engine, run_id: str, actor: Actor, rng: Random) -> bool:
    await engine.signal(run_id, rng.choice(SIGNALS), actor.id, id=actor.id, actor=actor)
    if rng.random() < 0.2:
        await engine.signal(run_id, rng.choice(SIGNALS), actor.id, id=actor.id, actor=actor)
    return True


async def _decide(engine: Engine, run_id: str, actor: Actor, rng: Random) -> bool:
    state = await engine.state(run_id)
    approvals = [step.approval.id for step in state.steps.values() if step.approval is not None]
    if not approvals:
        return False
    await engine.decide_approval(run_id, rng.choice(approvals), approved=rng.random() < 0.7, actor=actor)
    return True


async def _roll_back(engine: Engine, run_id: str, actor: Actor, rng: Random) -> bool:
    state = await engine.state(run_id)
    return await engine.roll_back(run_id, rng.randint(1, state.seq), actor=actor)


COMMANDS: dict[Command, int] = {
    _signal: 10,
    _decide: 8,
    _roll_back: 1,
    lambda engine, run_id, actor, _: engine.retry(run_id, actor=actor): 3,
    lambda engine, run_id, actor, _: engine.pause(run_id, actor=actor): 4,
    lambda engine, run_id, actor, _: engine.resume(run_id, actor=actor): 5,
    lambda engine, run_id, actor, _: engine.cancel(run_id, actor=actor): 1,
    lambda engine, run_id, actor, _: engine.stop(run_id, actor=actor): 1,
    lambda engine, run_id, actor, _: engine.snapshot(run_id, "here", actor=actor): 1,
}


def seeds(part: int) -> range:
    chosen = os.environ.get("STEPWELL_SEED")
    if chosen is not None:
        return range(int(chosen), int(chosen) + 1) if part == 0 else range(0)
    return range(part, WORLDS, SLICES)


@pytest.mark.parametrize("part", range(SLICES))
def test_simulated_worlds_keep_every_invariant(part: int) -> None:
    for seed in seeds(part):
        try:
            Simulation(seed).play()
        except Exception as fault:
            raise AssertionError(f"world of seed {seed} failed; play it alone with STEPWELL_SEED={seed}") from fault

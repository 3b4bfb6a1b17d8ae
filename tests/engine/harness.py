"""A world to test the engine in: one database, a virtual clock, and a sequence of lives of an engine on it.

A life ends well (`close`), or it crashes: at the n-th write to the store, before or after it reached the disk, the
whole loop is thrown away and nothing is closed. What activities did is logged outside of the engine and survives.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import apsw
import structlog

from stepwell.core.errors import Problem, StepFailure, StorageUnavailableError
from stepwell.core.history import AnyEvent
from stepwell.core.program import Program, Programs, StepContext, Work
from stepwell.dispatch.local import LocalDispatch
from stepwell.dispatch.port import Dispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.programs.native import NativePrograms
from stepwell.store.model import Batch, CommitResult, Delivery, Loaded, OutboxItem, Record
from stepwell.store.sqlite import SqliteStore
from stepwell.store.sqlite.connection import connect, faults_named

from .invariants import check_invariants, read_history
from .virtual_time import START, VirtualLoop

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

T = TypeVar("T")
_names = itertools.count(1)
QUICK = EngineOptions(idle_s=0.2)


class Crashed(Exception):
    """The life ended at the crash point it was given."""


@dataclass(frozen=True)
class CrashAt:
    """The n-th write to the store, counted from 1: lost, or the last thing that happened."""

    number: int
    after: bool


@dataclass(frozen=True)
class Ran:
    """An activity began: what the disk held of its run at that moment."""

    run_id: str
    key: str
    attempt: int
    disk_seq: int
    life: int
    at: float = 0.0


class Lab:
    """Where activities do their work: it logs each beginning, and lets them take time and fail as told."""

    def __init__(self, disk: Any) -> None:
        self.ran: list[Ran] = []
        self.life = 0
        self.failed: Counter[tuple[str, str]] = Counter()
        self._disk = disk  # also keeps a database in memory alive between lives

    def disk_seq(self, run_id: str) -> int:
        return int(self._disk.execute("SELECT seq FROM run WHERE uuid = ?", (run_id,)).get or 0)

    def begins(self, step: StepContext) -> None:
        """An activity began."""
        now = asyncio.get_running_loop().time()
        self.ran.append(Ran(step.run_id, step.key, step.attempt, self.disk_seq(step.run_id), self.life, now))

    def does(
        self,
        value: Any = None,
        *,
        takes_s: float = 0.0,
        fails: int = 0,
        error: Problem | None = None,
        then: Callable[[StepContext], None] | None = None,
    ) -> Work:
        """An activity that returns `value` after `takes_s`; its first `fails` attempts fail (-1: all)."""

        async def work(step: StepContext) -> Any:
            self.begins(step)
            if takes_s:
                await asyncio.sleep(takes_s)
            if then is not None:
                then(step)
            if fails < 0 or self.failed[step.run_id, step.key] < fails:
                self.failed[step.run_id, step.key] += 1
                raise StepFailure(error or Problem(type="flaky", detail=f"{step.key} fails"))
            return value

        return work

    def times(self, run_id: str, key: str) -> int:
        return sum(ran.run_id == run_id and ran.key == key for ran in self.ran)

    def close(self) -> None:
        self._disk.close()


class Crashing:
    """A store that counts its writes, and dies at one of them. `rng` makes calls take their time.

    What it does is mixed into a store, whose own methods do the work.
    """

    def __init__(self, *place: Any, crash: CrashAt | None = None, rng: Random | None = None, **more: Any) -> None:
        super().__init__(*place, **more)
        self.writes = 0
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.full = False
        """Whether the disk has no space left: writes fail."""
        self.blind = False
        """Whether the disk cannot be read."""
        self.on_write: Callable[[int], None] | None = None
        self._crash = crash
        self._rng = rng

    def _store(self) -> Any:
        """What this is mixed into."""
        return super()

    async def _dawdle(self) -> None:
        if self._rng is not None:
            for _ in range(self._rng.choice((0, 0, 1, 2, 5))):
                await asyncio.sleep(0)
            if self._rng.random() < 0.1:
                await asyncio.sleep(0.01)

    async def _die(self) -> None:
        if not self.dead.done():
            self.dead.set_result(None)
        await asyncio.get_running_loop().create_future()

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T:
        """One write: the place where a crash may be."""
        await self._dawdle()
        if self.dead.done():
            await self._die()
        if self.full:
            raise StorageUnavailableError("the disk is full")
        self.writes += 1
        crash = self._crash if self._crash is not None and self._crash.number == self.writes else None
        if crash is not None and not crash.after:
            await self._die()
        result = await write()
        if crash is not None:
            await self._die()
        await self._dawdle()
        if self.dead.done():
            await self._die()
        if self.on_write is not None:
            self.on_write(self.writes)
        return result

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        found: list[CommitResult] = await self._written(lambda: self._store().commit(batches))
        return found

    async def put_outbox(self, items: Sequence[OutboxItem]) -> None:
        await self._written(lambda: self._store().put_outbox(items))

    async def put_record(self, record: Record, *, expect_version: int | None = None) -> bool:
        put: bool = await self._written(lambda: self._store().put_record(record, expect_version=expect_version))
        return put

    async def settle_outbox(self, done: Sequence[int], again: Sequence[tuple[int, float]]) -> None:
        await self._written(lambda: self._store().settle_outbox(done, again))

    async def settle_deliveries(self, settled: Sequence[Delivery]) -> None:
        await self._written(lambda: self._store().settle_deliveries(settled))

    async def snapshot(self, run: int, seq: int, state: bytes) -> None:
        await self._written(lambda: self._store().snapshot(run, seq, state))

    async def load(self, run_ids: Sequence[str], after_seq: int = 0) -> list[Loaded]:
        if self.blind:
            raise StorageUnavailableError("the disk cannot be read")
        loaded: list[Loaded] = await self._store().load(run_ids, after_seq)
        await self._dawdle()
        return loaded


class CrashingStore(Crashing, SqliteStore):
    """SQLite, without threads."""

    async def _on_writer(self, work: Callable[..., T], *values: Any) -> T:
        return work(*values)

    async def _query(self, work: Callable[[apsw.Connection], T]) -> T:
        with faults_named(self.path):
            return work(self._querying)

    async def drop(self) -> None:
        """Let go of the connections, as the kernel does when a process dies."""
        for connection in reversed(self._connections):
            connection.close()
        self._connections.clear()


class Database(Protocol):
    """Where a world's runs are kept over its lives."""

    def disk(self) -> Any:
        """What lies on disk: `execute(statement, values)` as of apsw, and `close()`."""

    def store(self, *, crash: CrashAt | None = None, rng: Random | None = None) -> Any:
        """A `Crashing` store of one life."""

    def dispatch(self, store: Any) -> Dispatch:
        """What drives runs in one life."""


class InMemory:
    """A database of SQLite; in memory, if `path` names no file."""

    def __init__(self, path: str = "") -> None:
        self.path = path or f"file:/world-{next(_names)}?vfs=memdb"

    def disk(self) -> Any:
        return connect(self.path)

    def store(self, *, crash: CrashAt | None = None, rng: Random | None = None) -> Any:
        return CrashingStore(self.path, crash=crash, rng=rng)

    def dispatch(self, store: Any) -> Dispatch:  # noqa: ARG002  # the protocol's signature
        return LocalDispatch()


class Life:
    """An engine at work, with a second one beside it that only sends commands (another process)."""

    def __init__(self, world: "World", engine: Engine, beside: Engine | None, store: Any) -> None:
        self.world = world
        self.engine = engine
        self._beside = beside
        self.store = store

    @property
    def beside(self) -> Engine:
        assert self._beside is not None
        return self._beside

    async def write_number(self, number: int) -> None:
        """Wait until the store has seen that many writes in this life."""
        while self.store.writes < number:
            reached = asyncio.get_running_loop().create_future()
            self.store.on_write = lambda _, reached=reached: reached.done() or reached.set_result(None)
            await reached


Scenario = Callable[[Life], Awaitable[T]]


@dataclass
class World:
    """`programs` maps a workflow's name to its program, given the lab."""

    programs: Mapping[str, Callable[[Lab], Program]]
    options: EngineOptions = QUICK
    two: bool = False
    rng: Random | None = None
    now: float = START
    database: Any = field(default_factory=InMemory)
    """A `Database`."""

    def __post_init__(self) -> None:
        self.lab = Lab(self.database.disk())
        self.writes = 0
        self._saved = False

    @property
    def path(self) -> str:
        """Of a database in memory."""
        return str(self.database.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        self.lab.close()

    def live(self, scenario: Scenario[T], *, crash: CrashAt | None = None) -> T:
        """One life: what the scenario returned; raises `Crashed` if the crash point was reached first."""
        loop = VirtualLoop(self.now)
        self.lab.life += 1
        try:
            return loop.run_until_complete(self._live(loop, scenario, crash))
        finally:
            _throw_away(loop)
            self.now = loop.time()

    async def _live(self, loop: VirtualLoop, scenario: Scenario[T], crash: CrashAt | None) -> T:
        store = self.database.store(crash=crash, rng=self.rng)
        engine = self.engine(store, loop)
        beside_store = self.database.store(rng=self.rng)
        beside = self.engine(beside_store, loop) if self.two else None
        try:
            living = asyncio.ensure_future(self._scenario(Life(self, engine, beside, store), scenario))
            await asyncio.wait((living, store.dead), return_when=asyncio.FIRST_COMPLETED)
            self.writes = store.writes
            if store.dead.done():
                raise Crashed
            return living.result()
        finally:
            here = asyncio.current_task()
            while others := [task for task in asyncio.all_tasks() if task is not here]:
                for task in others:
                    task.cancel()
                # One that reports its cancelling may wait for a write that never ends: so again, a little later.
                ended, _ = await asyncio.wait(others, timeout=1.0)
                await asyncio.gather(*ended, return_exceptions=True)
            await store.drop()
            await beside_store.drop()

    async def _scenario(self, life: Life, scenario: Scenario[T]) -> T:
        await life.engine.open()
        if not self._saved:
            await self.save_definitions(life.engine)
            self._saved = True
        if self.two:
            await life.beside.open(drive=False)
        result = await scenario(life)
        if self.two:
            await life.beside.close()
        await life.engine.close()
        return result

    async def save_definitions(self, engine: Engine) -> None:
        for name in self.programs:
            await engine.workflows.save(kind="python", name=name, version="1", text=name, now=self.now)

    def kinds(self, loop: VirtualLoop) -> Sequence[Programs]:  # noqa: ARG002  # other worlds need it
        """What turns definitions into programs in one life."""
        native = NativePrograms()
        for name, program in self.programs.items():
            native.add(name, program(self.lab))
        return [native]

    def engine(self, store: Any, loop: VirtualLoop) -> Engine:
        return Engine(
            store=store,
            dispatch=self.database.dispatch(store),
            programs=self.kinds(loop),
            clock=loop,
            options=self.options,
        )

    def history(self, run_id: str) -> list[AnyEvent]:
        """What the disk holds of a run."""
        disk = self.database.disk()
        try:
            number = disk.execute("SELECT id FROM run WHERE uuid = ?", (run_id,)).get
            return read_history(disk, number) if number is not None else []
        finally:
            disk.close()

    def histories(self) -> list[list[AnyEvent]]:
        """What the disk holds of every run."""
        disk = self.database.disk()
        try:
            return [read_history(disk, number) for (number,) in list(disk.execute("SELECT id FROM run"))]
        finally:
            disk.close()

    def check(self, *, crashes: int = 0, quiet: bool = True) -> None:
        """All invariants over the database and the log of activities."""
        disk = self.database.disk()
        try:
            check_invariants(disk, self.lab.ran, crashes=crashes, quiet=quiet, two=self.two)
        finally:
            disk.close()


def _throw_away(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

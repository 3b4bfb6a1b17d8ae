"""Dispatch on PgQueuer: queueing, delays, de-duplication, heartbeats, and a dead node's jobs done by another.

A job is a run to be driven; it stays picked while the run is driven. It is enqueued in the transaction that creates
or wakes the run, under the key `run_id:epoch`: with the id alone a wake-up would be lost, since de-duplication also
covers jobs that are picked. A job is a hint: its table is not even logged, and what is lost with it is handed out
again (`hand_out`) from the runs themselves.

A node drives the runs that it creates itself, while it has room: its record names the node, and the node has one job
for all of them (`presence`). Whoever picks up that job, which was its holder's until it died, hands them out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import asyncpg
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.domain.settings import DBSettings, Durability

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.dispatch.limits import Limit
from stepwell.dispatch.pgdriver import AWAY, PatientDriver
from stepwell.dispatch.port import Drive, NodeInfo
from stepwell.dispatch.presence import NODE, Presence, living, node_of

log = structlog.get_logger()

ENTRYPOINT: Final = "run"
FIRST: Final = ":0"
"""How the key of a run's first job ends."""
BEGUN: Final = 1
"""Priority of runs that have begun: a queue of new ones delays no signal, timer or decision."""
LOOKS: Final = 5
"""How often within that time jobs of a dead node are looked for: nobody tells."""
LOOK_EVERY_S: Final = 0.5
LAST_WORDS_S: Final = 2.0
"""What PgQueuer gets to give back the jobs in hand."""
ANSWER_S: Final = 2.0
BATCH: Final = 100
LOG_KEPT: Final = "10 minutes"
PRUNE_EVERY_S: Final = 60.0
_PRUNE: Final = f"""
    DELETE FROM pgqueuer_log WHERE id IN (
      SELECT id FROM pgqueuer_log WHERE created < now() - interval '{LOG_KEPT}' ORDER BY id LIMIT 50000
    )
"""
HandOut = Callable[[Sequence[str], int], Awaitable[None]]
"""Has runs driven by some node, where that has not been seen to. The number is that of this node: it drives none of
them."""
HandOver = Callable[[int], Awaitable[int]]
"""Hands out the runs that a node created and drove; how many they were."""


class PgQueuerJobs:
    """Puts runs on the queue (`store.postgres.jobs.Jobs`)."""

    def __init__(self, limits: Mapping[str, Limit] | None = None) -> None:
        self.limited = frozenset(limits or {})
        """Workflows whose runs wait on the queue, and not in the hands of the node that created them."""
        self.at_once = {name: limit.at_once for name, limit in (limits or {}).items() if limit.at_once is not None}
        """How many runs of a workflow all nodes drive."""

    async def install(self, connection: Any) -> None:
        """Make PgQueuer's tables, or bring them to this version."""
        queries = Queries(AsyncpgDriver(connection), qbe=QueryBuilderEnvironment(_settings()))
        async with queries.schema_lock():
            if await queries.schema_is_installed():
                for statement in (await queries.plan_upgrade()).statements:
                    await connection.execute(statement)
            else:
                await queries.install()

    async def enqueue(self, connection: Any, jobs: Sequence[tuple[str, str, str]]) -> None:
        await Queries(AsyncpgDriver(connection)).enqueue(
            [self.entrypoint(workflow) for _, _, workflow in jobs],
            [run_id.encode() for run_id, _, _ in jobs],
            [0 if key.endswith(FIRST) else BEGUN for _, key, _ in jobs],
            dedupe_key=[key for _, key, _ in jobs],
            on_conflict="skip",
        )

    def entrypoint(self, workflow: str) -> str:
        """The queue of a workflow: its own, where it has a limit."""
        return f"{ENTRYPOINT}/{workflow}" if workflow in self.at_once else ENTRYPOINT


class PgQueuerDispatch:
    """This node's share of the driving (`dispatch.port.Dispatch`).

    A node that has not said for `dead_after_s` seconds that it drives a run is taken for dead.
    """

    def __init__(
        self,
        url: str,
        *,
        jobs: PgQueuerJobs,
        hand_out: HandOut,
        hand_over: HandOver,
        max_active: int,
        dead_after_s: float,
    ) -> None:
        self._url = url
        self._jobs = jobs
        self._hand_out = hand_out
        self._hand_over = hand_over
        self._max_active = max_active
        self._dead_after_s = dead_after_s
        self._drive: Drive | None = None
        self._active: dict[str, float | None] = {}
        """Runs in our hands, and in how many seconds each is to be driven once more, if it is."""
        self._kept: set[asyncio.Task[None]] = set()
        """Those among them that were created here."""
        self._asked: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._manager: QueueManager | None = None
        self._driver: PatientDriver | None = None
        self._presence: Presence | None = None
        self._asking: PatientDriver | None = None
        """Tells which nodes there are; made when that is first asked for, also where nothing is driven."""
        self._stopped = asyncio.Event()

    @property
    def _stopping(self) -> bool:
        return self._stopped.is_set()

    def start(self, run_id: str, workflow: str) -> int:
        presence = self._presence
        if presence is None or self._stopping or self._full or workflow in self._jobs.limited:
            return 0
        self._active[run_id] = None
        task = asyncio.get_running_loop().create_task(self._drive_kept(run_id))
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return presence.node

    @property
    def _full(self) -> bool:
        return len(self._active) >= self._max_active

    def submit(self, run_id: str, delay_s: float = 0.0) -> None:
        if run_id in self._active:
            self._active[run_id] = delay_s
        elif delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self.submit, run_id)
        else:
            self._asked.add(run_id)
            self._wake.set()

    def interrupt(self, run_id: str) -> None:
        """Nothing to do: the store tells the node that drives the run of what others appended."""

    async def nodes(self) -> list[NodeInfo]:
        if self._asking is None:
            self._asking = PatientDriver(self._url)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await living(self._asking)
        except TimeoutError:
            message = "the database does not say which nodes there are"
            raise StorageUnavailableError(message, told=message) from None

    async def serve(self, drive: Drive) -> None:
        self._drive = drive
        self._driver = PatientDriver(self._url)
        manager = self._manager = QueueManager(Queries(self._driver))
        for workflow, limit in self._jobs.at_once.items():
            manager.entrypoint(self._jobs.entrypoint(workflow), concurrency_limit=limit)(self._do)
        manager.entrypoint(ENTRYPOINT)(self._do)
        manager.entrypoint(NODE)(self._bury)
        self._presence = Presence(self._driver, dead_after_s=self._dead_after_s, driven=lambda: len(self._active))
        try:
            await self._presence.say()
        except asyncpg.InsufficientPrivilegeError as fault:
            raise StorageError(
                f"the user of the database lacks a permission ({fault}): make it the owner of the database"
            ) from fault
        self._tasks = [
            asyncio.create_task(self._work(manager), name="stepwell-pgqueuer"),
            asyncio.create_task(self._presence.keep_saying(), name="stepwell-presence"),
            asyncio.create_task(self._hand_out_asked(), name="stepwell-hand-out"),
            asyncio.create_task(self._prune(self._driver), name="stepwell-pgqueuer-log"),
        ]

    async def stop(self, grace_s: float) -> None:
        self._stopped.set()
        if self._asking is not None:
            await self._asking.close()
        if self._manager is None or self._driver is None or self._presence is None:
            return
        if not self._tasks:  # it could not begin
            await self._driver.close()
            return
        self._manager.shutdown.set()
        working, saying, *others = self._tasks
        for task in others:
            task.cancel()
        await asyncio.gather(self._let_go(grace_s, saying), asyncio.wait([working], timeout=grace_s + LAST_WORDS_S))
        self._driver.give_up()
        for task in (working, saying):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._driver.close()

    async def _let_go(self, grace_s: float, saying: asyncio.Task[None]) -> None:
        """The runs that were created here end, or are handed out; until then this node says that it lives."""
        if self._kept:
            _, late = await asyncio.wait(self._kept, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        assert self._presence is not None
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._hand_over(self._presence.node)
                saying.cancel()
                await asyncio.wait([saying])
                await self._presence.end()
        except Exception as fault:  # noqa: BLE001  # the other nodes find out by themselves
            log.warning("dispatch.not_handed_over", error=str(fault))

    # --- jobs -------------------------------------------------------------------------------------------------------

    async def _work(self, manager: QueueManager) -> None:
        batch = max(1, min(BATCH, self._max_active // 2))
        while not self._stopping:
            try:
                await manager.run(
                    dequeue_timeout=timedelta(seconds=min(LOOK_EVERY_S, self._dead_after_s / LOOKS)),
                    batch_size=batch,
                    max_concurrent_tasks=max(2, self._max_active),
                    heartbeat_timeout=timedelta(seconds=self._dead_after_s),
                )
            except Exception:  # the node would drive nothing any more, and say nothing
                log.exception("dispatch.failed")
                await asyncio.sleep(LOOK_EVERY_S)

    async def _do(self, job: Job) -> None:
        """Drive one run; once more when that was asked for meanwhile. Handed over when this node is stopping."""
        run_id = (job.payload or b"").decode()
        if self._stopping or run_id in self._active:
            raise RetryRequested(timedelta(0), "this node is stopping, or has the run still in hand")
        if self._full:
            raise RetryRequested(timedelta(seconds=LOOK_EVERY_S), "this node has no room")
        try:
            _, again = await self._drive_on(run_id)
        finally:
            del self._active[run_id]
        if again is not None:
            raise RetryRequested(timedelta(seconds=again), "to be driven once more")

    async def _drive_kept(self, run_id: str) -> None:
        """Drive a run that was created here, again and again if that is asked for; hand it out if we cannot."""
        able = False
        try:
            able, again = await self._drive_on(run_id)
            while again is not None and not self._stopping:
                with suppress(TimeoutError):
                    async with asyncio.timeout(again):
                        await self._stopped.wait()
                able, again = await self._drive_on(run_id)
        except Exception:  # a bug, since `Drive` has its faults behind it
            log.exception("run.driver_failed", run_id=run_id)
        finally:
            del self._active[run_id]
        if not (able or self._stopping):
            self.submit(run_id)

    async def _drive_on(self, run_id: str) -> tuple[bool, float | None]:
        """Drive a run, also anew. Whether we can, and after how many seconds it is to be driven again, if it is."""
        assert self._drive is not None
        able, again = True, 0.0 if not self._stopping else None
        while again == 0.0 and not self._stopping:
            self._active[run_id] = None
            able = await self._drive(run_id)
            again = self._active[run_id]
        return able, again

    async def _bury(self, job: Job) -> None:
        """A node has not said for too long that it lives: hand out the runs that it drove. We ourselves do live."""
        node = node_of(job)
        if self._presence is not None and node == self._presence.node:
            await self._stopped.wait()
            return
        while not self._stopping:
            try:
                log.warning("node.lost", node=node, runs=await self._hand_over(node))
            except StorageError as fault:
                log.warning("dispatch.not_handed_over", node=node, error=str(fault))
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return
        raise RetryRequested(timedelta(0), "this node is stopping")

    # --- runs without a job -----------------------------------------------------------------------------------------

    async def _hand_out_asked(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked, self._asked = sorted(self._asked), set()
            assert self._presence is not None
            try:
                await self._hand_out(asked, self._presence.node)
            except Exception as fault:  # noqa: BLE001  # the duty that asked for it asks again
                log.warning("dispatch.not_handed_out", runs=len(asked), error=str(fault))

    async def _prune(self, driver: PatientDriver) -> None:
        """PgQueuer keeps a line for each thing that happened to a job."""
        while True:
            await asyncio.sleep(PRUNE_EVERY_S)
            try:
                await driver.execute(_PRUNE)
            except (*AWAY, asyncpg.PostgresError) as fault:
                log.warning("dispatch.log_not_pruned", error=str(fault))


def _settings() -> DBSettings:
    return DBSettings(durability=Durability.volatile)

"""That a node lives: one job on PgQueuer's queue for all the runs that it created and drives.

The node holds the job and says so by its heartbeats; when it is dead the job is picked up by another node, as any job
of a dead node is. A node that was taken for dead, or whose job went with the queue's table, finds that it has none
and gets a new one.
"""

import asyncio
import secrets
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
from pgqueuer.ports.driver import Driver
from pgqueuer.ports.repository import EntrypointExecutionParameter

from stepwell.dispatch.here import here
from stepwell.dispatch.pgdriver import AWAY, PatientDriver
from stepwell.dispatch.port import NodeInfo

log = structlog.get_logger()
NODE: Final = "node"
"""The queue of such jobs."""
SAYS: Final = 4
"""How often a node says that it lives in the time after which it is taken for dead."""
MANY: Final = 1_000
"""More than there are nodes."""
NEVER: Final = timedelta(days=10_000)
BEFORE: Final = timedelta(seconds=-1)
"""A job is not picked up at its instant but after it, and a transaction is over in an instant."""


_BEAT: Final = "UPDATE pgqueuer SET heartbeat = now(), payload = $2 WHERE id = $1"
_LIVING: Final = f"""
    SELECT payload, greatest(0, extract(epoch FROM now() - heartbeat))::float8 AS silent_s
      FROM pgqueuer WHERE entrypoint = '{NODE}' AND status = 'picked' ORDER BY id LIMIT {MANY}
"""


class Said(NodeInfo, frozen=True, kw_only=True):
    """What a node's job tells, as JSON. `node` is the node's number."""

    node: int


def node_of(job: Job) -> int:
    """The number of the node that a job stands for."""
    return msgspec.json.decode(job.payload or b"", type=Said).node


async def living(driver: Driver) -> list[NodeInfo]:
    """The nodes that have jobs, a dead one too until it is noticed."""
    rows: list[dict[str, Any]] = await driver.fetch(_LIVING)
    found = [
        msgspec.structs.replace(msgspec.json.decode(row["payload"], type=Said), silent_s=row["silent_s"])
        for row in rows
    ]
    return sorted(found, key=lambda node: (node.host, node.pid))


class Presence:
    """One node's. `node` is its number, made by chance: another start of the process is another node. `driven` tells
    how many runs it drives.
    """

    def __init__(self, driver: PatientDriver, *, dead_after_s: float, driven: Callable[[], int]) -> None:
        self.node = secrets.randbits(62) + 1
        self._driver = driver
        self._driven = driven
        self._dead_after_s = dead_after_s
        self._holder = QueueManagerId(uuid.uuid4())
        self._job: Job | None = None

    async def say(self) -> None:
        """Say that this node lives; waits while the database is away."""
        for job in await self._driver.together(self._get_or_beat):
            if node_of(job) == self.node:
                self._job = job

    async def keep_saying(self) -> None:
        """Say so until cancelled."""
        while True:
            await asyncio.sleep(self._dead_after_s / SAYS)
            try:
                await self.say()
            except (*AWAY, asyncpg.PostgresError) as fault:
                log.warning("dispatch.presence_not_told", error=str(fault))

    async def end(self) -> None:
        """This node has handed its runs over: nobody need notice that it is gone."""
        job, self._job = self._job, None
        if job is not None:
            await Queries(self._driver).log_jobs([(job, "successful", None)])

    async def _get_or_beat(self, connection: Any) -> Sequence[Job]:
        """Put the job on the queue and pick it up, in one transaction: nobody else comes in between.

        If it is there, a heartbeat will do.
        """
        queries = Queries(AsyncpgDriver(connection))
        payload, key = self._said(), f"{NODE}:{self.node}"
        (new,) = await queries.enqueue([NODE], [payload], [0], [BEFORE], dedupe_key=[key], on_conflict="skip")
        if new is None:
            if self._job is not None:
                await connection.execute(_BEAT, self._job.id, payload)
            return ()
        return await queries.dequeue(
            batch_size=MANY,
            entrypoints={QueueEntrypoint(NODE): EntrypointExecutionParameter(concurrency_limit=0)},
            queue_manager_id=self._holder,
            global_concurrency_limit=None,
            heartbeat_timeout=NEVER,  # jobs of the dead are for those who see to them
        )

    def _said(self) -> bytes:
        info = here(self._driven())
        return msgspec.json.encode(Said(node=self.node, **msgspec.structs.asdict(info)))

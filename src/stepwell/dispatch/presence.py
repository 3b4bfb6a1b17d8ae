"""That a node lives: one job on PgQueuer's queue for all the runs that it created and drives.

The node holds the job and says so by its heartbeats; when it is dead the job is picked up by another node, as any job
of a dead node is. A node that was taken for dead, or whose job went with the queue's table, finds that it has none
and gets a new one.
"""

import asyncio
import secrets
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter

from stepwell.dispatch.pgdriver import AWAY, PatientDriver

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


def node_of(job: Job) -> int:
    """The number of the node that a job stands for."""
    return int(job.payload or b"0")


class Presence:
    """One node's. `node` is its number, made by chance: another start of the process is another node."""

    def __init__(self, driver: PatientDriver, *, dead_after_s: float) -> None:
        self.node = secrets.randbits(62) + 1
        self._driver = driver
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
        payload, key = str(self.node).encode(), f"{NODE}:{self.node}"
        (new,) = await queries.enqueue([NODE], [payload], [0], [BEFORE], dedupe_key=[key], on_conflict="skip")
        if new is None:
            if self._job is not None:
                await queries.update_heartbeat([self._job.id])
            return ()
        return await queries.dequeue(
            batch_size=MANY,
            entrypoints={QueueEntrypoint(NODE): EntrypointExecutionParameter(concurrency_limit=0)},
            queue_manager_id=self._holder,
            global_concurrency_limit=None,
            heartbeat_timeout=NEVER,  # jobs of the dead are for those who see to them
        )

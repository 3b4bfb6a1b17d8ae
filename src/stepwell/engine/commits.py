"""Group commit: runs that have something to write share a transaction, and a flush to disk.

A source (a run's driver) says that it has news; the committer asks every such source for its batch, writes them
together, and tells each what became of it. Nobody is shown an event before that.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from stepwell.core.errors import NotRecordableError, StorageError
from stepwell.store.model import Batch, CommitResult, Unwritten
from stepwell.store.port import RunStore

log = structlog.get_logger()
MAX_GROUP: Final = 256
"""Batches in one transaction: so many runs that begin together do so in several groups, of which the store writes one
while what follows from another is decided.
"""
TURNS: Final = 4
"""Of the loop, before a group is taken: they let the runs that the last commit woke add their next batch, a new run
its first step, and the loop of a hosted workflow what follows from a step.
"""


class Source(Protocol):
    """Something that has batches to commit: a run's driver."""

    def take_batch(self) -> Batch | None:
        """What is to be committed now, if anything; it is in flight until `settled` or `failed`."""

    def settled(self, result: CommitResult) -> None:
        """The batch taken last is on disk, or lost against somebody else."""

    def failed(self, fault: StorageError) -> None:
        """The store could not write the group."""


class Committer:
    """A loop for each of the store's lines, which commits group after group while there is news. One line at a time
    tells its group and takes the next: the store writes the one group while what follows from the other is decided.

    No run has batches in two groups that are on their way, so that those may come to their end in any order.

    `at_boundary` is called with `before_commit` and `after_commit`: tests let the process die there.
    """

    def __init__(self, store: RunStore, *, at_boundary: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._at_boundary = at_boundary
        self._news: list[Source] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        """Of the line that tells, and then takes."""
        self._under_way = 0
        self.on_outbox: Callable[[], None] | None = None
        """Called after a commit that wrote outbox items or webhooks."""
        self._failing = False
        self.groups = 0
        self.batches = 0
        self.wrote: Callable[[int, float], None] | None = None
        """Called after each transaction with its batches and the seconds it took."""

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._commit_groups(), name="stepwell-committer") for _ in range(self._store.lines)
        ]

    async def stop(self) -> None:
        """Commit what is waiting, then end."""
        await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def announce(self, source: Source) -> None:
        """`source` has a batch; call once per batch."""
        self._news.append(source)
        if len(self._news) == 1:  # it sleeps, or will find the rest by itself
            self._wake.set()
            self._idle.clear()

    async def _commit_groups(self) -> None:
        group: list[tuple[Source, Batch]] = []
        results: Sequence[CommitResult] = ()
        while True:
            if not group:
                await self._wake.wait()
            async with self._turn:
                self._tell(group, results)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                self._under_way -= bool(group)
                group = self._take_group()
                self._under_way += bool(group)
                self._look_idle()
            results = await self._commit(group)

    def _take_group(self) -> list[tuple[Source, Batch]]:
        sources, self._news = self._news[:MAX_GROUP], self._news[MAX_GROUP:]
        if not self._news:
            self._wake.clear()
        return _batches_of(sources)

    def _look_idle(self) -> None:
        if not (self._news or self._under_way):
            self._idle.set()

    async def _commit(self, group: list[tuple[Source, Batch]]) -> Sequence[CommitResult]:
        """Have a group written. The store's fault is the answer to each batch that suffered from it."""
        if not group:
            return ()
        began = time.perf_counter()
        try:
            if self._at_boundary is not None:
                self._at_boundary("before_commit")
            results = await self._store.commit([batch for _, batch in group])
            if self._at_boundary is not None:
                self._at_boundary("after_commit")
        except NotRecordableError as fault:
            if len(group) > 1:  # only the run that it belongs to is to suffer
                return [result for pair in group for result in await self._commit([pair])]
            log.error("commit.not_recordable", run_id=group[0][1].run_id, error=str(fault))
            return [Unwritten(fault)]
        except StorageError as fault:
            if not self._failing:  # once for a full disk, not once a second
                log.error("commit.failed", error=str(fault))
            self._failing = True
            return [Unwritten(fault)] * len(group)
        except Exception as fault:  # a bug: the line goes on, the runs of the group are read again
            log.exception("commit.failed")
            return [Unwritten(StorageError(f"the commit failed: {fault!r}"))] * len(group)
        if self._failing:
            log.info("commit.works_again")
        self._failing = False
        self.groups += 1
        self.batches += len(group)
        if self.wrote is not None:
            self.wrote(len(group), time.perf_counter() - began)
        for (_, batch), result in zip(group, results, strict=True):
            if type(result) is Unwritten:
                log.error("commit.failed", run_id=batch.run_id, error=str(result.fault))
        return results

    def _tell(self, group: list[tuple[Source, Batch]], results: Sequence[CommitResult]) -> None:
        """Tell the sources what became of a group."""
        told = False
        for (source, batch), result in zip(group, results, strict=True):
            try:
                if type(result) is Unwritten:
                    source.failed(result.fault)
                    continue
                source.settled(result)
            except Exception:  # a bug: the others are told all the same
                log.exception("commit.not_told", run_id=batch.run_id)
            told = told or bool(batch.outbox or batch.deliveries)
        if told and self.on_outbox is not None:
            self.on_outbox()


def _batches_of(sources: list[Source]) -> list[tuple[Source, Batch]]:
    """What there is to commit. What cannot be written as JSON (a lone surrogate, say) fails its own run only."""
    group = []
    for source in sources:
        try:
            batch = source.take_batch()
        except (TypeError, ValueError, RecursionError) as fault:
            source.failed(NotRecordableError(f"this cannot be put on record: {fault}"))
        except Exception as fault:  # a bug: the others are written all the same
            log.exception("commit.not_taken")
            source.failed(StorageError(f"the commit failed: {fault!r}"))
        else:
            if batch is not None:
                group.append((source, batch))
    return group

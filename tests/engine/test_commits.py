"""Group commit with more sources than a group holds, on one line and on several: each batch is written once."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from stepwell.core.errors import StorageError, StorageUnavailableError
from stepwell.engine.commits import MAX_GROUP, Committer
from stepwell.store.model import Batch, CommitResult, Committed
from stepwell.store.port import RunStore

SOURCES = 2 * MAX_GROUP + 16
TURNS_OF_DISK = 20
"""Of the loop, which a group takes to be written."""
BATCHES = 5


class Disk:
    """Takes every group but one; notes how many runs wrote what."""

    def __init__(self, lines: int, *, fails_at: int = 0) -> None:
        self.lines = lines
        self.written: list[tuple[int, int]] = []
        self.at_once = 0
        """Groups that were on their way together, at most."""
        self._fails_at = fails_at
        self._groups = 0
        self._under_way = 0

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        self._groups += 1
        group = self._groups
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        for _ in range(TURNS_OF_DISK):
            await asyncio.sleep(0)
        self._under_way -= 1
        if group == self._fails_at:
            raise StorageUnavailableError("the disk is full")
        self.written += [(batch.run, batch.base_seq) for batch in batches]
        return [Committed(batch.run) for batch in batches]


class Run:
    """A run that has its next batch a turn of the loop after the last was settled."""

    def __init__(self, committer: Committer, number: int) -> None:
        self._committer = committer
        self._number = number
        self.settled_batches = 0
        self.lost = 0
        self.in_flight = False

    def go_on(self) -> None:
        self._committer.announce(self)

    def take_batch(self) -> Batch:
        assert not self.in_flight, "one batch of a run at a time"
        self.in_flight = True
        return Batch(
            run=self._number, run_id=str(self._number), base_seq=self.settled_batches, epoch=0, count=1,
            events=b"[]", step="", attempts=0,
        )  # fmt: skip

    def settled(self, result: CommitResult) -> None:
        assert result == Committed(self._number), "its own answer"
        self.settled_batches += 1
        self._end()

    def failed(self, fault: StorageError) -> None:  # noqa: ARG002  # the protocol's signature
        self.lost += 1
        self._end()

    def _end(self) -> None:
        assert self.in_flight
        self.in_flight = False
        if self.settled_batches < BATCHES:
            asyncio.get_running_loop().call_soon(self.go_on)


class Broken(Disk):
    """Has a bug, which shows once."""

    async def commit(self, batches: Sequence[Batch]) -> list[CommitResult]:
        if self._groups == 1:
            self._groups += 1
            raise RuntimeError("a bug")
        return await super().commit(batches)


async def all_runs(disk: Disk) -> list[Run]:
    """The runs after all is committed."""
    committer = Committer(cast(RunStore, disk))
    runs = [Run(committer, number) for number in range(1, SOURCES + 1)]
    committer.start()
    for run in runs:
        run.go_on()
    async with asyncio.timeout(60):
        while any(run.settled_batches < BATCHES for run in runs):  # noqa: ASYNC110  # the committer tells only its sources
            await asyncio.sleep(0)
        await committer.stop()
    return runs


@pytest.mark.parametrize("lines", [1, 2, 3])
async def test_each_batch_is_written_once_and_in_order(lines: int) -> None:
    disk = Disk(lines)
    runs = await all_runs(disk)
    for number in range(1, SOURCES + 1):
        assert [seq for run, seq in disk.written if run == number] == list(range(BATCHES))
    assert not any(run.in_flight for run in runs)
    assert disk.at_once == lines, "each line writes while others decide"


@pytest.mark.parametrize("fails_at", [1, 2, 3])
@pytest.mark.parametrize("lines", [1, 2])
async def test_group_that_fails_takes_no_other_along(lines: int, fails_at: int) -> None:
    disk = Disk(lines, fails_at=fails_at)
    runs = await all_runs(disk)
    for number in range(1, SOURCES + 1):
        assert [seq for run, seq in disk.written if run == number] == list(range(BATCHES))
    assert 0 < sum(run.lost for run in runs) <= SOURCES
    assert max(run.lost for run in runs) == 1


@pytest.mark.parametrize("lines", [1, 2])
async def test_bug_in_the_store_stops_no_line(lines: int) -> None:
    runs = await all_runs(Broken(lines))
    assert 0 < sum(run.lost for run in runs) <= SOURCES
    assert max(run.lost for run in runs) == 1


@pytest.mark.parametrize("lines", [1, 2])
async def test_bug_in_one_that_is_told_stops_no_line(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Run.settled

    def broken(run: Run, result: CommitResult) -> None:
        settled(run, result)
        if run._number == 7:
            raise RuntimeError("a bug")

    monkeypatch.setattr(Run, "settled", broken)
    runs = await all_runs(Disk(lines))
    assert all(run.settled_batches == BATCHES for run in runs)

"""Reading runs together: who asks meanwhile shares the next statement, and no fate with the others."""

import asyncio
from collections.abc import Sequence

import pytest

from stepwell.core.errors import StorageUnavailableError
from stepwell.store.model import Loaded
from stepwell.store.postgres.together import Together


class Server:
    """Answers when it is let; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answers = asyncio.Event()
        self.broken: Exception | None = None

    async def get_all(self, run_ids: Sequence[str]) -> list[Loaded]:
        self.asked.append(list(run_ids))
        await self.answers.wait()
        if self.broken is not None and "bad" in run_ids:
            raise self.broken
        return [_loaded(run_id) for run_id in run_ids if run_id != "none"]


def _loaded(run_id: str) -> Loaded:
    return Loaded(run=1, run_id=run_id, epoch=0, seq=1, events=[], next_item=1, live=True)


async def test_who_asks_meanwhile_shares_the_next_statement() -> None:
    server = Server()
    together = Together(server.get_all)
    first = asyncio.create_task(together.ask(["a"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(together.ask(run_ids)) for run_ids in (["a"], ["b", "none"], ["b"])]
    await asyncio.sleep(0)
    server.answers.set()
    found = [[one.run_id for one in await task] for task in (first, *rest)]
    assert found == [["a"], ["a"], ["b"], ["b"]]
    assert server.asked == [["a"], ["a", "b", "none"]], "what is true after the question, not before it"


async def test_one_who_is_cancelled_takes_nobody_along() -> None:
    server = Server()
    together = Together(server.get_all)
    leaves, stays = (asyncio.create_task(together.ask(["a"])) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    server.answers.set()
    assert [one.run_id for one in await stays] == ["a"]


async def test_run_that_cannot_be_read_fails_alone() -> None:
    server = Server()
    server.broken = ValueError("not a history")
    server.answers.set()
    together = Together(server.get_all)
    good, bad = (asyncio.create_task(together.ask([run_id])) for run_id in ("good", "bad"))
    assert [one.run_id for one in await good] == ["good"]
    with pytest.raises(ValueError, match="not a history"):
        await bad


async def test_store_that_is_away_fails_all() -> None:
    server = Server()
    server.broken = StorageUnavailableError("away")
    server.answers.set()
    together = Together(server.get_all)
    found = await asyncio.gather(together.ask(["good"]), together.ask(["bad"]), return_exceptions=True)
    assert [type(each) for each in found] == [StorageUnavailableError] * 2
    assert len(server.asked) == 1

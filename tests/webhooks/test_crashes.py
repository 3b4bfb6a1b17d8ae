"""Nothing that was committed stays untold, and nobody is told under a second id: crashes at every write."""

import asyncio
from collections.abc import Collection

import pytest

from engine.harness import CrashAt, Life
from engine.scenes import failing
from stepwell.core.run import fold
from stepwell.core.status import Status
from stepwell.webhooks import callbacks_id
from stepwell.webhooks.messages import Commit, Links, messages
from stepwell.webhooks.types import ENDED, TYPES

from .worlds import HOOK, HookedWorld, Receiver, crash, delivered, hooked, subscribe, webhooks_of

BACK = "https://back.example.com/"
WRITES = 40
"""More than a life makes."""


async def whole(life: Life, receiver: Receiver) -> None:  # noqa: ARG001
    """A run that fails and is retried, told of to its end. A second life goes on where the first came to."""
    if not webhooks_of(life.engine).listed(None):
        await subscribe(life.engine)
    run_id = (await life.engine.start("failing", start_key="only", callback_url=BACK)).run_id
    result = await life.engine.result(run_id)
    if result.status is Status.FAILED:
        await life.engine.retry(run_id)
        await life.engine.result(run_id)
    await delivered(life.engine)


def told(world: HookedWorld, url: str) -> set[tuple[str, str]]:
    return {(one.id, one.type) for one in world.receiver.got if one.url == url}


def to_be_told(world: HookedWorld, types: Collection[str]) -> set[tuple[str, str]]:
    """What follows from the history on disk."""
    events = world.history(world.receiver.got[0].data["run_id"])
    commit = Commit(state=fold(events), events=events, base_seq=0, touched=())
    return {(one.id, one.type) for one in messages(commit, frozenset(types), Links())}


def test_a_life_without_crashes_tells_everything_once() -> None:
    with hooked({"failing": failing}) as world:
        world.live(lambda life: whole(life, world.receiver))
        assert len({(one.url, one.id) for one in world.receiver.got}) == len(world.receiver.got)
        assert world.writes < WRITES
        assert {kind for _, kind in told(world, BACK)} == {ENDED[0], ENDED[1]}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, WRITES))
def test_a_crash_at_any_write_loses_no_webhook_and_keeps_its_id(number: int, after: bool) -> None:
    with hooked({"failing": failing}) as world:
        if crash(world, whole, CrashAt(number, after)):
            world.live(lambda life: whole(life, world.receiver))
        assert told(world, HOOK) == to_be_told(world, TYPES)
        assert told(world, BACK) == to_be_told(world, ENDED)
        assert len({(one.url, one.id, one.content) for one in world.receiver.got}) == len(
            {(one.url, one.id) for one in world.receiver.got}
        ), "one id, two bodies"


def test_a_receiver_may_get_a_message_twice_after_a_crash_under_one_id() -> None:
    with hooked({"failing": failing}) as world:
        world.receiver.takes_s = 0.05
        twice = False
        for number in range(1, WRITES):
            world.receiver.got.clear()
            with hooked({"failing": failing}) as again:
                again.receiver = world.receiver
                if crash(again, whole, CrashAt(number, after=False)):
                    again.live(lambda life: whole(life, world.receiver))
            ids = [(one.url, one.id) for one in world.receiver.got]
            twice = twice or len(ids) > len(set(ids))
        assert twice


def test_what_was_told_to_a_callback_address_is_listed() -> None:
    with hooked({"failing": failing}) as world:

        async def scenario(life: Life) -> None:
            await whole(life, world.receiver)
            await asyncio.sleep(0)
            found = await webhooks_of(life.engine).deliveries("", callbacks_id(""))
            assert sorted(one.type for one in found) == sorted([ENDED[0], ENDED[1]])
            assert {one.status for one in found} == {"delivered"}

        world.live(scenario)

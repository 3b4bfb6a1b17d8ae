"""Watching: from any point on, everything once, in order, and nothing before it is durable."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stepwell.core.errors import RunNotFoundError
from stepwell.core.program import Program, RunContext
from stepwell.engine import Seen
from stepwell.engine.ids import new_id
from stepwell.engine.journal import Journal
from stepwell.store.model import StreamItem

from .harness import Lab, Life
from .scenes import failing, play, until, waiting


def talking(lab: Lab) -> Program:
    """Steps, items of the program and items of activities, and a wait in the middle."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        for n in range(10):
            await ctx.publish(f"/publish@{n}", n)
            await ctx.step(f"/loop@{n}", lab.does(n, takes_s=0.01, then=lambda step: step.think("hm")))
        await ctx.wait("/wait", "go")
        for n in range(10, 20):
            await ctx.step(f"/loop@{n}", lab.does(n, then=lambda step: step.progress(0.5)))

    return program


async def watch(life: Life, run_id: str, after_seq: int = 0, after_item: int = 0) -> list[Seen]:
    return [seen async for seen in life.engine.watch(run_id, after_seq=after_seq, after_item=after_item)]


def logs(seen: list[Seen]) -> tuple[list[Any], list[Any]]:
    """The two logs that a watcher saw: events with their seq, items with their number."""
    events = [(one.seq, type(one.event).__name__) for one in seen if one.event is not None]
    items = [(one.item_number, one.item.n, one.item.data) for one in seen if one.item is not None]
    return events, items


def test_watchers_of_any_time_see_the_same() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        early = [asyncio.ensure_future(watch(life, run_id)) for _ in range(20)]
        await until(life.engine, run_id, lambda state: bool(state.waits))
        middle = [asyncio.ensure_future(watch(life, run_id)) for _ in range(20)]
        await asyncio.sleep(2)  # parked in the meantime
        await life.engine.signal(run_id, "go")
        seen = [logs(one) for one in await asyncio.gather(*early, *middle)]
        seen.append(logs(await watch(life, run_id)))
        assert all(one == seen[0] for one in seen)
        events, items = seen[0]
        assert [seq for seq, _ in events] == list(range(1, len(await life.engine.history(run_id)) + 1))
        assert [number for number, _, _ in items] == [n for _, n, _ in items] == list(range(1, 31))
        assert life.engine.watchers.channels == {}

    play({"talking": talking}, scenario, quiet=True)


def publishing(lab: Lab) -> Program:  # noqa: ARG001
    """An item that is published in the moment in which a signal comes."""

    async def program(ctx: RunContext, input: Any) -> Any:  # noqa: ARG001
        await ctx.wait("/wait", "go")
        for _ in range(3):
            await asyncio.sleep(0)  # the signal's batch is under way now
        await ctx.publish("/publish", "x")

    return program


@pytest.mark.parametrize("others_first", [False, True], ids=["written", "lost to another process"])
def test_item_that_follows_a_batch_under_way_is_no_part_of_it(others_first: bool) -> None:
    async def scenario(life: Life) -> None:
        engine, begun, goes_on = life.engine, asyncio.Event(), asyncio.Event()
        run_id = (await engine.start("publishing")).run_id
        await until(engine, run_id, lambda state: bool(state.waits))
        watching, commit = asyncio.ensure_future(watch(life, run_id)), life.store.commit

        async def held(batches: Any) -> Any:
            begun.set()
            await goes_on.wait()
            return await commit(batches)

        life.store.commit = held
        signalling = asyncio.ensure_future(engine.signal(run_id, "go"))
        await begun.wait()
        await asyncio.sleep(0.001)  # of its own time: the program has gone on to its item
        if others_first:
            await life.beside.signal(run_id, "other")
        goes_on.set()
        await signalling
        assert logs(await watching)[1] == [(1, 1, "x")]
        assert [item.data for item in await engine.store.stream(run_id, 0, -1)] == ["x"]

    play({"publishing": publishing}, scenario, quiet=True, two=True)


def test_whole_history_is_at_hand_for_who_keeps_it_from_the_start() -> None:
    async def scenario(life: Life) -> None:
        engine, run_id = life.engine, new_id(life.engine.clock.now())
        with engine.watchers.keeping(run_id):
            await engine.start("talking", run_id=run_id)
            await until(engine, run_id, lambda state: bool(state.waits))
            assert engine.watchers.events(run_id) == await engine.history(run_id)
            await engine.signal(run_id, "go")
            await engine.result(run_id)
            assert engine.watchers.events(run_id) == await engine.history(run_id)
            with engine.watchers.keeping(run_id):
                assert engine.watchers.events(run_id) == await engine.history(run_id)
        assert engine.watchers.events(run_id) is None
        assert engine.watchers.channels == {}

    play({"talking": talking}, scenario, quiet=True)


def test_part_of_a_history_is_not_taken_for_the_whole() -> None:
    async def scenario(life: Life) -> None:
        engine = life.engine
        run_id = (await engine.start("talking")).run_id
        await until(engine, run_id, lambda state: bool(state.waits))
        with engine.watchers.keeping(run_id):
            await engine.signal(run_id, "go")
            await engine.result(run_id)
            assert engine.watchers.events(run_id) is None, "what came before was not kept"
            view = await engine.view(run_id)
        assert len(view.steps) == 21

    play({"talking": talking}, scenario, quiet=True)


def test_watcher_that_resumes_anywhere_misses_nothing_and_sees_nothing_twice() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        await life.engine.signal(run_id, "go")
        live = await watch(life, run_id)
        whole = logs(live)
        for cut, last in enumerate(live, 1):
            rest = await watch(life, run_id, last.seq, last.item_number)
            assert logs([*live[:cut], *rest]) == whole

    play({"talking": talking}, scenario, quiet=True)


def test_nothing_is_shown_before_it_is_on_disk() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        await life.engine.signal(run_id, "go")
        async for seen in life.engine.watch(run_id):
            (loaded,) = await life.engine.store.load([run_id])
            assert seen.seq <= loaded.seq
            assert seen.item_number < loaded.next_item

    play({"talking": talking}, scenario, quiet=True)


def test_slow_watcher_reads_at_its_own_pace() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        await life.engine.signal(run_id, "go")
        seen = []
        async for one in life.engine.watch(run_id):
            seen.append(one)
            await asyncio.sleep(0.5)
        assert logs(seen) == logs(await watch(life, run_id))

    play({"talking": talking}, scenario, quiet=True)


def test_watcher_who_keeps_up_reads_nothing_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        watching = asyncio.ensure_future(watch(life, run_id))
        await until(life.engine, run_id, lambda state: bool(state.waits))
        read, stream = [], life.engine.store.stream

        async def counted(run_id: str, after: int, limit: int) -> list[StreamItem]:
            read.append(after)
            return await stream(run_id, after, limit)

        monkeypatch.setattr(life.engine.store, "stream", counted)
        await life.engine.signal(run_id, "go")
        assert len(logs(await watching)[1]) == 30
        assert read == []

    play({"talking": talking}, scenario, quiet=True)


def test_watch_of_a_retried_run_goes_on_after_its_failure() -> None:
    async def scenario(life: Life) -> None:
        failed = await life.engine.run("failing")
        first = await watch(life, failed.run_id)
        assert type(first[-1].event).__name__ == "RunFailed"
        await life.engine.retry(failed.run_id)
        rest = await watch(life, failed.run_id, first[-1].seq, first[-1].item_number)
        assert type(rest[0].event).__name__ == "RunRetried"
        assert type(rest[-1].event).__name__ == "RunCompleted"
        assert await watch(life, failed.run_id, rest[-1].seq) == []

    play({"failing": failing}, scenario, quiet=True)


def test_events_of_another_process_are_shown() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("waiting")).run_id
        watching = asyncio.ensure_future(watch(life, run_id))
        await until(life.engine, run_id, lambda state: bool(state.waits))
        await asyncio.sleep(1)
        await life.beside.cancel(run_id)
        assert type((await watching)[-1].event).__name__ == "RunCancelled"

    play({"waiting": waiting}, scenario, quiet=True, two=True)


def test_slow_watcher_misses_nothing_when_the_hint_of_another_process_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(life: Life) -> None:
        watchers = life.engine.watchers
        run_id = (await life.engine.start("waiting")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        watching = life.engine.watch(run_id)
        seen, held, committed = [await anext(watching)], [], watchers.committed

        def hold(journal: Journal, *commit: Any) -> None:
            known = {"saved_seq": journal.saved_seq, "saved_items": journal.saved_items}
            held.append((SimpleNamespace(state=journal.state, **known), *commit))

        monkeypatch.setattr(watchers, "committed", hold)
        await life.engine.pause(run_id)
        await life.beside.cancel(run_id)
        await until(life.engine, run_id, lambda state: state.terminal)
        for commit in held:
            committed(*commit)
        async with asyncio.timeout(60):
            seen += [one async for one in watching]
        assert [type(one.event).__name__ for one in seen[-2:]] == ["RunPaused", "RunCancelled"]
        assert [one.seq for one in seen] == list(range(1, len(seen) + 1))

    play({"waiting": waiting}, scenario, quiet=True, two=True)


def test_watching_ends_with_the_engine_and_starts_with_a_run() -> None:
    async def scenario(life: Life) -> None:
        with pytest.raises(RunNotFoundError):
            await watch(life, "01900000-0000-7000-8000-000000000000")
        run_id = (await life.engine.start("waiting")).run_id
        watching = asyncio.ensure_future(watch(life, run_id))
        await until(life.engine, run_id, lambda state: bool(state.waits))
        life.engine.watchers.close()
        assert (await watching)[-1].event is not None

    play({"waiting": waiting}, scenario)


def test_point_beyond_the_end_of_an_ended_run_ends_at_once() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        await life.engine.signal(run_id, "go")
        whole = await watch(life, run_id)
        assert await asyncio.wait_for(watch(life, run_id, 999, whole[-1].item_number), 5) == []

    play({"talking": talking}, scenario, quiet=True)


def test_point_beyond_what_a_run_has_reached_sees_what_follows() -> None:
    async def scenario(life: Life) -> None:
        run_id = (await life.engine.start("talking")).run_id
        await until(life.engine, run_id, lambda state: bool(state.waits))
        watching = asyncio.ensure_future(watch(life, run_id, 9999))
        await asyncio.sleep(1)
        await life.engine.signal(run_id, "go")
        seen = await asyncio.wait_for(watching, 60)
        assert seen[-1].seq == len(await life.engine.history(run_id))

    play({"talking": talking}, scenario, quiet=True)

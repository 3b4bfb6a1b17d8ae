"""A process to be killed: it drives runs of workflow objects on a database file until all have ended.

Its steps and acknowledgements are lines appended to files, which outlive it. Fail points are those of `..victim`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from workflows import Context, Workflow, step
from workflows.events import StartEvent, StopEvent

from stepwell.core.errors import RefusedError
from stepwell.dispatch.local import FileLock, LocalDispatch
from stepwell.engine import Engine, EngineOptions
from stepwell.engine.clock import SystemClock
from stepwell.programs.code import CodePrograms
from stepwell.store.sqlite import SqliteStore

from ..victim import at_boundary
from .hosting import post
from .samples import Answer, Ask, Name, Named

PATIENCE_S = 20.0
OUTPUT = ["yes", ["a", "b", "c"], {"a": 1, "b": 1, "c": 1}]


class Mixed(Workflow):
    """Three workers of one step at once, a failure that is tried again, a question, and all of it in the state."""

    write: Callable[[str], None]

    @step
    async def send(self, ctx: Context, ev: StartEvent) -> Name | None:  # noqa: ARG002
        for name in "abc":
            ctx.send_event(Name(name=name, takes=0.001))
        return None

    @step(num_workers=3)
    async def work(self, ctx: Context, ev: Name) -> Named:
        self.write(f"work {ev.name}")
        times = await ctx.store.get("times", default={})
        await ctx.store.set(f"times.{ev.name}", times.get(ev.name, 0) + 1)
        await asyncio.sleep(ev.takes)
        return Named(name=ev.name)

    @step
    async def collect(self, ctx: Context, ev: Named) -> Ask | None:
        found = ctx.collect_events(ev, [Named] * 3)
        if found is None:
            return None
        await ctx.store.set("names", sorted(event.name for event in found))
        return Ask(question="really?")

    @step
    async def end(self, ctx: Context, ev: Answer) -> StopEvent:
        state = await ctx.store.get_state()
        return StopEvent(result=[ev.text, state["names"], dict(sorted(state["times"].items()))])


class Victim:
    """One life."""

    def __init__(self, folder: Path, failpoint: str) -> None:
        self.folder = folder
        self.database = str(folder / "runs.db")
        self.boundaries = 0
        die = at_boundary(failpoint)

        def count(boundary: str) -> None:
            self.boundaries += boundary == "before_commit"
            if die is not None:
                die(boundary)

        mixed = Mixed(timeout=None)
        mixed.write = lambda line: self.write("ran", line)
        clock = SystemClock()
        code = CodePrograms(clock.now)
        code.add("mixed", mixed)
        self.engine = Engine(
            store=SqliteStore(self.database),
            dispatch=LocalDispatch(),
            programs=[code],
            clock=clock,
            options=EngineOptions(idle_s=0.02),
            at_boundary=count,
        )

    def write(self, name: str, line: Any) -> None:
        with open(self.folder / name, "ab", buffering=0) as file:
            file.write(msgspec.json.encode(line) + b"\n")

    async def live(self) -> None:
        lock = FileLock(self.database).acquire()
        await self.engine.open()
        await self.engine.save(kind="code", name="mixed", version="1", text="mixed")
        started = await self.engine.start("mixed", {}, start_key="the one")
        self.write("acknowledged", "start")
        await self._until_asked(started.run_id)
        result = await self.engine.result(started.run_id, timeout_s=PATIENCE_S)
        self.write("results", result.output)
        await self.engine.close()
        lock.release()
        self.write("boundaries", self.boundaries)

    async def _until_asked(self, run_id: str) -> None:
        """Answer once the question is on the stream; the same answer twice is one."""
        async with asyncio.timeout(PATIENCE_S):
            async for seen in self.engine.watch(run_id):
                if seen.item is not None and seen.item.data["type"] == "Ask":
                    await self._acknowledged(
                        post(self.engine, run_id, "mixed", {"type": "Answer", "value": {"text": "yes"}}, id="the one")
                    )
                    return

    async def _acknowledged(self, posting: Awaitable[None]) -> None:
        try:
            await posting
        except RefusedError:
            return  # it came before the kill, and the run has ended since
        self.write("acknowledged", "answer")


def main(folder: str, failpoint: str = "") -> None:
    asyncio.run(Victim(Path(folder), failpoint).live())

"""A workflow class, and a node that hosts it."""

import asyncio
import os

from workflows import Context, Workflow, step
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent

from stepwell import App
from stepwell.settings import Settings

PARTS = 4


class Part(Event):
    number: int


class Done(Event):
    number: int


class Ask(InputRequiredEvent):
    question: str


class Answer(HumanResponseEvent):
    text: str


class Counted(Workflow):
    """Counts its parts in the state, two at a time; then it may ask. Each invocation writes a line to the log."""

    file: int

    def log(self, run: str, key: str) -> None:
        os.write(self.file, f"{run} {key} {os.getpid()}\n".encode())

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Part | None:
        await ctx.store.set("takes", ev.get("takes", 0.0))
        await ctx.store.set("run", ev.get("run", "-"))
        await ctx.store.set("asks", ev.get("asks", False))
        for number in range(PARTS):
            ctx.send_event(Part(number=number))
        return None

    @step(num_workers=2)
    async def part(self, ctx: Context, ev: Part) -> Done:
        self.log(await ctx.store.get("run"), f"part{ev.number}")
        async with ctx.store.edit_state() as state:
            state[f"part{ev.number}"] = state.get(f"part{ev.number}", 0) + 1
        await asyncio.sleep(await ctx.store.get("takes"))
        return Done(number=ev.number)

    @step
    async def collect(self, ctx: Context, ev: Done) -> Ask | StopEvent | None:
        if ctx.collect_events(ev, [Done] * PARTS) is None:
            return None
        if await ctx.store.get("asks"):
            return Ask(question="well?")
        return await self._end(ctx, "nobody")

    @step
    async def answered(self, ctx: Context, ev: Answer) -> StopEvent:
        return await self._end(ctx, ev.text)

    async def _end(self, ctx: Context, who: str) -> StopEvent:
        state = await ctx.store.get_state()
        return StopEvent(result={"asked": who, "parts": [state[f"part{number}"] for number in range(PARTS)]})


def result(who: str = "nobody") -> dict[str, object]:
    """What each run ends with, however often it was taken over."""
    return {"asked": who, "parts": [1] * PARTS}


def app_on(url: str, log: str, dead_after_s: str = "2", *, drive: bool = True) -> App:
    """A node that hosts the class."""
    settings = Settings(db=url, idle_s=0.05, log_level="warning", dead_after_s=float(dead_after_s))
    app = App(settings=settings, drive=drive)
    workflow = Counted(timeout=None)
    workflow.file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    app.add_workflow("counted", workflow)
    return app

# ruff: noqa: ARG002  # a step names the event that it takes, whether it looks at it or not
"""Workflow classes as a user of `llama-index-workflows` writes them."""

import asyncio

from pydantic import BaseModel
from workflows import Context, Workflow, step
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent


class Tick(Event):
    n: int


class Greeting(StartEvent):
    name: str


class Greeted(StopEvent):
    text: str


class Question(InputRequiredEvent):
    text: str


class Reply(HumanResponseEvent):
    text: str


class Greet(Workflow):
    """Start and stop events of its own."""

    @step
    async def greet(self, ev: Greeting) -> Greeted:
        return Greeted(text=f"hello {ev.name}")


class Echo(Workflow):
    """Gives back what it was given."""

    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=ev.get("x"))


class Boom(Workflow):
    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        raise ValueError("boom")


class Ticks(Workflow):
    """Writes events while it works."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for n in range(int(ev.get("count", 3))):
            ctx.write_event_to_stream(Tick(n=n))
            await asyncio.sleep(0)
        return StopEvent(result="done")


class Ask(Workflow):
    """Waits for a person."""

    @step
    async def ask(self, ev: StartEvent) -> Question:
        return Question(text="well?")

    @step
    async def end(self, ev: Reply) -> StopEvent:
        return StopEvent(result=f"got {ev.text}")


class Cart(BaseModel):
    """No event of the workflow that keeps it in its state."""

    items: list[str] = []


class Shop(Workflow):
    """Keeps an object of a class that it declares nowhere."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        cart = await ctx.store.get("cart", default=None) or Cart()
        await ctx.store.set("cart", Cart(items=[*cart.items, "rope"]))
        return StopEvent(result=len(cart.items) + 1)


class Count(Workflow):
    """Counts in its state."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        n = await ctx.store.get("n", default=0) + 1
        await ctx.store.set("n", n)
        return StopEvent(result=n)


ALL = {"greet": Greet, "echo": Echo, "boom": Boom, "ticks": Ticks, "ask": Ask, "count": Count, "shop": Shop}

# ruff: noqa: ARG002  # a step names the event that it takes, whether it looks at it or not
"""Workflow classes as a user of `llama-index-workflows` writes them, to be hosted unmodified."""

import asyncio
from typing import Annotated

from pydantic import BaseModel
from workflows import Context, Workflow, catch_error, step
from workflows.collect import All, Collect
from workflows.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
)
from workflows.resource import Resource
from workflows.retry_policy import retry_policy, stop_after_attempt, wait_fixed

ran: list[str] = []
"""What the steps did, in order: cleared by the tests."""


class Greeting(StartEvent):
    name: str


class Greeted(StopEvent):
    text: str


class Hello(Workflow):
    """One step, with start and stop events of its own."""

    @step
    async def greet(self, ev: Greeting) -> Greeted:
        return Greeted(text=f"hello {ev.name}")


class Plain(Workflow):
    """One step that gives back what it was given, or fails when told so."""

    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        ran.append("only")
        if ev.get("fail"):
            raise ValueError(ev.get("fail"))
        return StopEvent(result=ev.get("x"))


class Part(Event):
    number: int


class Done(Event):
    number: int


class Chain(Workflow):
    """Steps one after another, with a count in the state."""

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Part:
        ran.append("begin")
        await ctx.store.set("seen", [])
        return Part(number=int(ev.get("number", 3)))

    @step
    async def go_on(self, ctx: Context, ev: Part) -> Part | StopEvent:
        ran.append(f"go_on {ev.number}")
        seen = await ctx.store.get("seen")
        await ctx.store.set("seen", [*seen, ev.number])
        await asyncio.sleep(1.0)
        if ev.number == 0:
            return StopEvent(result=await ctx.store.get("seen"))
        return Part(number=ev.number - 1)


class Spread(Workflow):
    """Sends parts to many workers of one step, and collects what they make of them."""

    @step
    async def send(self, ctx: Context, ev: StartEvent) -> Part | None:
        for number in range(4):
            ctx.send_event(Part(number=number))
        return None

    @step(num_workers=2)
    async def work(self, ctx: Context, ev: Part) -> Done:
        ran.append(f"work {ev.number}")
        async with ctx.store.edit_state() as state:
            state[f"part {ev.number}"] = state.get(f"part {ev.number}", 0) + 1
        await asyncio.sleep(1.0 + ev.number)
        ctx.write_event_to_stream(Done(number=ev.number))
        return Done(number=ev.number)

    @step
    async def collect(self, ctx: Context, ev: Done) -> StopEvent | None:
        found = ctx.collect_events(ev, [Done] * 4)
        if found is None:
            return None
        state = await ctx.store.get_state()
        return StopEvent(result=[sorted(item.number for item in found), dict(sorted(state.items()))])


class Ask(InputRequiredEvent):
    question: str


class Answer(HumanResponseEvent):
    text: str


class Human(Workflow):
    """Asks by an event that it returns; another step takes the answer."""

    @step
    async def ask(self, ev: StartEvent) -> Ask:
        ran.append("ask")
        return Ask(question="really?")

    @step
    async def end(self, ev: Answer) -> StopEvent:
        ran.append(f"end {ev.text}")
        return StopEvent(result=f"got {ev.text}")


class Waits(Workflow):
    """Asks in the middle of a step, and waits there for an answer about its own question."""

    @step
    async def talk(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ran.append("talk")
        answer = await ctx.wait_for_event(
            Answer,
            waiter_event=Ask(question="really?"),
            requirements={"about": ev.get("about")},
            timeout=ev.get("patience", 2000),
        )
        return StopEvent(result=f"got {answer.text}")


class Count(BaseModel):
    number: int = 0
    names: list[str] = []


class Typed(Workflow):
    """State of a type of its own."""

    @step
    async def first(self, ctx: Context[Count], ev: StartEvent) -> Part:
        async with ctx.store.edit_state() as state:
            state.number += 1
            state.names.append("first")
        return Part(number=0)

    @step
    async def second(self, ctx: Context[Count], ev: Part) -> StopEvent:
        async with ctx.store.edit_state() as state:
            state.number += 1
            state.names.append("second")
        await asyncio.sleep(1.0)
        state = await ctx.store.get_state()
        return StopEvent(result=[state.number, state.names])


class Flaky(Workflow):
    """Fails twice, and is tried again after a while."""

    @step(retry_policy=retry_policy(wait=wait_fixed(20), stop=stop_after_attempt(3)))
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        number = ctx.retry_info().retry_number
        ran.append(f"try {number}")
        if number < 2:
            raise ValueError(f"not yet: {number}")
        return StopEvent(result=number)


class Bump(Workflow):
    """Reads, adds one, writes, then takes its time."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        number = await ctx.store.get("number", default=0)
        await ctx.store.set("number", number + 1)
        await asyncio.sleep(1.0)
        return StopEvent(result=await ctx.store.get("number"))


class Slow(Workflow):
    """Takes as long as it is told."""

    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        await asyncio.sleep(ev.get("seconds", 1000))
        return StopEvent(result="late")


def opened() -> list[str]:
    return ["a", "b"]


class Injected(Workflow):
    """Gets a resource, and does its work in a thread."""

    @step
    def only(self, ev: StartEvent, names: Annotated[list[str], Resource(opened)]) -> StopEvent:
        return StopEvent(result=names)


class Name(Event):
    name: str
    takes: float


class Named(Event):
    name: str


class Shared(Workflow):
    """Two workers of one step write to one list and one mapping of the state at once."""

    @step
    async def send(self, ctx: Context, ev: StartEvent) -> Name | None:
        await ctx.store.set("times", {})
        await ctx.store.set("names", [])
        ctx.send_event(Name(name="a", takes=3.0))
        ctx.send_event(Name(name="b", takes=1.0))
        return None

    @step(num_workers=2)
    async def write(self, ctx: Context, ev: Name) -> Named:
        async with ctx.store.edit_state() as state:
            state["names"].append(ev.name)
        times = await ctx.store.get("times")
        await ctx.store.set(f"times.{ev.name}", times.get(ev.name, 0) + 1)
        await asyncio.sleep(ev.takes)
        return Named(name=ev.name)

    @step
    async def collect(self, ctx: Context, ev: Named) -> StopEvent | None:
        if ctx.collect_events(ev, [Named] * 2) is None:
            return None
        return StopEvent(result=[sorted(await ctx.store.get("names")), await ctx.store.get("times")])


class Adds(Workflow):
    """Adds to what it finds in its state."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        total = await ctx.store.get("total", default=0) + ev.get("add")
        await ctx.store.set("total", total)
        return StopEvent(result=total)


class Lists(Workflow):
    """Opens a stream of parts, and gets all that was made of them at once."""

    @step
    async def open(self, ev: StartEvent) -> list[Part]:
        return [Part(number=number) for number in range(int(ev.get("number", 3)))]

    @step(num_workers=2)
    async def double(self, ev: Part) -> Done:
        await asyncio.sleep(1.0)
        return Done(number=2 * ev.number)

    @step
    async def close(self, evs: Annotated[list[Done], Collect(All())]) -> StopEvent:
        return StopEvent(result=sorted(ev.number for ev in evs))


class Rescued(Workflow):
    """A step that fails for good, and another one that catches that."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.store.set("tried", await ctx.store.get("tried", default=0) + 1)
        raise ValueError("boom")

    @catch_error
    async def rescue(self, ctx: Context, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result=[ev.step_name, str(ev.exception), await ctx.store.get("tried")])


class Both(Workflow):
    """A step that wants one of each of two events."""

    @step
    async def one(self, ev: StartEvent) -> Part:
        return Part(number=1)

    @step
    async def other(self, ev: StartEvent) -> Done:
        return Done(number=2)

    @step
    async def join(self, part: Part, done: Done) -> StopEvent:
        return StopEvent(result=[part.number, done.number])


class Reserved(Workflow):
    """Its steps are called as what else the record of a run holds."""

    @step
    async def tick(self, ev: StartEvent) -> Part:
        return Part(number=1)

    @step
    async def inbox(self, ev: Part) -> Ask:
        return Ask(question="really?")

    @step
    async def alarm(self, ctx: Context, ev: Answer) -> StopEvent:
        answer = await ctx.wait_for_event(Answer, requirements={"about": "all"}, timeout=5)
        return StopEvent(result=[ev.text, answer.text])

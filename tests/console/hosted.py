"""What the server of the browser tests hosts: steps that a test holds and lets go through files in a folder."""

import asyncio
import os
from pathlib import Path

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

import stepwell

FOLDER = Path(os.environ["STEPWELL_TEST_FOLDER"])

app = stepwell.App()


@app.function
async def hold(name: str) -> str:
    """Ends when the file is there."""
    while not (FOLDER / name).exists():  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(0.02)
    return f"{name} let go"


@app.function
async def need(name: str) -> str:
    """Fails unless the file is there."""
    if not (FOLDER / name).exists():
        raise RuntimeError(f"{name} is missing")
    return f"{name} found"


@app.function
async def undone(name: str) -> None:
    """Leaves a file that says so."""
    (FOLDER / f"{name} is undone").touch()


@app.function
async def ponder(ctx: stepwell.StepContext, name: str) -> str:
    """Thinks aloud, and waits for the file."""
    ctx.think(f"about {name}")
    ctx.publish({"seen": name})
    return await hold(name)


@app.function(retry=stepwell.RetryPolicy(max_attempts=4, initial_s=0.3))
async def rates(ctx: stepwell.StepContext) -> dict[str, float]:
    """Answers at the third attempt."""
    await asyncio.sleep(0.25)
    if ctx.attempt < 3:
        raise ConnectionError("the bank does not answer")
    return {"EUR": 1.0, "USD": 1.09}


@app.function
async def work(seconds: float) -> str:
    """Takes so long."""
    await asyncio.sleep(seconds)
    return "done"


class Drafted(Event):
    """What leads from one step to the next."""

    text: str


class Letter(Workflow):
    """A class of LlamaIndex: its graph is that of its steps and events."""

    @step
    async def draft(self, ev: StartEvent) -> Drafted:
        return Drafted(text=str(ev.get("name")))

    @step
    async def polish(self, ev: Drafted) -> StopEvent:
        return StopEvent(result=await hold(ev.text))


app.add_workflow("letter", Letter(timeout=60))
app.load("flows")

"""What the runs of the cluster demo do: they pack parcels, box by box, and note each box where all nodes can see it.

The same work for every API: documents and flows call the function `pack`, and `Packing` is a LlamaIndex workflow.
"""

import asyncio
import os
import time

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

import stepwell

BOX_S = 0.5

app = stepwell.App()


@app.function
async def pack(parcel: int, box: int) -> str:
    """Pack a box: note it, then take a moment, in which the node may be lost."""
    log = os.open(os.environ["PACKED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, f"{parcel} {box} {os.getpid()} {time.time()}\n".encode())
    finally:
        os.close(log)
    await asyncio.sleep(BOX_S)
    return f"box {box} of parcel {parcel}"


class Ordered(StartEvent):
    parcel: int
    boxes: int


class Packed(Event):
    parcel: int
    boxes: int
    done: int


class Packing(Workflow):
    """A step for each box."""

    @step
    async def pack_box(self, parcel: Ordered | Packed) -> Packed | StopEvent:
        done = parcel.done if isinstance(parcel, Packed) else 0
        await pack(parcel.parcel, done)
        if done + 1 == parcel.boxes:
            return StopEvent(result={"parcel": parcel.parcel, "boxes": parcel.boxes})
        return Packed(parcel=parcel.parcel, boxes=parcel.boxes, done=done + 1)


app.add_workflow("packing", Packing(timeout=None))
app.load("parcels.yaml")

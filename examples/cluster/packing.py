"""The function of the runs of the cluster demo: it takes a moment, and leaves a line where all nodes can see it."""

import asyncio
import os

import stepwell

app = stepwell.App()


@app.function
async def pack(ctx: stepwell.StepContext, box: int) -> str:
    """Pack a box."""
    log = os.open(os.environ["PACKED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, f"{ctx.run_id} {ctx.key} {os.getpid()}\n".encode())
    finally:
        os.close(log)
    await asyncio.sleep(0.3)
    return f"box {box} is packed"

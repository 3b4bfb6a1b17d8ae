"""One node as a process: `python -m postgres.node_process URL LOG [SECONDS]`. Its steps write a line each to the log.

A line is: run, key, attempt, process. What a step does is done when its line is written; then it takes a moment.
Beside the log is a file of each process in which it notes when the database answered it: a machine that has other
things to do may keep a living node silent for so long that it is taken for dead.
At SIGUSR1 the node starts a few runs itself, which it then drives without handing them out.
"""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stepwell import App
from stepwell.core.errors import StorageError
from stepwell.core.program import RunContext, StepContext
from stepwell.settings import Settings

STEPS: Final = 6
OWN_RUNS: Final = 10
TAKES_S: Final = 1.5 if os.environ.get("STEPWELL_SOAK") else 0.1
"""A step; in the soak so long that all runs are in flight when their node is killed."""
BEAT_EVERY_S: Final = 0.1


def app_on(url: str, log: str, dead_after_s: str = "2", *, drive: bool = True) -> App:
    """A node with one workflow, whose steps write to the log."""
    app = App(
        settings=Settings(db=url, idle_s=0.2, log_level="warning", dead_after_s=float(dead_after_s)), drive=drive
    )
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def logged(ctx: RunContext, input: Any) -> Any:
        async def work(step: StepContext) -> str:
            os.write(file, f"{step.run_id} {step.key} {step.attempt} {os.getpid()}\n".encode())
            await asyncio.sleep(float(input))
            return step.key

        return [await ctx.step(f"/step/{number}", work) for number in range(STEPS)]

    app.add_workflow("logged", logged)
    return app


def beats_file(log: Path, pid: int) -> Path:
    """Where a process notes when the database answered it."""
    return Path(f"{log}.{pid}.beats")


async def _beat(app: App, file: int) -> None:
    while True:
        with suppress(StorageError):
            await app.engine.nodes()
            os.write(file, f"{time.time()}\n".encode())
        await asyncio.sleep(BEAT_EVERY_S)


async def serve(app: App, log: Path) -> None:
    """Drive until SIGTERM; a file beside the log exists once this is so."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    starting: set[asyncio.Task[Any]] = set()

    def start_some() -> None:
        starting.update(loop.create_task(app.engine.start("logged", TAKES_S)) for _ in range(OWN_RUNS))

    loop.add_signal_handler(signal.SIGUSR1, start_some)
    beats = os.open(beats_file(log, os.getpid()), os.O_WRONLY | os.O_CREAT)
    async with app:
        Path(f"{log}.{os.getpid()}").touch()  # noqa: ASYNC240  # once, in a file system in memory
        beating = loop.create_task(_beat(app, beats))
        await stopped.wait()
        beating.cancel()


if __name__ == "__main__":
    asyncio.run(serve(app_on(*sys.argv[1:]), Path(sys.argv[2])))

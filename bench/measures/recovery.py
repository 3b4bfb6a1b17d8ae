"""From opening a database that a killed process left with open runs, to the first and to the last resumed step."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from bench.house import none_live, open_engine
from bench.size import Size

AT_ONCE = 1_000
READY = "ready"


async def measure(folder: Path, size: Size) -> dict[str, float]:
    await _leave_behind(folder, size.open_runs)
    resumed: list[float] = []
    all_resumed = asyncio.Event()

    async def gate() -> None:
        resumed.append(time.perf_counter())
        if len(resumed) == size.open_runs:
            all_resumed.set()

    started = time.perf_counter()
    async with asyncio.timeout(300), open_engine(folder / "engine.db", gate=gate) as engine:
        opened = time.perf_counter()
        await all_resumed.wait()
        await none_live(engine)
        ended = time.perf_counter()
    number = f"{size.open_runs}_open"
    return {
        f"recovery_s_{number}": resumed[0] - started,
        f"recovery_opened_s_{number}": opened - started,
        f"recovery_all_s_{number}": resumed[-1] - started,
        f"recovery_ended_s_{number}": ended - started,
    }


async def _leave_behind(folder: Path, runs: int) -> None:
    """A process of its own brings the runs into their second step, and is killed there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.measures.recovery", str(folder), str(runs), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line.decode().strip() == READY, "the process to be killed did not get ready"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()


async def _hold_open(folder: Path, runs: int) -> None:
    begun = 0
    all_begun = asyncio.Event()

    async def gate() -> None:
        nonlocal begun
        begun += 1
        if begun == runs:
            all_begun.set()
        await asyncio.Event().wait()

    async with open_engine(folder / "engine.db", gate=gate) as engine:
        for _ in range(runs // AT_ONCE):
            await asyncio.gather(*(engine.start("gated") for _ in range(AT_ONCE)))
        await all_begun.wait()
        print(READY, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_hold_open(Path(sys.argv[1]), int(sys.argv[2])))

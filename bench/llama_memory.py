"""Memory of a server that has run many hosted workflows to their end: `python -m bench.llama_memory [--runs N]`.

The database keeps pages in memory up to a limit; what comes after that is what a finished run leaves behind.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import uvloop

from bench import report
from bench.gauge import machine
from bench.llama import COMPLETED, CONNECTIONS, REQUEST, RESULTS, STEPWELL, until_up
from bench.load import load
from bench.serving import Served, serving

EVERY: Final = 1_000
MIB: Final = 1024 * 1024


async def measure(served: Served, runs: int) -> list[float]:
    """Resident memory in MiB after every thousand runs, with that of the idle server first."""
    await until_up(served)
    found = [served.rss_bytes / MIB]
    for _ in range(runs // EVERY):
        await load(served.port, REQUEST, expected=COMPLETED, connections=CONNECTIONS, requests=EVERY)
        found.append(served.rss_bytes / MIB)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory of a server with finished runs.")
    parser.add_argument("--runs", type=int, default=14_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="stepwell-bench-") as scratch,
        serving(*STEPWELL, f"sqlite:///{scratch}/stepwell.db") as served,
    ):
        sizes = uvloop.run(measure(served, options.runs))
    figures: dict[str, Any] = {f"rss_mib_after_{number * EVERY}": size for number, size in enumerate(sizes)}
    figures |= {"command": " ".join(["python -m bench.llama_memory", *sys.argv[1:]]), **machine()}
    report.show("resident memory with finished runs", figures)
    print(report.save(Path(RESULTS), figures, kind="llama-memory"))


if __name__ == "__main__":
    main()

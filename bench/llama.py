"""Hosted workflows beside the servers they come from: `python -m bench.llama [--quick] [--passes N] [--runs N]`.

`POST /workflows/trivial/run` over 32 connections, each server in a process of its own, by turns: Stepwell on its
durable default, the originals 2.9.0 and 0.8.0 with SQLite and in memory only. What counts are the ratios. The
originals are installed by pip into `--folder` (kept, so that the next run need not).
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import uvloop

from bench import report
from bench.gauge import machine, median, percentile
from bench.load import load, post
from bench.peers import environment
from bench.serving import Served, serving

CONNECTIONS: Final = 32
RESULTS: Final = Path(__file__).parent / "results"
REQUEST: Final = post("/workflows/trivial/run", "application/json", b'{"start_event":{"x":1}}')
COMPLETED: Final = b'"status":"completed"'
STEPWELL: Final = ("-m", "stepwell", "serve", "--app", "bench.served_llama:app", "--port", "0", "--db")
ORIGINALS: Final[dict[str, tuple[str, ...]]] = {
    "2_9_0": ("llama-index-workflows[server]==2.9.0",),
    "0_8_0": ("llama-index-workflows==2.26.1", "llama-agents-server==0.8.0"),
}
GOALS: Final = {"2_9_0_sqlite": 3.0, "0_8_0_sqlite": 6.0, "2_9_0_memory": 1.0, "0_8_0_memory": 1.0}
"""How many times as many requests a second as this one."""


def start_all(folder: Path, scratch: Path, running: ExitStack) -> dict[str, Served]:
    """Every server, each on a database of its own."""
    found = {"stepwell": running.enter_context(serving(*STEPWELL, f"sqlite:///{scratch}/stepwell.db"))}
    for version, packages in ORIGINALS.items():
        python = environment(folder, f"llama-{version}", *packages, "uvicorn")
        for store in ("sqlite", "memory"):
            database = str(scratch / f"{version}.db") if store == "sqlite" else "memory"
            command = ("-m", "bench.rivals.llama_peer", database)
            found[f"{version}_{store}"] = running.enter_context(serving(*command, python=python))
    return found


async def until_up(served: Served) -> None:
    """Return when a server answers."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", timeout=60) as client:
        while True:
            try:
                (await client.get("/health")).raise_for_status()
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
            else:
                return


async def one_pass(servers: dict[str, Served], number: int) -> dict[str, Any]:
    """The figures of each server, by turns."""
    found: dict[str, Any] = {}
    for name, served in servers.items():
        cpu_s, rss = served.cpu_s, served.rss_bytes
        took = await load(served.port, REQUEST, expected=COMPLETED, connections=CONNECTIONS, requests=number)
        found[f"{name}_per_s"] = took.per_s
        found[f"{name}_p50_ms"] = percentile(took.latencies_s, 50) * 1e3
        found[f"{name}_p99_ms"] = percentile(took.latencies_s, 99) * 1e3
        found[f"{name}_cpu_ms"] = (served.cpu_s - cpu_s) / number * 1e3
        found[f"{name}_kib_a_run"] = (served.rss_bytes - rss) / number / 1024
    for name in GOALS:
        found[f"times_{name}"] = found["stepwell_per_s"] / found[f"{name}_per_s"]
    return found


async def measure(servers: dict[str, Served], *, number: int, passes: int) -> dict[str, float]:
    for served in servers.values():
        await until_up(served)
        await load(served.port, REQUEST, expected=COMPLETED, connections=CONNECTIONS, requests=number // 4)
    found = [await one_pass(servers, number) for _ in range(passes)]
    return {name: median([one[name] for one in found]) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure hosted workflows beside the servers they come from.")
    parser.add_argument("--quick", action="store_true", help="few runs, to see that it works")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1_000, help="of each server in a pass")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "stepwell-peers")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    number = 100 if options.quick else options.runs
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as scratch, ExitStack() as running:
        servers = start_all(options.folder, Path(scratch), running)
        figures: dict[str, Any] = dict(uvloop.run(measure(servers, number=number, passes=options.passes)))
    command = " ".join(["python -m bench.llama", *sys.argv[1:]])
    goals = {f"goal_times_{name}": goal for name, goal in GOALS.items()}
    figures |= {**goals, "connections": CONNECTIONS, "runs_a_pass": number, "passes": options.passes}
    figures |= {"command": command, **machine()}
    report.show("POST /workflows/trivial/run, 32 connections", figures)
    print(report.save(RESULTS, figures, kind="llama-partial" if options.quick else "llama"))


if __name__ == "__main__":
    main()

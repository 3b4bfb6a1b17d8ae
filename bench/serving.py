"""Servers under test, each in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parents[1]
STEPWELL: Final = ("-m", "stepwell", "serve", "--app", "bench.served:app", "--port", "0")
LOOK_EVERY_S: Final = 2.0
IDLE_SHARE: Final = 0.05
"""Of one processor."""


class Served:
    """A server that listens. `pid` is its process."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the server."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024

    @property
    def cpu_s(self) -> float:
        """CPU time the server has used, with that of the system for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100  # utime, stime in ticks of USER_HZ

    def settle(self) -> None:
        """Return when it has nothing to do any more: at its start it looks at all runs that have not ended."""
        cpu_s = -1.0
        while self.cpu_s - cpu_s > IDLE_SHARE * LOOK_EVERY_S:
            cpu_s = self.cpu_s
            time.sleep(LOOK_EVERY_S)


@contextmanager
def serving(*command: str, python: str = sys.executable) -> Iterator[Served]:
    """A Python program that prints the URL it serves as the last word of its first line; ended at the end."""
    process = subprocess.Popen([python, *command], cwd=HERE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{command} did not start"
        yield Served(int(line.rpartition(":")[2]), process.pid)
    finally:
        process.terminate()
        process.wait(60)


def stepwell_on(database: Path) -> tuple[str, ...]:
    """The command that serves a database."""
    return (*STEPWELL, "--db", f"sqlite:///{database}")

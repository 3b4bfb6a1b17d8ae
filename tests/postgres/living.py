"""Nodes as processes of their own, to be killed and frozen."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .nodes import eventually

TESTS: Final = Path(__file__).parents[1]


class NodeProcess:
    """A node that can be killed. `log` is shared by all of them; `module` is what it runs, one of this folder.

    `prefix` are words of a command that becomes what follows them.
    """

    def __init__(
        self,
        url: str,
        log: Path,
        dead_after_s: float,
        module: str = "node_process",
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        command = [*prefix, sys.executable, "-m", f"postgres.{module}", url, str(log), str(dead_after_s)]
        self._process = subprocess.Popen(command, cwd=TESTS)
        self._ready = Path(f"{log}.{self._process.pid}")

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        async def serves() -> bool:
            assert self._process.poll() is None, "the node ended by itself"
            return self._ready.exists()

        await eventually(serves)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()


@contextmanager
def processes(
    url: str, log: Path, *, dead_after_s: float = 2.0, module: str = "node_process", number: int = 2
) -> Iterator[list[NodeProcess]]:
    """Some nodes; those that a test adds to the list are ended, too."""
    started = [NodeProcess(url, log, dead_after_s, module) for _ in range(number)]
    try:
        yield started
    finally:
        for one in started:
            one.end()

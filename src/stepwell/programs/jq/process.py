"""One worker process, as the operating system sees it: started, measured, stopped, reaped."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from stepwell.programs.jq.errors import JqUnavailableError
from stepwell.programs.jq.limits import Limits

_SCRIPT = str(Path(__file__).with_name("worker.py"))
_LOWER_PRIORITY = 10

# `-I` ignores the environment and the user's packages, `-S` all packages; `-B` writes no bytecode.
_FLAGS = ("-I", "-S", "-B")


class WorkerProcess:
    """A started worker and our end of its stream.

    No PR_SET_PDEATHSIG: it fires when the *thread* that started the worker ends (prctl(2)). The worker ends by itself
    when the stream does, which happens however this process dies.
    """

    def __init__(self, limits: Limits) -> None:
        self.stream, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs, limits)
            except OSError as error:
                self.stream.close()
                raise JqUnavailableError(str(error)) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """Processor time used so far; 0 when the process is gone."""
        try:
            # The process's CPU clock, made from its id as `clock_getcpuclockid(3)` makes it on Linux.
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0.0

    def step_back(self) -> None:
        """Let others have the processor first."""
        try:
            os.setpriority(os.PRIO_PROCESS, self.pid, _LOWER_PRIORITY)
        except OSError:
            return  # gone meanwhile, or niced already by whoever started the server

    def kill(self) -> None:
        """End it at once. It holds nothing that would need a farewell."""
        self._process.kill()

    def reap(self) -> str:
        """Wait for its end, so that no zombie stays. How it ended, in words."""
        status = self._process.wait()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _start(stream: socket.socket, limits: Limits) -> "subprocess.Popen[bytes]":
    found = importlib.util.find_spec("jq")  # found, not imported: the server itself never loads it
    if found is None or found.origin is None:
        raise JqUnavailableError("the package jq is not installed")
    # Twice the time and a second: the pool stops a worker long before, this is for when the pool is gone.
    busy_ms = int(limits.time_s * 2000) + 1000
    arguments = (str(Path(found.origin).parent), limits.memory_bytes, busy_ms, limits.programs, limits.result_bytes)
    return subprocess.Popen(
        [sys.executable, *_FLAGS, _SCRIPT, *map(str, arguments)],
        stdin=stream.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=dict[str, str](),
        start_new_session=True,  # Ctrl-C in a terminal is for the server only
    )

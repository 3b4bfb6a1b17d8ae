"""Runs the real `stepwell` command as a user does: a process of its own, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 30.0


class Ran:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        """The last line of stderr."""
        return json.loads(self.err.rstrip("\n").rpartition("\n")[2])

    @property
    def sentence(self) -> str:
        """stderr of a refusal: one line, no traceback, nothing on stdout."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        assert "Traceback" not in self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


class Shell:
    """A folder to run commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {name: text for name, text in os.environ.items() if not name.startswith("STEPWELL_")}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *arguments: str, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "stepwell", *arguments],
            cwd=self.folder,
            env=self.environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, input: str = "", prefix: tuple[str, ...] = ()) -> Ran:
        with self.start(*arguments, prefix=prefix) as process:
            out, err = process.communicate(input, timeout=WAIT_S)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def runs(self, *arguments: str, db: str = "sqlite:///stepwell.db") -> Any:
        """`stepwell runs ... --json`."""
        ran = self.run("runs", *arguments, "--db", db, "--json")
        assert ran.code == 0, ran.err
        return ran.json

    @contextmanager
    def background(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """A command that is killed at the end, if it still runs then."""
        with self.start(*arguments) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()


def until(condition: Callable[[], Any], *, what: str) -> Any:
    """Wait for a condition to be true; what it then is."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT_S:g} s for {what}")


def read_until(process: "subprocess.Popen[str]", start: str) -> str:
    """Read stderr up to a line that begins with `start`; that line."""
    assert process.stderr is not None
    alarm = threading.Timer(WAIT_S, process.kill)  # a line that never comes must not hold up the tests
    alarm.start()
    try:
        for line in process.stderr:
            if line.startswith(start):
                return line.rstrip("\n")
    finally:
        alarm.cancel()
    raise AssertionError(f"stderr ended without a line that begins with {start!r}")

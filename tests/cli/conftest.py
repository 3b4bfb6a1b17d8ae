"""What every test of the command line starts with: a fresh folder, and commands run in it."""

import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from stepwell.cli.command import execute

from .commands import Ran, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands as processes of their own."""
    return Shell(tmp_path)


class Inside(Shell):
    """Commands in the test's own process: half a second quicker each."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self._capture = capture
        self._patch = patch

    def run(self, *arguments: str, input: str = "", prefix: tuple[str, ...] = ()) -> Ran:
        assert not prefix, "a prefix needs a process"
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        self._capture.readouterr()
        code = execute(arguments)
        return Ran(code, *self._capture.readouterr())


@pytest.fixture
def inside(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """Commands in this process; what they change in it is undone."""
    for name in [name for name in os.environ if name.startswith("STEPWELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    handlers, level, modules = logging.root.handlers[:], logging.root.level, set(sys.modules)
    yield Inside(tmp_path, capsys, monkeypatch)
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", "") and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


# What runs the tests in its background may have SIGINT ignored, and commands started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

"""Real processes and real SIGKILL: hosted workflows lose nothing that was acknowledged, and count nothing twice."""

import multiprocessing
import os
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stepwell.store.sqlite.connection import connect

from ..invariants import check_invariants
from . import victim

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
PATIENCE_S = 60.0

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["stepwell.engine", "stepwell.store.sqlite", "workflows"])


def lines(folder: Path, name: str) -> list[Any]:
    path = folder / name
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def begin(folder: Path, failpoint: str = "") -> BaseProcess:
    process = processes.Process(target=victim.main, args=(str(folder), failpoint))
    process.start()
    return process


def live_to_the_end(folder: Path) -> None:
    process = begin(folder)
    process.join(PATIENCE_S)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert not alive, "a run is stuck"
    assert process.exitcode == 0


def check(folder: Path, *, kills: int) -> None:
    disk = connect(str(folder / "runs.db"))
    check_invariants(disk, [], crashes=kills, quiet=True)
    disk.close()
    assert lines(folder, "results")[-1] == victim.OUTPUT
    assert max(Counter(lines(folder, "ran")).values()) <= 1 + kills


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before_commit", "after_commit"])
def test_kill_at_commit_boundaries_loses_nothing(tmp_path: Path, place: str) -> None:
    (whole := tmp_path / "whole").mkdir()
    live_to_the_end(whole)
    check(whole, kills=0)
    every = 1 if SOAK else 5
    for number in range(1, lines(whole, "boundaries")[0] + 1, every):
        (folder := tmp_path / str(number)).mkdir()
        process = begin(folder, f"{place}:{number}")
        process.join(PATIENCE_S)
        killed = process.exitcode == -9
        assert killed or process.exitcode == 0, f"{place}:{number} exited with {process.exitcode}"
        live_to_the_end(folder)
        try:
            check(folder, kills=int(killed))
        except AssertionError as fault:
            raise AssertionError(f"STEPWELL_FAILPOINT={place}:{number}") from fault

"""Real processes and real SIGKILL on a database file: what was acknowledged is there, nothing recorded is repeated.

Each round prints its seed; `STEPWELL_SEED=<seed>` plays that round of random kills alone.
"""

import json
import multiprocessing
import os
from collections import Counter
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from stepwell.core.status import Status
from stepwell.store.sqlite.connection import connect

from . import victim
from .invariants import check_invariants, read_history

SOAK = bool(os.environ.get("STEPWELL_SOAK"))
ROUNDS = 1_000 if SOAK else 20
LIVES = 6
PATIENCE_S = 60.0

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["stepwell.engine", "stepwell.store.sqlite"])


@dataclass(frozen=True)
class Ran:
    """A line that an activity appended."""

    run_id: str
    key: str
    attempt: int
    disk_seq: int
    at: float = 0.0


def lines(folder: Path, name: str) -> list[Any]:
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


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
    """Everything on disk is whole, ended well, and holds what was acknowledged."""
    disk = connect(str(folder / "runs.db"))
    check_invariants(disk, [Ran(**line) for line in lines(folder, "ran")], crashes=kills, quiet=True)
    actors: dict[str, set[str]] = {}
    for number, run_id, status in list(disk.execute("SELECT id, uuid, status FROM run")):
        assert status == Status.COMPLETED, f"{run_id} is {status}"
        actors[run_id] = {event.actor.id for event in read_history(disk, number)}
    disk.close()
    assert len(actors) == 2 * victim.RUNS
    for line in lines(folder, "acknowledged"):
        assert line["run_id"] in actors, f"lost: {line}"
        assert line.get("actor", "engine") in actors[line["run_id"]], f"lost: {line}"
    outputs = {line["run_id"]: line["output"] for line in lines(folder, "results")}
    for output in outputs.values():
        number = output[0]
        assert output == [number, ["a", "b"], number, "approved", {"child of": number}]


def test_run_without_kills_ends_well(tmp_path: Path) -> None:
    live_to_the_end(tmp_path)
    check(tmp_path, kills=0)
    assert lines(tmp_path, "boundaries")[0] > 5
    began = Counter((line["run_id"], line["key"]) for line in lines(tmp_path, "ran"))
    assert max(began.values()) == 2  # the first attempt of /first fails


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before_commit", "after_commit"])
def test_kill_at_every_commit_boundary_loses_nothing(tmp_path: Path, place: str) -> None:
    (whole := tmp_path / "whole").mkdir()
    live_to_the_end(whole)
    for number in range(1, lines(whole, "boundaries")[0] + 1):
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


def seeds() -> range:
    chosen = os.environ.get("STEPWELL_SEED")
    return range(int(chosen), int(chosen) + 1) if chosen is not None else range(ROUNDS)


@pytest.mark.slow
def test_random_kills_lose_nothing(tmp_path: Path) -> None:
    for seed in seeds():
        print(f"kill round of seed {seed}")
        rng = Random(seed)
        (folder := tmp_path / str(seed)).mkdir()
        kills = 0
        for _ in range(rng.randint(1, LIVES)):
            process = begin(folder)
            process.join(rng.random() * 0.3)
            process.kill()
            process.join()
            kills += process.exitcode == -9
        live_to_the_end(folder)
        try:
            check(folder, kills=kills)
        except AssertionError as fault:
            raise AssertionError(f"kill round failed; play it alone with STEPWELL_SEED={seed}") from fault

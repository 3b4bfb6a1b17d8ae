"""`make cluster-demo` as a process, what it says, and that its checks find what they are there for."""

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
PATIENCE_S = 400.0
"""The machine may be busy with other things."""
STEPS = 2
RUN = {"type": "RunCreated", "at": 0.0, "run_id": "r"}
DONE = {"type": "RunCompleted", "at": 9.0}
HISTORY = [RUN, {"type": "StepCompleted", "at": 2.0}, {"type": "StepCompleted", "at": 4.0}, DONE]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _module(monkeypatch, "checks")


@pytest.fixture
def take_overs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _module(monkeypatch, "take_overs")


def _module(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module(name)


# --- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nodes_are_killed_and_frozen_and_it_is_told_who_took_over_what() -> None:
    code, out, errors = _played()
    assert code == 0, out + errors
    assert re.findall(r"(node \d) is (killed|frozen) \((\w+)\)", out) == [
        ("node 1", "killed", "SIGKILL"),
        ("node 2", "killed", "SIGKILL"),
        ("node 3", "frozen", "SIGSTOP"),
    ]
    assert out.count("100 runs are started, through each API at each node") == 3
    told = (
        r"^ *\d+\.\d s  (?:new )?node \d took over \d+ runs? of (node \d) \((killed|frozen) at \d+\.\d s\): \w{8}\b"
    )
    assert list(dict.fromkeys(re.findall(told, out, re.M))) == [
        ("node 1", "killed"),
        ("node 2", "killed"),
        ("node 3", "frozen"),
    ]
    (doors,) = re.findall(r"all 300 runs are completed \((.+)\), and 1200 steps are on record", out)
    assert sorted(doors.split(", ")) == ["75 agents", "75 event", "75 llama", "75 runs"]


def _played() -> tuple[int, str, str]:
    """Code and output of the demo. It has processes of its own, which end with it."""
    process = subprocess.Popen(
        [sys.executable, FOLDER / "demo.py"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, out, errors


# --- what is checked ------------------------------------------------------------------------------------------------


def _checked(checks: ModuleType, noted: str, take_overs: int = 1, history: list[dict[str, Any]] = HISTORY) -> Any:
    boxes = checks.boxes_of_parcels("".join(f"7 {line}\n" for line in noted.split(", ")))
    return checks.check_run(history, boxes[7], steps=STEPS, take_overs=take_overs)


@pytest.mark.parametrize(
    ("noted", "again"),
    [
        pytest.param("0 11 1.0, 1 11 3.0", 0, id="each once"),
        pytest.param("0 11 1.0, 1 11 2.1, 1 22 3.0", 1, id="in flight"),
        pytest.param("0 11 1.0, 1 22 3.0, 1 11 5.0", 1, id="begun late by a node that was frozen"),
    ],
)
def test_step_in_flight_may_be_done_once_more(checks: ModuleType, noted: str, again: int) -> None:
    assert _checked(checks, noted) == again


@pytest.mark.parametrize(
    ("noted", "fault"),
    [
        ("0 11 1.0, 1 11 2.1, 0 22 3.0, 1 22 3.5", "step 0: expected that it is not done again once it is on record"),
        ("0 11 1.0, 0 11 2.1, 1 11 3.0", "step 0: expected that it is not done again once it is on record"),
        ("0 11 1.0, 1 11 2.1, 1 22 2.5, 1 22 3.0", "expected at most 1 steps done again, found 2"),
        ("0 11 1.0, 0 11 1.5", "step 1: expected that it was done before it was on record"),
    ],
)
def test_step_that_is_done_too_often_or_never_is_found(checks: ModuleType, noted: str, fault: str) -> None:
    with pytest.raises(checks.DemoError, match=fault):
        _checked(checks, noted)


def test_step_of_a_run_that_stayed_where_it_was_is_done_once(checks: ModuleType) -> None:
    with pytest.raises(checks.DemoError, match="expected at most 0 steps done again, found 1"):
        _checked(checks, "0 11 1.0, 1 11 2.1, 1 22 3.0", take_overs=0)


@pytest.mark.parametrize(
    ("history", "fault"),
    [(HISTORY[:-1], "expected RunCompleted"), ([*HISTORY[:2], DONE], "expected 2 steps on record, found 1")],
)
def test_run_that_has_not_completed_is_found(checks: ModuleType, history: list[Any], fault: str) -> None:
    with pytest.raises(checks.DemoError, match=fault):
        _checked(checks, "0 11 1.0, 1 11 3.0", history=history)


def test_line_that_is_just_being_written_is_no_box(checks: ModuleType) -> None:
    assert list(checks.boxes_of_parcels("7 0 11 1.0\n8 1 1")) == [7]


# --- what is told ---------------------------------------------------------------------------------------------------


def test_take_overs_are_told_by_node_with_the_first_runs(take_overs: ModuleType) -> None:
    drivers = take_overs.Drivers()
    ids = [f"0199-{number:08}" for number in range(5)]
    for id in ids:
        drivers.begin(id, "node 1")
    lost = take_overs.Lost(at_s=4.0, number=0, node="node 1", how="killed")
    by = ["node 3", "node 3", "node 2", "node 3", "node 3"]
    moved = [take_overs.TakeOver(at_s=6.0 + number, by=by[number], run_id=ids[number]) for number in range(5)]
    assert list(take_overs.told(moved, lost, drivers)) == [
        (6.0, "node 3 took over 4 runs of node 1 (killed at 4.0 s): 00000000, 00000001, 00000003 and 1 more"),
        (8.0, "node 2 took over 1 run of node 1 (killed at 4.0 s): 00000002"),
    ]
    assert (drivers.runs_of("node 1"), drivers.runs_of("node 2")) == ([], [ids[2]])


def test_node_that_was_not_lost_is_told_as_silent(take_overs: ModuleType) -> None:
    drivers = take_overs.Drivers()
    drivers.begin("0199-00000000", "node 2")
    (line,) = take_overs.told([take_overs.TakeOver(1.0, "node 3", "0199-00000000")], None, drivers)
    assert line == (1.0, "node 3 took over 1 run of node 2 (silent for too long on this machine): 00000000")

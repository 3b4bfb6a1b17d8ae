"""What is checked of every run of the cluster demo, by its history and by what its steps have noted.

Nothing of it asks anybody: it is given what there is.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from stage import DemoError


class Box(NamedTuple):
    """A box that a process has packed: what a step is told by, also if nothing came of it."""

    number: int
    pid: int
    at: float


def boxes_of_parcels(text: str) -> Mapping[int, list[Box]]:
    """What nodes have noted, by parcel, in the order in which it was done."""
    found = defaultdict[int, list[Box]](list)
    for line in text[: text.rfind("\n") + 1].splitlines():
        parcel, number, pid, at = line.split()
        found[int(parcel)].append(Box(int(number), int(pid), float(at)))
    return found


def check_run(history: list[Any], packed: list[Box], *, steps: int, take_overs: int) -> int:
    """How many steps of a run were done once more; `packed` is what was noted of its parcel.

    Raises `DemoError` unless the run has completed, each step is on record once, none was done again after that, and
    at most one was done again for each time that the run was taken over: the one that was in flight.
    """
    run_id = history[0]["run_id"]
    if history[-1]["type"] != "RunCompleted":
        raise DemoError(f"run {run_id}: expected RunCompleted, found {history[-1]}")
    recorded_at = [event["at"] for event in history if event["type"] == "StepCompleted"]
    if len(recorded_at) != steps:
        raise DemoError(f"run {run_id}: expected {steps} steps on record, found {len(recorded_at)}")
    ranks = {pid: rank for rank, pid in enumerate(dict.fromkeys(box.pid for box in packed))}
    for number, at in enumerate(recorded_at):
        _check_box(f"run {run_id}, step {number}", [box for box in packed if box.number == number], at, ranks)
    again = len(packed) - steps
    if again > take_overs:
        raise DemoError(f"run {run_id}: expected at most {take_overs} steps done again, found {again}")
    return again


def _check_box(what: str, times: list[Box], recorded_at: float, ranks: dict[int, int]) -> None:
    """A process that stood still and lost the run may do late what it has begun; nobody records it."""
    before = [box for box in times if box.at <= recorded_at]
    if not before:
        raise DemoError(f"{what}: expected that it was done before it was on record, found {times}")
    for box in times[len(before) :]:
        if ranks[box.pid] >= ranks[before[-1].pid]:
            raise DemoError(f"{what}: expected that it is not done again once it is on record, found {box}")

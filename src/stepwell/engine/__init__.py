"""The engine: starts, drives, commands and reads runs."""

from stepwell.engine.engine import Engine, EngineOptions
from stepwell.engine.results import RunResult, Started
from stepwell.engine.schedules import Schedule
from stepwell.engine.snapshots import Snapshot
from stepwell.engine.watching import Seen

__all__ = ["Engine", "EngineOptions", "RunResult", "Schedule", "Seen", "Snapshot", "Started"]

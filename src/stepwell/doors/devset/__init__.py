"""The devset door: event pipelines, executed, simulated, watched and stopped (`/engine`, `/connectors`, ...)."""

from stepwell.doors.devset import connectors, documents, events, executing, runs, schemas  # noqa: F401  declare operations
from stepwell.doors.devset.api import api

__all__ = ["api"]

"""CloudEvents over HTTP: in, to runs and workflows that listen; out, the life of a run as the standard's events."""

from stepwell.doors.events.lifecycle import Lifecycle, lifecycle_events
from stepwell.doors.events.routes import routes

__all__ = ["Lifecycle", "lifecycle_events", "routes"]

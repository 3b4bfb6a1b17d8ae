"""CloudEvents over HTTP: in, to runs and workflows that listen; out, the life of a run as the standard's events."""

from stepwell.doors.events.lifecycle import Lifecycle, lifecycle_events
from stepwell.doors.events.routes import api, routes

__all__ = ["Lifecycle", "api", "lifecycle_events", "routes"]

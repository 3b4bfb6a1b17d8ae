"""The operations door: is it alive, can it work, what does it do."""

from stepwell.doors.operations.routes import api, routes

__all__ = ["api", "routes"]

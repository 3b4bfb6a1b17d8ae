"""All operations of the runs door: each file declares its own on `api` when it is imported."""

from stepwell.doors.runs import cancel, definitions, downloads, execute, forms, listing, stream
from stepwell.doors.runs.api import api

__all__ = ["api", "cancel", "definitions", "downloads", "execute", "forms", "listing", "stream"]

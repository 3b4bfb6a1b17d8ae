"""All operations of the agents door: each file declares its own on `api` when it is imported."""

from types import ModuleType
from typing import Final

import stepwell.doors.agents.approvals as approvals
import stepwell.doors.agents.callbacks as callbacks
import stepwell.doors.agents.events as events
import stepwell.doors.agents.runs as runs
import stepwell.doors.agents.snapshots as snapshots
import stepwell.doors.agents.templates as templates
import stepwell.doors.agents.webhooks as webhooks
from stepwell.doors.agents.api import api

__all__ = ["api"]

FILES: Final[tuple[ModuleType, ...]] = (runs, approvals, events, snapshots, callbacks, templates, webhooks)
"""Every file that declares operations."""
